/* The first largest or smallest element along an axis.
 *
 * Neighbouring columns are searched side by side, in vectors. A single row is searched as LANES
 * columns, element i in column i mod LANES, whose winners are compared at the end. */
#include "ops/cpu/extreme.h"

#include "ops/cpu/clones.h"
#include "ops/cpu/rows.h"

enum { COLUMNS = 64, LANES = 16 };

/* m <= COLUMNS neighbouring columns of n >= 1 rows, `stride` apart: where each one's winner is. */
typedef void columns_fn(const void *x, int64_t n, int64_t stride, int64_t m, int64_t *index);
/* The same for one row of n >= 1 neighbours. */
typedef int64_t row_fn(const void *x, int64_t n);

typedef struct {
  columns_fn *columns;
  row_fn *row;
} finder;

#define AS_IT_IS(x) (x)
#define ABOVE(a, b) ((a) > (b))
#define BELOW(a, b) ((a) < (b))

/* Does `now` win against `best`, which came before it? (now != now: NaN) */
#define WINS(better, now, best) (better(now, best) || ((now) != (now) && (best) == (best)))

#define DEFINE_FINDER(name, stored, real, load, better)                                         \
  RILLI_CLONES static void name##_columns(const void *x_, int64_t n, int64_t stride, int64_t m, \
                                          int64_t *restrict index) {                            \
    const stored *restrict x = x_;                                                              \
    real best[COLUMNS];                                                                         \
    for (int64_t j = 0; j < m; j++) {                                                           \
      best[j] = load(x[j]);                                                                     \
      index[j] = 0;                                                                             \
    }                                                                                           \
    for (int64_t k = 1; k < n; k++) {                                                           \
      for (int64_t j = 0; j < m; j++) {                                                         \
        real now = load(x[k * stride + j]);                                                     \
        bool wins = WINS(better, now, best[j]);                                                 \
        best[j] = wins ? now : best[j];                                                         \
        index[j] = wins ? k : index[j];                                                         \
      }                                                                                         \
    }                                                                                           \
  }                                                                                             \
  static int64_t name##_row(const void *x_, int64_t n) {                                        \
    const stored *x = x_;                                                                       \
    int64_t lane[LANES], whole = n - n % LANES, at = 0;                                         \
    if (whole > 0) {                                                                            \
      name##_columns(x, whole / LANES, LANES, LANES, lane);                                     \
      at = lane[0] * LANES;                                                                     \
    }                                                                                           \
    for (int64_t l = 1; whole > 0 && l < LANES; l++) {                                          \
      int64_t i = lane[l] * LANES + l, first = i < at ? i : at, other = i < at ? at : i;        \
      at = WINS(better, load(x[other]), load(x[first])) ? other : first;                        \
    }                                                                                           \
    for (int64_t i = whole; i < n; i++)                                                         \
      if (WINS(better, load(x[i]), load(x[at]))) at = i;                                        \
    return at;                                                                                  \
  }
DEFINE_FINDER(max_f32, float, float, AS_IT_IS, ABOVE)
DEFINE_FINDER(max_f64, double, double, AS_IT_IS, ABOVE)
DEFINE_FINDER(max_bf16, rill_bf16, float, rill_bf16_to_f32, ABOVE)
DEFINE_FINDER(max_i32, int32_t, int32_t, AS_IT_IS, ABOVE)
DEFINE_FINDER(max_i64, int64_t, int64_t, AS_IT_IS, ABOVE)
DEFINE_FINDER(max_u8, uint8_t, uint8_t, AS_IT_IS, ABOVE)
DEFINE_FINDER(min_f32, float, float, AS_IT_IS, BELOW)
DEFINE_FINDER(min_f64, double, double, AS_IT_IS, BELOW)
DEFINE_FINDER(min_bf16, rill_bf16, float, rill_bf16_to_f32, BELOW)
DEFINE_FINDER(min_i32, int32_t, int32_t, AS_IT_IS, BELOW)
DEFINE_FINDER(min_i64, int64_t, int64_t, AS_IT_IS, BELOW)
DEFINE_FINDER(min_u8, uint8_t, uint8_t, AS_IT_IS, BELOW)

/* [smallest][dtype] */
static const finder FINDERS[2][RILL_DTYPE_COUNT] = {
    {[RILL_F32] = {max_f32_columns, max_f32_row},
     [RILL_F64] = {max_f64_columns, max_f64_row},
     [RILL_BF16] = {max_bf16_columns, max_bf16_row},
     [RILL_I32] = {max_i32_columns, max_i32_row},
     [RILL_I64] = {max_i64_columns, max_i64_row},
     [RILL_U8] = {max_u8_columns, max_u8_row},
     [RILL_BOOL] = {max_u8_columns, max_u8_row}},
    {[RILL_F32] = {min_f32_columns, min_f32_row},
     [RILL_F64] = {min_f64_columns, min_f64_row},
     [RILL_BF16] = {min_bf16_columns, min_bf16_row},
     [RILL_I32] = {min_i32_columns, min_i32_row},
     [RILL_I64] = {min_i64_columns, min_i64_row},
     [RILL_U8] = {min_u8_columns, min_u8_row},
     [RILL_BOOL] = {min_u8_columns, min_u8_row}},
};

typedef struct {
  const rill_array *x;
  finder find;
  int64_t size, inner, blocks;
  char *value;
  int64_t *index;
} job;

static void run_units(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  size_t bytes = rill_dtype_size(j->x->dtype);
  (void)task;
  (void)scratch;
  for (int64_t u = begin; u < end; u++) {
    int64_t o = u / j->blocks, first = u % j->blocks * COLUMNS, to = o * j->inner + first;
    int64_t m = j->inner - first < COLUMNS ? j->inner - first : COLUMNS;
    const char *x = rilli_at(j->x->dtype, j->x->data, o * j->size * j->inner + first);
    if (j->inner == 1)
      j->index[to] = j->find.row(x, j->size);
    else
      j->find.columns(x, j->size, j->inner, m, j->index + to);
    for (int64_t i = 0; j->value && i < m; i++)
      memcpy(j->value + (size_t)(to + i) * bytes,
             x + (size_t)(j->index[to + i] * j->inner + i) * bytes, bytes);
  }
}

bool rilli_extreme(rill_env *env, const rill_array *x, int64_t outer, int64_t size, int64_t inner,
                   bool smallest, void *value, int64_t *index) {
  job j = {x, FINDERS[smallest][x->dtype], size, inner, 0, value, index};
  j.blocks = (inner + COLUMNS - 1) / COLUMNS;
  int64_t units = outer * j.blocks, width = inner < COLUMNS ? inner : COLUMNS;
  return rilli_rows_run(env, units, rilli_rows_block(units, size * width, false), 0, run_units, &j);
}
