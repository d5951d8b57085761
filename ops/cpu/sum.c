/* x is cut into units whose bounds depend on sizes only: runs of a row when inner is 1, else blocks
 * of neighbouring columns over a run of rows. Units leave totals in f64, which are added up in
 * order, so a result depends on no thread, and 10^6 values of f32 lose no digits. */
#include "ops/cpu/sum.h"

#include "ops/cpu/clones.h"
#include "ops/cpu/rows.h"

enum { COLUMNS = 256, RUN = 32768 };

#define AS_IT_IS(x) (x)

#define NAME(x) x##_f32
#define STORED float
#define LOAD AS_IT_IS
#define REAL float
#define TOTAL double
#include "ops/cpu/sum_impl.h"

#define NAME(x) x##_bf16
#define STORED rill_bf16
#define LOAD rill_bf16_to_f32
#define REAL float
#define TOTAL double
#include "ops/cpu/sum_impl.h"

#define NAME(x) x##_f64
#define STORED double
#define LOAD AS_IT_IS
#define REAL double
#define TOTAL double
#include "ops/cpu/sum_impl.h"

#define NAME(x) x##_i32
#define STORED int32_t
#define LOAD (uint64_t)
#define REAL uint64_t
#define TOTAL uint64_t
#include "ops/cpu/sum_impl.h"

#define NAME(x) x##_i64
#define STORED int64_t
#define LOAD (uint64_t)
#define REAL uint64_t
#define TOTAL uint64_t
#include "ops/cpu/sum_impl.h"

#define NAME(x) x##_u8
#define STORED uint8_t
#define LOAD (uint64_t)
#define REAL uint64_t
#define TOTAL uint64_t
#include "ops/cpu/sum_impl.h"

typedef struct {
  void (*row)(const void *x, int64_t n, void *total);
  void (*columns)(const void *x, int64_t n, int64_t stride, int64_t m, void *total);
} summer;

static const summer SUMMERS[RILL_DTYPE_COUNT] = {
    [RILL_F32] = {row_f32, columns_f32},    [RILL_F64] = {row_f64, columns_f64},
    [RILL_BF16] = {row_bf16, columns_bf16}, [RILL_I32] = {row_i32, columns_i32},
    [RILL_I64] = {row_i64, columns_i64},    [RILL_U8] = {row_u8, columns_u8},
    [RILL_BOOL] = {row_u8, columns_u8},
};

typedef union {
  double real;
  uint64_t whole;
} total;

typedef struct {
  const rill_array *x, *y;
  int64_t outer, size, inner;
  summer summer;
  int64_t run, runs, blocks; /* a unit is (outer, run of the axis, block of columns) */
  total *partial;            /* [outer, runs, inner]; NULL when there is one run */
} job;

static void put(const job *j, int64_t at, total value) {
  switch (j->y->dtype) {
    case RILL_F64:
      ((double *)j->y->data)[at] = value.real;
      break;
    case RILL_F32:
      ((float *)j->y->data)[at] = (float)value.real;
      break;
    case RILL_BF16:
      ((rill_bf16 *)j->y->data)[at] = rill_bf16_from_f32((float)value.real);
      break;
    default:
      ((uint64_t *)j->y->data)[at] = value.whole;
      break;
  }
}

static void run_unit(const job *j, int64_t unit) {
  int64_t block = unit % j->blocks, run = unit / j->blocks % j->runs;
  int64_t o = unit / j->blocks / j->runs, first = block * COLUMNS, begin = run * j->run;
  int64_t n = j->size - begin < j->run ? j->size - begin : j->run;
  int64_t m = j->inner - first < COLUMNS ? j->inner - first : COLUMNS;
  const void *x = rilli_at(j->x->dtype, j->x->data, (o * j->size + begin) * j->inner + first);
  total sum[COLUMNS];
  if (j->inner == 1)
    j->summer.row(x, n, sum);
  else
    j->summer.columns(x, n, j->inner, m, sum);
  for (int64_t i = 0; i < m; i++) {
    if (j->partial)
      j->partial[(o * j->runs + run) * j->inner + first + i] = sum[i];
    else
      put(j, o * j->inner + first + i, sum[i]);
  }
}

static void run_units(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  (void)task;
  (void)scratch;
  for (int64_t u = begin; u < end; u++) run_unit(user, u);
}

static void add_partials(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  bool real = rill_dtype_is_float(j->y->dtype);
  (void)task;
  (void)scratch;
  for (int64_t i = begin; i < end; i++) {
    const total *p = j->partial + i / j->inner * j->runs * j->inner + i % j->inner;
    total sum = *p;
    for (int64_t r = 1; r < j->runs; r++) {
      if (real)
        sum.real += p[r * j->inner].real;
      else
        sum.whole += p[r * j->inner].whole;
    }
    put(j, i, sum);
  }
}

bool rilli_sum(rill_env *env, const rill_array *x, int64_t outer, int64_t size, int64_t inner,
               const rill_array *y) {
  job j = {.x = x, .y = y, .outer = outer, .size = size, .inner = inner};
  int64_t width = inner < COLUMNS ? inner : COLUMNS, results = outer * inner;
  if (results == 0) return true;
  j.summer = SUMMERS[x->dtype];
  j.run = inner == 1 ? RUN : RUN / width;
  j.runs = size > j.run ? (size + j.run - 1) / j.run : 1;
  j.blocks = (inner + COLUMNS - 1) / COLUMNS;
  if (j.runs > 1) {
    size_t count = (size_t)(outer * j.runs * inner);
    if (!(j.partial = rill_env_alloc(env, count * sizeof(total)))) return false;
  }
  int64_t units = outer * j.runs * j.blocks, each = size < j.run ? size : j.run;
  int64_t block = rilli_rows_block(units, (each > 0 ? each : 1) * width, false);
  if (!rilli_rows_run(env, units, block, 0, run_units, &j)) return false;
  if (!j.partial) return true;
  return rilli_rows_run(env, results, rilli_rows_block(results, j.runs, false), 0, add_partials,
                        &j);
}
