/* Layer norm, y = (x - mean) (var + eps)^-1/2 weight + bias over the last axis, and its derivative:
 * one pass over a row each, statistics redone from the row in the backward. */
#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"

enum { X, WEIGHT, BIAS };
enum { DY, BACK_X, BACK_WEIGHT };

extern const rill_op rilli_op_layernorm, rilli_op_layernorm_backward;

typedef rilli_layernorm_attr attributes;

bool rilli_cuda_layernorm(const rill_call *call);
bool rilli_cuda_layernorm_backward(const rill_call *call);

static bool check(rill_infer *q, int x, int weight) {
  const attributes *attr = q->attr;
  const rill_array *a = &q->in[x];
  return rilli_expect_float(q, x) && rilli_expect_rank(q, x, 1) &&
         rilli_expect(q, weight, a->dtype, RILL_SHAPE(a->size[a->rank - 1])) &&
         rilli_expect_positive(q, "eps", attr->eps);
}

static bool infer(rill_infer *q) {
  const rill_array *x = &q->in[X];
  if (!check(q, X, WEIGHT)) return false;
  if (!rilli_expect(q, BIAS, x->dtype, RILL_SHAPE(x->size[x->rank - 1]))) return false;
  return rill_infer_output(q, 0, x->dtype, rill_array_shape(x));
}

static bool backward_infer(rill_infer *q) {
  const rill_array *x = &q->in[BACK_X];
  const attributes *attr = q->attr;
  if (!check(q, BACK_X, BACK_WEIGHT) || !rilli_expect_like(q, DY, BACK_X)) return false;
  rill_shape row = RILL_SHAPE(x->size[x->rank - 1]), none = RILL_SHAPE(0);
  rill_infer_output(q, 0, x->dtype, rill_array_shape(x));
  rill_infer_output(q, 1, x->dtype, rill_present(&q->in[BACK_WEIGHT]) ? row : none);
  return rill_infer_output(q, 2, x->dtype, attr->bias ? row : none);
}

/* ---- kernels ---- */

typedef struct {
  rill_dtype dtype;
  const rilli_row_math *math;
  int64_t n, tasks;
  double eps;
  const void *x, *weight, *bias, *dy; /* dy NULL: forward */
  void *y;                            /* y, or dx */
  double *dweight, *dbias;            /* [tasks, n], or NULL */
} job;

static const void *data_of(const rill_array *a) { return rill_present(a) ? a->data : NULL; }

static double *partial_of(double *partial, int64_t task, int64_t n) {
  if (!partial) return NULL;
  for (int64_t i = 0; i < n; i++) partial[task * n + i] = 0;
  return partial + task * n;
}

static void run_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  rill_dtype d = j->dtype;
  int64_t n = j->n;
  size_t row = rilli_round64((size_t)n * rilli_real_size(d));
  const void *weight = rilli_row_load(d, j->weight, 0, n, scratch);
  const void *bias = rilli_row_load(d, j->bias, 0, n, rilli_row_buffer(scratch, row));
  double *dweight = partial_of(j->dweight, task, n), *dbias = partial_of(j->dbias, task, n);
  for (int64_t at = begin * n; at < end * n; at += n) {
    const void *x = rilli_row_load(d, j->x, at, n, rilli_row_buffer(scratch, 2 * row));
    const void *dy = rilli_row_load(d, j->dy, at, n, rilli_row_buffer(scratch, 3 * row));
    void *y = rilli_row_target(d, j->y, at, rilli_row_buffer(scratch, 4 * row));
    if (dy)
      j->math->layernorm_backward(x, weight, dy, y, dweight, dbias, n, j->eps);
    else
      j->math->layernorm(x, weight, bias, y, n, j->eps);
    rilli_row_store(d, y, j->y, at, n);
  }
}

static bool run_job(const rill_call *call, const rill_array *x, job *j, bool sums) {
  const attributes *attr = call->attr;
  int64_t n = x->size[x->rank - 1], rows = n ? rilli_rows_of(x) : 0;
  int64_t block = rilli_rows_block(rows, n, sums);
  j->tasks = rilli_rows_tasks(rows, block);
  j->dtype = x->dtype;
  j->math = rilli_row_math_of(x->dtype);
  j->n = n;
  j->eps = attr->eps;
  j->x = x->data;
  size_t partial = (size_t)(j->tasks * n) * sizeof(double);
  if (sums && j->weight && !(j->dweight = rill_env_alloc(call->env, partial))) return false;
  if (sums && attr->bias && !(j->dbias = rill_env_alloc(call->env, partial))) return false;
  size_t scratch = rilli_is_bf16(x->dtype) ? 5 * rilli_round64((size_t)n * sizeof(float)) : 0;
  return rilli_rows_run(call->env, rows, block, scratch, run_rows, j);
}

static bool run(const rill_call *call) {
  job j = {.weight = data_of(&call->in[WEIGHT]),
           .bias = data_of(&call->in[BIAS]),
           .y = call->out[0].data};
  return run_job(call, &call->in[X], &j, false);
}

static bool backward_run(const rill_call *call) {
  job j = {
      .weight = data_of(&call->in[BACK_WEIGHT]), .dy = call->in[DY].data, .y = call->out[0].data};
  if (!run_job(call, &call->in[BACK_X], &j, true)) return false;
  if (j.dweight) rilli_rows_add(j.dweight, j.tasks, j.n, j.dtype, call->out[1].data);
  if (j.dbias) rilli_rows_add(j.dbias, j.tasks, j.n, j.dtype, call->out[2].data);
  return true;
}

/* ---- in other ops ---- */

/* (x - mean) r; *r = (var + eps)^-1/2 */
static rill_tensor *normalise(rill_tensor *x, const void *attr, rill_tensor **r) {
  rill_tensor *centred = rill_sub(x, rill_mean(x, -1, true));
  rill_tensor *var = rill_mean(rill_square(centred), -1, true);
  *r = rill_rsqrt(rill_affine(var, 1, ((const attributes *)attr)->eps));
  return rill_mul(centred, *r);
}

static void compose(rill_compose *c) {
  rill_tensor *r, *y = normalise(rilli_as_real(c->in[X]), c->attr, &r);
  if (c->in[WEIGHT]) y = rill_mul(y, rilli_as_real(c->in[WEIGHT]));
  if (c->in[BIAS]) y = rill_add(y, rilli_as_real(c->in[BIAS]));
  c->out[0] = rilli_as_dtype(y, rill_dtype_of(c->in[X]));
}

static void backward_compose(rill_compose *c) {
  const attributes *attr = c->attr;
  rill_dtype dtype = rill_dtype_of(c->in[BACK_X]);
  rill_tensor *r, *h = normalise(rilli_as_real(c->in[BACK_X]), c->attr, &r);
  rill_tensor *dy = rilli_as_real(c->in[DY]), *w = rilli_as_real(c->in[BACK_WEIGHT]);
  rill_tensor *u = w ? rill_mul(dy, w) : dy;
  rill_tensor *along = rill_mul(h, rill_mean(rill_mul(u, h), -1, true));
  rill_tensor *dx = rill_sub(rill_sub(u, rill_mean(u, -1, true)), along);
  c->out[0] = rilli_as_dtype(rill_mul(r, dx), dtype);
  c->out[1] = w ? rilli_as_dtype(rilli_sum_rows(rill_mul(dy, h)), dtype)
                : rill_zeros(c->ctx, dtype, RILL_SHAPE(0));
  c->out[2] = attr->bias ? rilli_as_dtype(rilli_sum_rows(dy), dtype)
                         : rill_zeros(c->ctx, dtype, RILL_SHAPE(0));
}

static void vjp(rill_vjp *g) {
  attributes attr = *(const attributes *)g->attr;
  attr.bias = g->like[BIAS].rank >= 0 && rill_vjp_wants(g, BIAS);
  rill_tensor *in[] = {g->grad[0], g->in[X], g->in[WEIGHT]}, *out[3];
  rill_apply_all(&rilli_op_layernorm_backward, 3, in, &attr, out);
  rill_vjp_give(g, X, out[0]);
  if (g->in[WEIGHT]) rill_vjp_give(g, WEIGHT, out[1]);
  if (attr.bias) rill_vjp_give(g, BIAS, out[2]);
}

/* ---- samples ---- */

static const rill_shape sample_shape[] = {
    {1, {2}},       {1, {5}},       {1, {257}},     {2, {1, 2}},      {2, {1, 7}},
    {2, {3, 4}},    {2, {0, 4}},    {2, {7, 13}},   {2, {2, 63}},     {2, {2, 65}},
    {3, {2, 3, 8}}, {3, {2, 0, 5}}, {3, {1, 1, 3}}, {4, {2, 1, 3, 6}}};
enum { SHAPES = (int)(sizeof sample_shape / sizeof sample_shape[0]) };

static void sample_rows(rill_samples *s, bool backward) {
  attributes attr = {1e-5, false}, bad = {0, false};
  for (int i = 0; i < 2 * SHAPES; i++) {
    rill_shape x = sample_shape[i / 2], row = RILL_SHAPE(x.size[x.rank - 1]);
    attr.eps = row.size[0] < 4 || i % 3 == 0 ? 0.1 : 1e-5;
    attr.bias = backward && i % 4 < 2;
    rill_sample one = {
        .name = i % 2 ? "no weight" : "weight",
        .in = {{.shape = x}, {.shape = row, .absent = i % 2}, {.shape = row, .absent = i % 4 > 1}},
        .attr = &attr};
    if (backward) {
      one.in[2] = one.in[1];
      one.in[1] = one.in[0];
    }
    rill_sample_add(s, one);
  }
  rill_shape many = RILL_SHAPE(5003, 48), row = RILL_SHAPE(48);
  rill_sample_add(
      s, (rill_sample){.name = "many rows",
                       .in = {{.shape = many}, {.shape = backward ? many : row}, {.shape = row}},
                       .attr = &attr,
                       .no_gradient = true});
  rill_shape x = RILL_SHAPE(2, 3), w = RILL_SHAPE(3), wrong = RILL_SHAPE(2);
  rill_sample_add(
      s, (rill_sample){
             .name = "weight",
             .in = {{.shape = x}, {.shape = backward ? x : wrong}, {.shape = backward ? wrong : w}},
             .attr = &attr,
             .refused = "weight must have shape [3], not [2]"});
  rill_sample_add(s, (rill_sample){.name = "eps",
                                   .in = {{.shape = x}, {.shape = backward ? x : w}, {.shape = w}},
                                   .attr = &bad,
                                   .refused = "eps must be positive and finite, not 0"});
}

static void sample(rill_samples *s) {
  attributes attr = {1e-5, false};
  sample_rows(s, false);
  rill_sample_add(
      s, (rill_sample){
             .name = "bias",
             .in = {{.shape = RILL_SHAPE(2, 3)}, {.absent = true}, {.shape = RILL_SHAPE(3, 1)}},
             .attr = &attr,
             .refused = "bias must have shape [3], not [3, 1]"});
}
static void backward_sample(rill_samples *s) { sample_rows(s, true); }

const rill_op rilli_op_layernorm = {
    .name = "layernorm",
    .in = {"x", "weight?", "bias?"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_layernorm)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(X) | RILL_SAVE_INPUT(WEIGHT),
    .sample = sample,
};
const rill_op rilli_op_layernorm_backward = {
    .name = "layernorm_backward",
    .in = {"dy", "x", "weight?"},
    .out = {"dx", "dweight", "dbias"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_layernorm_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of layernorm is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_layernorm_op(rill_tensor *x, rill_tensor *weight, rill_tensor *bias, double eps) {
  attributes attr = {.eps = eps == 0 ? 1e-5 : eps};
  return RILL_APPLY(&rilli_op_layernorm, &attr, x, weight, bias);
}
