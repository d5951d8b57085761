/* What happens to queries and keys before the recurrence: s = silu(x), y = s (sum s^2 + eps)^-1/2
 * over the last axis, in one pass; l2norm is the same without the SiLU.
 *
 * With eps inside the root a row of zeros gives zeros and a finite gradient, and the derivative
 * ds = r dy - s r^3 (s . dy), r the inverse norm, is exact. Only x is saved. */
#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"

extern const rill_op rilli_op_l2norm, rilli_op_qk_prepare, rilli_op_qk_prepare_backward;

typedef rilli_qk_prepare_attr attributes;

bool rilli_cuda_qk_prepare(const rill_call *call);
bool rilli_cuda_qk_prepare_backward(const rill_call *call);

static bool check(rill_infer *q, int x) {
  const attributes *attr = q->attr;
  return rilli_expect_float(q, x) && rilli_expect_rank(q, x, 1) &&
         rilli_expect_positive(q, "eps", attr->eps);
}
static bool infer(rill_infer *q) {
  return check(q, 0) && rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}
static bool backward_infer(rill_infer *q) {
  return check(q, 1) && rilli_expect_like(q, 0, 1) &&
         rill_infer_output(q, 0, q->in[1].dtype, rill_array_shape(&q->in[1]));
}

/* ---- kernels ---- */

typedef struct {
  const rilli_row_math *math;
  const rill_array *x, *dy, *out; /* dy NULL: forward */
  const attributes *attr;
} job;

static void run_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  const attributes *attr = j->attr;
  rill_dtype d = j->x->dtype;
  int64_t n = j->x->size[j->x->rank - 1];
  size_t row = rilli_round64((size_t)n * rilli_real_size(d));
  (void)task;
  for (int64_t at = begin * n; at < end * n; at += n) {
    const void *x = rilli_row_load(d, j->x->data, at, n, scratch);
    void *y = rilli_row_target(d, j->out->data, at, rilli_row_buffer(scratch, row));
    if (j->dy) {
      const void *dy = rilli_row_load(d, j->dy->data, at, n, rilli_row_buffer(scratch, 2 * row));
      j->math->prepare_backward(x, dy, y, n, attr->silu, attr->norm, attr->eps);
    } else {
      j->math->prepare(x, y, n, attr->silu, attr->norm, attr->eps);
    }
    rilli_row_store(d, y, j->out->data, at, n);
  }
}

static bool run_job(const rill_call *call, const rill_array *x, const rill_array *dy) {
  job j = {rilli_row_math_of(x->dtype), x, dy, &call->out[0], call->attr};
  int64_t n = x->size[x->rank - 1], rows = n ? rilli_rows_of(x) : 0;
  size_t scratch = rilli_is_bf16(x->dtype) ? 3 * rilli_round64((size_t)n * sizeof(float)) : 0;
  return rilli_rows_run(call->env, rows, rilli_rows_block(rows, n, false), scratch, run_rows, &j);
}
static bool run(const rill_call *call) { return run_job(call, &call->in[0], NULL); }
static bool backward_run(const rill_call *call) {
  return run_job(call, &call->in[1], &call->in[0]);
}

/* ---- in other ops ---- */

static rill_tensor *inverse_norm(rill_tensor *s, double eps) {
  return rill_rsqrt(rill_affine(rill_sum(rill_square(s), -1, true), 1, eps));
}

static void compose(rill_compose *c) {
  const attributes *attr = c->attr;
  rill_tensor *x = rilli_as_real(c->in[0]), *s = attr->silu ? rill_silu(x) : x;
  if (attr->norm) s = rill_mul(s, inverse_norm(s, attr->eps));
  c->out[0] = rilli_as_dtype(s == c->in[0] ? rill_affine(s, 1, 0) : s, rill_dtype_of(c->in[0]));
}

static void backward_compose(rill_compose *c) {
  const attributes *attr = c->attr;
  rill_tensor *dy = rilli_as_real(c->in[0]), *x = rilli_as_real(c->in[1]), *ds = dy;
  if (attr->norm) {
    rill_tensor *s = attr->silu ? rill_silu(x) : x, *r = inverse_norm(s, attr->eps);
    rill_tensor *y = rill_mul(s, r);
    ds = rill_mul(r, rill_sub(dy, rill_mul(y, rill_sum(rill_mul(y, dy), -1, true))));
  }
  if (attr->silu) {
    rill_tensor *g = rill_sigmoid(x);
    ds = rill_mul(ds, rill_mul(g, rill_affine(rill_mul(x, rill_affine(g, -1, 1)), 1, 1)));
  }
  c->out[0] = rilli_as_dtype(ds == c->in[0] ? rill_affine(ds, 1, 0) : ds, rill_dtype_of(c->in[1]));
}

static void vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_qk_prepare_backward, g->attr, g->grad[0], g->in[0]));
}

/* ---- samples ---- */

static void sample_as(rill_samples *s, const attributes *kind, int kinds) {
  static const rill_shape shape[] = {
      {1, {1}},       {1, {5}},       {1, {257}},     {2, {1, 1}},          {2, {1, 7}},
      {2, {3, 4}},    {2, {0, 4}},    {2, {4, 0}},    {2, {7, 13}},         {2, {2, 63}},
      {2, {2, 65}},   {3, {2, 3, 8}}, {3, {2, 0, 5}}, {4, {2, 3, 2, 16}},   {4, {1, 5, 3, 7}},
      {3, {1, 1, 2}}, {2, {5, 31}},   {2, {5, 33}},   {5, {2, 1, 2, 1, 3}}, {2, {17, 2}},
      {2, {1, 129}},  {2, {11, 11}},  {3, {3, 1, 3}}, {2, {2, 127}}};
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++) {
    attributes attr = kind[i % (size_t)kinds];
    attr.eps = shape[i].size[shape[i].rank - 1] < 3 || i % 5 == 0 ? 0.1 : 1e-6;
    rill_sample_add(
        s, (rill_sample){
               .name = "shape", .in = {{.shape = shape[i]}, {.shape = shape[i]}}, .attr = &attr});
  }
  for (int i = 0; i < kinds; i++)
    rill_sample_add(s, (rill_sample){.name = "many rows",
                                     .in = {{.shape = RILL_SHAPE(1009, 8, 32)},
                                            {.shape = RILL_SHAPE(1009, 8, 32)}},
                                     .attr = &kind[i],
                                     .no_gradient = true});
  attributes bad = kind[0];
  bad.eps = -1e-6;
  rill_sample_add(s, (rill_sample){.name = "eps",
                                   .in = {{.shape = RILL_SHAPE(2, 3)}, {.shape = RILL_SHAPE(2, 3)}},
                                   .attr = &bad,
                                   .refused = "eps must be positive and finite"});
  rill_sample_add(s, (rill_sample){.name = "rank",
                                   .in = {{.shape = RILL_SCALAR}, {.shape = RILL_SCALAR}},
                                   .attr = &kind[0],
                                   .refused = "x must have rank 1 or more, not 0"});
}

static const attributes kind[] = {
    {1e-6, true, true}, {1e-6, false, true}, {1e-6, true, false}, {1e-6, false, false}};

static void l2norm_sample(rill_samples *s) {
  sample_as(s, &kind[1], 1);
  rill_sample_add(s, (rill_sample){.name = "zeros",
                                   .in = {{.shape = RILL_SHAPE(2, 3), .low = 0, .high = 1e-300}},
                                   .attr = &(attributes){0.01, false, true}});
}
static void sample(rill_samples *s) { sample_as(s, kind, 4); }

const rill_op rilli_op_l2norm = {
    .name = "l2norm",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_qk_prepare)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = l2norm_sample,
};
const rill_op rilli_op_qk_prepare = {
    .name = "qk_prepare",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_qk_prepare)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};
const rill_op rilli_op_qk_prepare_backward = {
    .name = "qk_prepare_backward",
    .in = {"dy", "x"},
    .out = {"dx"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_qk_prepare_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of qk_prepare is differentiated no further",
    .sample = sample,
};

rill_tensor *rill_l2norm(rill_tensor *x, double eps) {
  attributes attr = {eps == 0 ? 1e-6 : eps, false, true};
  return RILL_APPLY(&rilli_op_l2norm, &attr, x);
}
rill_tensor *rill_qk_prepare(rill_tensor *x, bool silu, bool norm, double eps) {
  attributes attr = {eps == 0 ? 1e-6 : eps, silu, norm};
  return RILL_APPLY(&rilli_op_qk_prepare, &attr, x);
}
