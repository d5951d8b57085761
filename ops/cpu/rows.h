/* Work on the rows of a [rows, width] view, in parallel, with storage types converted a row at a
 * time.
 *
 * Arithmetic is in f32 for f32 and bf16, and in f64 for f64 ("the real type"). A row of f32 or f64
 * is used where it lies; a row of bf16 passes through a buffer that stays in cache. Tasks are fixed
 * ranges of rows whose bounds depend on sizes only. */
#ifndef RILL_OPS_CPU_ROWS_H_
#define RILL_OPS_CPU_ROWS_H_

#include "autograd/op.h"

static inline rill_dtype rilli_real_of(rill_dtype dtype) {
  return dtype == RILL_F64 ? RILL_F64 : RILL_F32;
}
static inline size_t rilli_real_size(rill_dtype dtype) { return dtype == RILL_F64 ? 8 : 4; }
static inline bool rilli_is_bf16(rill_dtype dtype) { return dtype == RILL_BF16; }

/* Address of element `at`. */
static inline void *rilli_at(rill_dtype dtype, const void *data, int64_t at) {
  return (char *)data + at * (int64_t)rill_dtype_size(dtype);
}

void rilli_widen(const rill_bf16 *from, float *to, int64_t n);
void rilli_narrow(const float *from, rill_bf16 *to, int64_t n);

/* The buffer at that many bytes of a task's scratch; NULL where the dtype needs no buffers. */
static inline void *rilli_row_buffer(char *scratch, size_t at) {
  return scratch ? scratch + at : NULL;
}

/* n elements from `at` as reals: in place, or converted into buffer. NULL data gives NULL. */
const void *rilli_row_load(rill_dtype dtype, const void *data, int64_t at, int64_t n, void *buffer);
/* Where to compute n elements that go to `at`: in place, or buffer; rilli_row_store then puts them
 * there. */
static inline void *rilli_row_target(rill_dtype dtype, void *data, int64_t at, void *buffer) {
  return rilli_is_bf16(dtype) ? buffer : rilli_at(dtype, data, at);
}
static inline void rilli_row_store(rill_dtype dtype, const void *row, void *data, int64_t at,
                                   int64_t n) {
  if (rilli_is_bf16(dtype)) rilli_narrow((const float *)row, (rill_bf16 *)data + at, n);
}

/* Task number `task` of rilli_rows_run: rows [begin, end), with `scratch` of the size asked for,
 * aligned to 64 and not shared with tasks that run at the same time. */
typedef void rilli_rows_task(void *user, int64_t task, int64_t begin, int64_t end, char *scratch);

/* Rows to a task: about 16384 elements, so that tasks are worth their start; at most 64 tasks when
 * `few` (each leaves a partial sum behind). */
int64_t rilli_rows_block(int64_t rows, int64_t width, bool few);
static inline int64_t rilli_rows_tasks(int64_t rows, int64_t block) {
  return (rows + block - 1) / block;
}

/* Runs all tasks. False when memory is short. */
bool rilli_rows_run(rill_env *env, int64_t rows, int64_t block, size_t scratch,
                    rilli_rows_task *task, void *user);

/* to[j] = sum of partial[i][j] over i, in order; to is contiguous with dtype. */
void rilli_rows_add(const double *partial, int64_t count, int64_t width, rill_dtype dtype,
                    void *to); /* partial [count, width] */

/* Number of rows when `a` is seen as [rows, last axis]; its width is a->size[a->rank - 1]. */
int64_t rilli_rows_of(const rill_array *a);

static inline size_t rilli_round64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

#endif /* RILL_OPS_CPU_ROWS_H_ */
