/* cumsum: running sums along an axis, the element itself included; its derivative is the same from
 * the other end. Lines run in parallel, each from one end to the other, in f64 (integers wrap
 * around in their own type). */
#include "ops/axis.h"
#include "ops/cpu/clones.h"
#include "ops/cpu/rows.h"
#include "ops/infer.h"
#include "ops/attributes.h"
#include "ops/samples.h"

extern const rill_op rilli_op_cumsum;
bool rilli_cuda_cumsum(const rill_call *call);

enum { COLUMNS = 64 };

typedef rilli_cumsum_attr attributes;

/* m <= COLUMNS neighbouring columns of n rows, `stride` apart (negative from the other end). */
typedef void columns_fn(const void *x, void *y, int64_t n, int64_t stride, int64_t m);

#define AS_IT_IS(x) (x)
#define TO_BF16(x) rill_bf16_from_f32((float)(x))

#define DEFINE_COLUMNS(name, stored, total, load, store)                                          \
  RILLI_CLONES static void name(const void *x_, void *y_, int64_t n, int64_t stride, int64_t m) { \
    const stored *restrict x = x_;                                                                \
    stored *restrict y = y_;                                                                      \
    if (m == 1) {                                                                                 \
      total one = 0;                                                                              \
      for (int64_t k = 0; k < n; k++) {                                                           \
        one += (total)load(x[k * stride]);                                                        \
        y[k * stride] = store(one);                                                               \
      }                                                                                           \
      return;                                                                                     \
    }                                                                                             \
    total sum[COLUMNS] = {0};                                                                     \
    for (int64_t k = 0; k < n; k++) {                                                             \
      for (int64_t j = 0; j < m; j++) {                                                           \
        sum[j] += (total)load(x[k * stride + j]);                                                 \
        y[k * stride + j] = store(sum[j]);                                                        \
      }                                                                                           \
    }                                                                                             \
  }
DEFINE_COLUMNS(columns_f32, float, double, AS_IT_IS, (float))
DEFINE_COLUMNS(columns_f64, double, double, AS_IT_IS, AS_IT_IS)
DEFINE_COLUMNS(columns_bf16, rill_bf16, double, rill_bf16_to_f32, TO_BF16)
DEFINE_COLUMNS(columns_i32, uint32_t, uint32_t, AS_IT_IS, AS_IT_IS)
DEFINE_COLUMNS(columns_i64, uint64_t, uint64_t, AS_IT_IS, AS_IT_IS)
DEFINE_COLUMNS(columns_u8, uint8_t, uint32_t, AS_IT_IS, (uint8_t))

static columns_fn *const TABLE[RILL_DTYPE_COUNT] = {
    [RILL_F32] = columns_f32, [RILL_F64] = columns_f64, [RILL_BF16] = columns_bf16,
    [RILL_I32] = columns_i32, [RILL_I64] = columns_i64, [RILL_U8] = columns_u8,
};

typedef struct {
  const rill_array *x, *y;
  rilli_axis_fold fold;
  int64_t blocks;
  bool reverse;
} job;

static void run_units(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  const rilli_axis_fold *s = &j->fold;
  rill_dtype dtype = j->x->dtype;
  (void)task;
  (void)scratch;
  for (int64_t u = begin; u < end; u++) {
    int64_t first = u % j->blocks * COLUMNS, at = u / j->blocks * s->size * s->inner + first;
    int64_t m = s->inner - first < COLUMNS ? s->inner - first : COLUMNS;
    if (j->reverse) at += (s->size - 1) * s->inner;
    TABLE[dtype](rilli_at(dtype, j->x->data, at), rilli_at(dtype, j->y->data, at), s->size,
                 j->reverse ? -s->inner : s->inner, m);
  }
}

static bool run(const rill_call *call) {
  const attributes *attr = call->attr;
  const rill_array *x = &call->in[0];
  job j = {.x = x, .y = &call->out[0], .reverse = attr->reverse};
  if (rill_array_count(x) == 0) return true;
  j.fold = rilli_axis_of(x, attr->axis);
  j.blocks = (j.fold.inner + COLUMNS - 1) / COLUMNS;
  int64_t units = j.fold.outer * j.blocks;
  int64_t width = j.fold.inner < COLUMNS ? j.fold.inner : COLUMNS;
  return rilli_rows_run(call->env, units, rilli_rows_block(units, j.fold.size * width, false), 0,
                        run_units, &j);
}

static bool infer(rill_infer *q) {
  int axis;
  return rilli_infer_axis(q, 0, ((const attributes *)q->attr)->axis, &axis) &&
         rilli_infer_number(q);
}

static void vjp(rill_vjp *g) {
  attributes attr = *(const attributes *)g->attr;
  attr.reverse = !attr.reverse;
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_cumsum, &attr, g->grad[0]));
}

static void sample(rill_samples *s) {
  static const rill_shape shape[] = {
      {1, {0}},     {1, {1}},       {1, {2}},        {1, {7}},         {1, {257}},
      {2, {3, 5}},  {2, {0, 3}},    {2, {1, 9}},     {2, {9, 1}},      {2, {65, 63}},
      {2, {2, 67}}, {3, {2, 3, 5}}, {3, {2, 17, 1}}, {4, {2, 1, 3, 4}}};
  static const rill_dtype dtype[] = {RILL_I64, RILL_I32, RILL_U8};
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
    for (int k = 0; k < 3; k++)
      rill_sample_add(s, (rill_sample){.name = k == 2 ? "reversed" : "shape",
                                       .in = {{.shape = shape[i]}},
                                       .attr = &(attributes){k == 1 ? 0 : -1, k == 2}});
  for (size_t i = 0; i < 3; i++)
    rill_sample_add(s,
                    (rill_sample){.name = "integers",
                                  .in = {{.shape = RILL_SHAPE(9), .dtype = dtype[i], .below = 90}},
                                  .attr = &(attributes){0, false}});
  rill_sample_add(s, (rill_sample){.name = "many",
                                   .in = {{.shape = RILL_SHAPE(1031, 1019)}},
                                   .attr = &(attributes){0, false},
                                   .no_gradient = true});
  rill_sample_add(s, (rill_sample){.name = "axis",
                                   .in = {{.shape = RILL_SHAPE(2, 3)}},
                                   .attr = &(attributes){-3, false},
                                   .refused = "axis -3 is out of range for rank 2"});
  rilli_sample_refused_dtype(s, 1, RILL_BOOL, &(attributes){0, false},
                             "x must be a number, not bool");
}

const rill_op rilli_op_cumsum = {
    .name = "cumsum",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "columns", NULL, run},
                RILL_CUDA_KERNEL("scan", NULL, rilli_cuda_cumsum)},
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_cumsum(rill_tensor *x, int axis) {
  return RILL_APPLY(&rilli_op_cumsum, (&(attributes){axis, false}), x);
}
