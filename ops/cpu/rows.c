/* Rows in parallel: fixed tasks, scratch memory by thread, conversions of bf16. */
#include "ops/cpu/rows.h"

#include "ops/cpu/clones.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

enum { PIECE = 16384, FEW = 64, COLUMNS = 64 };

RILLI_CLONES static void widen(const rill_bf16 *restrict from, float *restrict to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = rill_bf16_to_f32(from[i]);
}
RILLI_CLONES static void narrow(const float *restrict from, rill_bf16 *restrict to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = rill_bf16_from_f32(from[i]);
}
void rilli_widen(const rill_bf16 *from, float *to, int64_t n) { widen(from, to, n); }
void rilli_narrow(const float *from, rill_bf16 *to, int64_t n) { narrow(from, to, n); }

const void *rilli_row_load(rill_dtype dtype, const void *data, int64_t at, int64_t n,
                           void *buffer) {
  if (!data) return NULL;
  if (!rilli_is_bf16(dtype)) return rilli_at(dtype, data, at);
  rilli_widen((const rill_bf16 *)data + at, buffer, n);
  return buffer;
}

int64_t rilli_rows_block(int64_t rows, int64_t width, bool few) {
  int64_t block = width >= PIECE ? 1 : width > 0 ? PIECE / width : PIECE;
  if (few && block < (rows + FEW - 1) / FEW) block = (rows + FEW - 1) / FEW;
  return block;
}

static int thread_number(void) {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

bool rilli_rows_run(rill_env *env, int64_t rows, int64_t block, size_t scratch,
                    rilli_rows_task *task, void *user) {
  int64_t tasks = rilli_rows_tasks(rows, block);
  int threads = env->threads < tasks ? env->threads : (int)tasks;
  if (tasks <= 0) return true;
  if (threads < 1) threads = 1;
  scratch = rilli_round64(scratch);
  char *memory = NULL;
  if (scratch && !(memory = rill_env_alloc(env, scratch * (size_t)threads))) return false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < tasks; i++) {
    int64_t end = (i + 1) * block < rows ? (i + 1) * block : rows;
    task(user, i, i * block, end,
         memory ? memory + scratch * (size_t)(threads > 1 ? thread_number() : 0) : NULL);
  }
  return true;
}

void rilli_rows_add(const double *partial, int64_t count, int64_t width, rill_dtype dtype,
                    void *to) {
  for (int64_t at = 0; at < width; at += COLUMNS) {
    int64_t n = width - at < COLUMNS ? width - at : COLUMNS;
    double sum[COLUMNS] = {0};
    for (int64_t i = 0; i < count; i++)
      for (int64_t j = 0; j < n; j++) sum[j] += partial[i * width + at + j];
    for (int64_t j = 0; j < n; j++) {
      if (dtype == RILL_F64) ((double *)to)[at + j] = sum[j];
      if (dtype == RILL_F32) ((float *)to)[at + j] = (float)sum[j];
      if (dtype == RILL_BF16) ((rill_bf16 *)to)[at + j] = rill_bf16_from_f32((float)sum[j]);
    }
  }
}

int64_t rilli_rows_of(const rill_array *a) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < a->rank; d++) rows *= a->size[d];
  return rows;
}
