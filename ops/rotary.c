/* Rotary positions: the pair (i, i + D/2) of token t turns by (t + offset) / base^(2i/D).
 *
 * Angles are computed in f64 (far tokens have large ones) and kept as one table of cosines and
 * sines for all batches and heads. The derivative is the same op with the angles reversed. */
#include <inttypes.h>
#include <math.h>

#include "ops/attributes.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"

extern const rill_op rilli_op_rotary;

typedef rilli_rotary_attr attributes;

bool rilli_cuda_rotary(const rill_call *call);

static bool infer(rill_infer *q) {
  const attributes *attr = q->attr;
  const rill_array *x = &q->in[0];
  if (!rilli_expect_float(q, 0)) return false;
  if (x->rank != 4) return rill_refuse(q, "x must have rank 4, [B, T, H, D], not %d", x->rank);
  if (x->size[3] % 2)
    return rill_refuse(q, "the size of the last axis must be even, not %" PRId64, x->size[3]);
  return rilli_expect_positive(q, "base", attr->base) &&
         rill_infer_output(q, 0, x->dtype, rill_array_shape(x));
}

typedef struct {
  const rill_array *x, *y;
  const attributes *attr;
  const rilli_row_math *math;
  int64_t half;
  char *table; /* [T, 2, half] reals: cosines, sines */
} job;

static void fill_table(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  (void)task, (void)scratch;
  for (int64_t t = begin; t < end; t++)
    for (int64_t i = 0; i < j->half; i++) {
      double turn = pow(j->attr->base, -(double)i / (double)j->half);
      double angle = ((double)t + (double)j->attr->offset) * turn;
      double c = cos(angle), s = j->attr->reversed ? -sin(angle) : sin(angle);
      int64_t at = 2 * t * j->half + i;
      if (j->x->dtype == RILL_F64) {
        ((double *)(void *)j->table)[at] = c;
        ((double *)(void *)j->table)[at + j->half] = s;
      } else {
        ((float *)(void *)j->table)[at] = (float)c;
        ((float *)(void *)j->table)[at + j->half] = (float)s;
      }
    }
}

static void turn_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  rill_dtype d = j->x->dtype;
  int64_t T = j->x->size[1], H = j->x->size[2], D = j->x->size[3];
  size_t row = rilli_round64((size_t)D * rilli_real_size(d)),
         line = (size_t)j->half * rilli_real_size(d);
  (void)task;
  for (int64_t r = begin; r < end; r++) {
    const char *table = j->table + (size_t)(r / H % T) * 2 * line;
    const void *x = rilli_row_load(d, j->x->data, r * D, D, scratch);
    void *y = rilli_row_target(d, j->y->data, r * D, rilli_row_buffer(scratch, row));
    j->math->rotate(x, table, table + line, y, j->half);
    rilli_row_store(d, y, j->y->data, r * D, D);
  }
}

static bool run(const rill_call *call) {
  const rill_array *x = &call->in[0];
  int64_t T = x->size[1], D = x->size[3], rows = D ? rilli_rows_of(x) : 0;
  size_t size = rilli_real_size(x->dtype);
  if (rows == 0) return true;
  job j = {.x = x,
           .y = &call->out[0],
           .attr = call->attr,
           .math = rilli_row_math_of(x->dtype),
           .half = D / 2,
           .table = rill_env_alloc(call->env, (size_t)(T * D) * size)};
  if (!j.table) return false;
  size_t scratch = rilli_is_bf16(x->dtype) ? 2 * rilli_round64((size_t)D * size) : 0;
  return rilli_rows_run(call->env, T, rilli_rows_block(T, 8 * D, false), 0, fill_table, &j) &&
         rilli_rows_run(call->env, rows, rilli_rows_block(rows, D, false), scratch, turn_rows, &j);
}

static void compose(rill_compose *c) {
  const attributes *attr = c->attr;
  rill_tensor *x = c->in[0];
  rill_dtype dtype = rill_dtype_of(x), real = rilli_statistics_dtype(dtype);
  int64_t T = rill_size(x, 1), D = rill_size(x, 3), half = D / 2;
  double sign = attr->reversed ? -1 : 1;
  rill_tensor *t = rill_affine(rill_arange(c->ctx, RILL_F64, T), sign, sign * (double)attr->offset);
  rill_tensor *i = rill_arange(c->ctx, RILL_F64, half);
  rill_tensor *turn = rill_exp(rill_scale(i, half ? -log(attr->base) / (double)half : 0));
  rill_tensor *angle = rill_mul(rill_reshape(t, RILL_SHAPE(T, 1, 1)), turn);
  rill_tensor *cosine = rill_cast(rill_cos(angle), real), *sine = rill_cast(rill_sin(angle), real);
  rill_tensor *wide = dtype == real ? x : rill_cast(x, real);
  rill_tensor *a = rill_slice(wide, 3, 0, half, 1), *b = rill_slice(wide, 3, half, D, 1);
  rill_tensor *part[] = {rill_sub(rill_mul(a, cosine), rill_mul(b, sine)),
                         rill_add(rill_mul(a, sine), rill_mul(b, cosine))};
  rill_tensor *y = rill_concat(2, part, 3);
  c->out[0] = dtype == real ? y : rill_cast(y, dtype);
}

static void vjp(rill_vjp *g) {
  attributes attr = *(const attributes *)g->attr;
  attr.reversed = !attr.reversed;
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_rotary, &attr, g->grad[0]));
}

static void sample(rill_samples *s) {
  static const rill_shape shape[] = {
      {4, {1, 1, 1, 2}},  {4, {1, 3, 1, 2}},  {4, {2, 3, 2, 4}},  {4, {1, 5, 3, 6}},
      {4, {0, 3, 2, 4}},  {4, {2, 0, 2, 4}},  {4, {2, 3, 0, 4}},  {4, {2, 3, 2, 0}},
      {4, {1, 7, 1, 10}}, {4, {3, 1, 5, 2}},  {4, {1, 16, 1, 8}}, {4, {1, 17, 1, 8}},
      {4, {1, 15, 2, 8}}, {4, {2, 2, 2, 62}}, {4, {1, 2, 1, 66}}, {4, {1, 1, 13, 14}},
      {4, {5, 2, 1, 2}},  {4, {1, 31, 1, 2}}, {4, {1, 4, 3, 12}}, {4, {2, 3, 1, 34}},
      {4, {1, 2, 7, 4}},  {4, {1, 11, 1, 6}}, {4, {3, 3, 3, 2}},  {4, {1, 1, 1, 128}}};
  static const attributes kind[] = {{10000, 0, false},
                                    {10000, 7, false},
                                    {500000, 1000, false},
                                    {10, 0, true},
                                    {10000, -3, true}};
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
    rill_sample_add(
        s, (rill_sample){.name = "shape", .in = {{.shape = shape[i]}}, .attr = &kind[i % 5]});
  rill_sample_add(s, (rill_sample){.name = "many",
                                   .in = {{.shape = RILL_SHAPE(2, 513, 4, 64)}},
                                   .attr = &kind[0],
                                   .no_gradient = true});
  rill_sample_add(s, (rill_sample){.name = "odd",
                                   .in = {{.shape = RILL_SHAPE(1, 2, 1, 5)}},
                                   .attr = &kind[0],
                                   .refused = "the size of the last axis must be even, not 5"});
  rill_sample_add(s, (rill_sample){.name = "rank",
                                   .in = {{.shape = RILL_SHAPE(2, 1, 6)}},
                                   .attr = &kind[0],
                                   .refused = "x must have rank 4, [B, T, H, D], not 3"});
  rill_sample_add(s, (rill_sample){.name = "base",
                                   .in = {{.shape = RILL_SHAPE(2, 1, 1, 6)}},
                                   .attr = &(attributes){-1, 0, false},
                                   .refused = "base must be positive and finite, not -1"});
}

const rill_op rilli_op_rotary = {
    .name = "rotary",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run}, RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_rotary)},
    .compose = compose,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_rotary(rill_tensor *x, int64_t offset, double base) {
  attributes attr = {.base = base == 0 ? 10000 : base, .offset = offset};
  return RILL_APPLY(&rilli_op_rotary, &attr, x);
}
