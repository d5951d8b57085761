/* RMS norm, alone and with the output gate of a mixer (y = rmsnorm(x) weight silu(gate)), and their
 * derivatives: one pass over a row each.
 *
 * The statistic of a row is not saved: its sum of squares costs less to redo, from a row that is in
 * cache anyway, than to keep. The gradient of the weight is summed per task in f64 and then over
 * the tasks in order. */
#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"

enum { X, WEIGHT };             /* rmsnorm */
enum { G_X, G_GATE, G_WEIGHT }; /* rmsnorm_gated */

extern const rill_op rilli_op_rmsnorm, rilli_op_rmsnorm_backward;
extern const rill_op rilli_op_rmsnorm_gated, rilli_op_rmsnorm_gated_backward;

typedef rilli_rmsnorm_attr attributes;

bool rilli_cuda_rmsnorm(const rill_call *call);
bool rilli_cuda_rmsnorm_gated(const rill_call *call);
bool rilli_cuda_rmsnorm_backward(const rill_call *call);
bool rilli_cuda_rmsnorm_gated_backward(const rill_call *call);

static bool check(rill_infer *q, int x, int gate, int weight) {
  const attributes *attr = q->attr;
  const rill_array *a = &q->in[x];
  if (!rilli_expect_float(q, x) || !rilli_expect_rank(q, x, 1)) return false;
  if (gate >= 0 && !rilli_expect_like(q, gate, x)) return false;
  return rilli_expect(q, weight, a->dtype, RILL_SHAPE(a->size[a->rank - 1])) &&
         rilli_expect_positive(q, "eps", attr->eps);
}

static bool infer_as(rill_infer *q, int gate, int weight) {
  if (!check(q, 0, gate, weight)) return false;
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}
static bool infer(rill_infer *q) { return infer_as(q, -1, WEIGHT); }
static bool gated_infer(rill_infer *q) { return infer_as(q, G_GATE, G_WEIGHT); }

/* Backward: dy before the inputs; dx, [dgate,] dweight (shape [0] without a weight). */
static bool backward_infer_as(rill_infer *q, int gate, int weight) {
  if (!check(q, 1, gate, weight) || !rilli_expect_like(q, 0, 1)) return false;
  const rill_array *x = &q->in[1], *w = &q->in[weight];
  int last = gate >= 0 ? 2 : 1;
  for (int i = 0; i < last; i++) rill_infer_output(q, i, x->dtype, rill_array_shape(x));
  return rill_infer_output(q, last, x->dtype,
                           rill_present(w) ? rill_array_shape(w) : RILL_SHAPE(0));
}
static bool backward_infer(rill_infer *q) { return backward_infer_as(q, -1, 1 + WEIGHT); }
static bool gated_backward_infer(rill_infer *q) {
  return backward_infer_as(q, 1 + G_GATE, 1 + G_WEIGHT);
}

/* ---- kernels ---- */

typedef struct {
  rill_dtype dtype;
  const rilli_row_math *math;
  int64_t n;
  double eps;
  bool backward;
  const void *x, *gate, *weight, *dy; /* gate, weight or NULL */
  void *y, *dx, *dgate;
  double *dweight; /* [tasks, n], or NULL */
} job;

static const void *data_of(const rill_array *a) { return rill_present(a) ? a->data : NULL; }

static void run_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  rill_dtype d = j->dtype;
  int64_t n = j->n;
  size_t row = rilli_round64((size_t)n * rilli_real_size(d));
  const void *weight = rilli_row_load(d, j->weight, 0, n, scratch);
  double *dweight = j->dweight ? j->dweight + task * n : NULL;
  for (int64_t i = 0; dweight && i < n; i++) dweight[i] = 0;
  for (int64_t at = begin * n; at < end * n; at += n) {
    const void *x = rilli_row_load(d, j->x, at, n, rilli_row_buffer(scratch, row));
    const void *gate = rilli_row_load(d, j->gate, at, n, rilli_row_buffer(scratch, 2 * row));
    if (!j->backward) {
      void *y = rilli_row_target(d, j->y, at, rilli_row_buffer(scratch, 3 * row));
      j->math->rmsnorm(x, gate, weight, y, n, j->eps);
      rilli_row_store(d, y, j->y, at, n);
      continue;
    }
    const void *dy = rilli_row_load(d, j->dy, at, n, rilli_row_buffer(scratch, 3 * row));
    void *dx = rilli_row_target(d, j->dx, at, rilli_row_buffer(scratch, 4 * row));
    void *dgate =
        gate ? rilli_row_target(d, j->dgate, at, rilli_row_buffer(scratch, 5 * row)) : NULL;
    j->math->rmsnorm_backward(x, gate, weight, dy, dx, dgate, dweight, n, j->eps);
    rilli_row_store(d, dx, j->dx, at, n);
    if (gate) rilli_row_store(d, dgate, j->dgate, at, n);
  }
}

static bool run_job(const rill_call *call, const rill_array *x, job j, const rill_array *dweight) {
  const attributes *attr = call->attr;
  int64_t n = x->size[x->rank - 1], rows = n ? rilli_rows_of(x) : 0;
  j.dtype = x->dtype;
  j.math = rilli_row_math_of(x->dtype);
  j.n = n;
  j.eps = attr->eps;
  j.x = x->data;
  int64_t block = rilli_rows_block(rows, n, j.weight && j.backward);
  int64_t tasks = rilli_rows_tasks(rows, block);
  if (j.weight && j.backward) {
    j.dweight = rill_env_alloc(call->env, (size_t)(tasks * n) * sizeof(double));
    if (!j.dweight) return false;
  }
  size_t scratch = 6 * rilli_round64((size_t)n * sizeof(float));
  if (!rilli_rows_run(call->env, rows, block, rilli_is_bf16(x->dtype) ? scratch : 0, run_rows, &j))
    return false;
  if (j.dweight) rilli_rows_add(j.dweight, tasks, n, x->dtype, dweight->data);
  return true;
}

static bool run(const rill_call *call) {
  job j = {.weight = data_of(&call->in[WEIGHT]), .y = call->out[0].data};
  return run_job(call, &call->in[X], j, NULL);
}
static bool gated_run(const rill_call *call) {
  job j = {.gate = call->in[G_GATE].data,
           .weight = data_of(&call->in[G_WEIGHT]),
           .y = call->out[0].data};
  return run_job(call, &call->in[G_X], j, NULL);
}
static bool backward_run(const rill_call *call) {
  job j = {.backward = true,
           .weight = data_of(&call->in[1 + WEIGHT]),
           .dy = call->in[0].data,
           .dx = call->out[0].data};
  return run_job(call, &call->in[1 + X], j, &call->out[1]);
}
static bool gated_backward_run(const rill_call *call) {
  job j = {.backward = true,
           .gate = call->in[1 + G_GATE].data,
           .weight = data_of(&call->in[1 + G_WEIGHT]),
           .dy = call->in[0].data,
           .dx = call->out[0].data,
           .dgate = call->out[1].data};
  return run_job(call, &call->in[1 + G_X], j, &call->out[2]);
}

/* ---- in other ops ---- */

static rill_tensor *inverse_rms(rill_tensor *x, const void *attr) {
  rill_tensor *mean = rill_mean(rill_square(x), -1, true);
  return rill_rsqrt(rill_affine(mean, 1, ((const attributes *)attr)->eps));
}

static void compose_as(rill_compose *c, rill_tensor *gate, rill_tensor *weight) {
  rill_tensor *x = rilli_as_real(c->in[0]), *y = rill_mul(x, inverse_rms(x, c->attr));
  if (weight) y = rill_mul(y, rilli_as_real(weight));
  if (gate) y = rill_mul(y, rill_silu(rilli_as_real(gate)));
  c->out[0] = rilli_as_dtype(y, rill_dtype_of(c->in[0]));
}
static void compose(rill_compose *c) { compose_as(c, NULL, c->in[WEIGHT]); }
static void gated_compose(rill_compose *c) { compose_as(c, c->in[G_GATE], c->in[G_WEIGHT]); }

/* Returns dx and sets the others. */
static rill_tensor *backward_as(rill_compose *c, rill_tensor *gate, rill_tensor *weight,
                                rill_tensor **dgate, rill_tensor **dweight) {
  rill_dtype dtype = rill_dtype_of(c->in[1]);
  rill_tensor *dy = rilli_as_real(c->in[0]), *x = rilli_as_real(c->in[1]),
              *r = inverse_rms(x, c->attr);
  rill_tensor *normed = rill_mul(x, r), *d = dy;
  if (gate) {
    rill_tensor *g = rilli_as_real(gate), *s = rill_sigmoid(g);
    rill_tensor *slope = rill_mul(s, rill_affine(rill_mul(g, rill_affine(s, -1, 1)), 1, 1));
    rill_tensor *y = weight ? rill_mul(normed, rilli_as_real(weight)) : normed;
    *dgate = rilli_as_dtype(rill_mul(rill_mul(dy, y), slope), dtype);
    d = rill_mul(dy, rill_mul(g, s));
  }
  *dweight = weight ? rilli_as_dtype(rilli_sum_rows(rill_mul(d, normed)), dtype)
                    : rill_zeros(c->ctx, dtype, RILL_SHAPE(0));
  rill_tensor *u = weight ? rill_mul(d, rilli_as_real(weight)) : d;
  rill_tensor *mean = rill_mean(rill_mul(u, normed), -1, true);
  return rilli_as_dtype(rill_mul(r, rill_sub(u, rill_mul(normed, mean))), dtype);
}
static void backward_compose(rill_compose *c) {
  c->out[0] = backward_as(c, NULL, c->in[1 + WEIGHT], NULL, &c->out[1]);
}
static void gated_backward_compose(rill_compose *c) {
  c->out[0] = backward_as(c, c->in[1 + G_GATE], c->in[1 + G_WEIGHT], &c->out[1], &c->out[2]);
}

static void vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->grad[0], g->in[X], g->in[WEIGHT]}, *out[2];
  rill_apply_all(&rilli_op_rmsnorm_backward, 3, in, g->attr, out);
  rill_vjp_give(g, X, out[0]);
  if (g->in[WEIGHT]) rill_vjp_give(g, WEIGHT, out[1]);
}
static void gated_vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->grad[0], g->in[G_X], g->in[G_GATE], g->in[G_WEIGHT]}, *out[3];
  rill_apply_all(&rilli_op_rmsnorm_gated_backward, 4, in, g->attr, out);
  rill_vjp_give(g, G_X, out[0]);
  rill_vjp_give(g, G_GATE, out[1]);
  if (g->in[G_WEIGHT]) rill_vjp_give(g, G_WEIGHT, out[2]);
}

/* ---- samples: `rows` inputs of x's shape, then the weight ---- */

static const rill_shape sample_shape[] = {
    {1, {1}},       {1, {5}},       {1, {257}},     {2, {1, 1}},      {2, {1, 7}},
    {2, {3, 4}},    {2, {0, 4}},    {2, {7, 13}},   {2, {2, 63}},     {2, {2, 65}},
    {3, {2, 3, 8}}, {3, {2, 0, 5}}, {3, {1, 1, 2}}, {4, {2, 1, 3, 6}}};
enum { SHAPES = (int)(sizeof sample_shape / sizeof sample_shape[0]) };

static rill_sample sample_of(const char *name, int rows, rill_shape x, rill_shape weight,
                             const attributes *attr) {
  rill_sample s = {.name = name, .attr = attr};
  for (int i = 0; i < rows; i++) s.in[i].shape = x;
  s.in[rows].shape = weight;
  return s;
}

static void sample_rows(rill_samples *s, int rows, const char *refused_weight) {
  for (int i = 0; i < 2 * SHAPES; i++) {
    rill_shape x = sample_shape[i / 2], w = RILL_SHAPE(x.size[x.rank - 1]);
    attributes attr = {w.size[0] < 3 || i % 3 == 0 ? 0.1 : 1e-6};
    rill_sample one = sample_of(i % 2 ? "no weight" : "weight", rows, x, w, &attr);
    one.in[rows].absent = i % 2;
    rill_sample_add(s, one);
  }
  attributes attr = {1e-5}, bad = {-1};
  rill_sample many = sample_of("many rows", rows, RILL_SHAPE(5003, 48), RILL_SHAPE(48), &attr);
  many.no_gradient = true;
  rill_sample_add(s, many);
  rill_sample refused = sample_of("weight", rows, RILL_SHAPE(2, 3), RILL_SHAPE(2), &attr);
  refused.refused = refused_weight;
  rill_sample_add(s, refused);
  refused = sample_of("eps", rows, RILL_SHAPE(2, 3), RILL_SHAPE(3), &bad);
  refused.refused = "eps must be positive and finite, not -1";
  rill_sample_add(s, refused);
  refused = sample_of("rank", rows, RILL_SCALAR, RILL_SHAPE(1), &attr);
  refused.refused = "x must have rank 1 or more, not 0";
  rill_sample_add(s, refused);
}

#define WEIGHT_REFUSED "weight must have shape [3], not [2]"
static void sample(rill_samples *s) { sample_rows(s, 1, WEIGHT_REFUSED); }
static void gated_sample(rill_samples *s) { sample_rows(s, 2, WEIGHT_REFUSED); }
static void backward_sample(rill_samples *s) { sample_rows(s, 2, WEIGHT_REFUSED); }
static void gated_backward_sample(rill_samples *s) { sample_rows(s, 3, WEIGHT_REFUSED); }

const rill_op rilli_op_rmsnorm = {
    .name = "rmsnorm",
    .in = {"x", "weight?"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run}, RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_rmsnorm)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(X) | RILL_SAVE_INPUT(WEIGHT),
    .sample = sample,
};
const rill_op rilli_op_rmsnorm_gated = {
    .name = "rmsnorm_gated",
    .in = {"x", "gate", "weight?"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = gated_infer,
    .kernels = {{RILL_CPU, "rows", NULL, gated_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_rmsnorm_gated)},
    .compose = gated_compose,
    .vjp = gated_vjp,
    .saves = RILL_SAVE_INPUT(G_X) | RILL_SAVE_INPUT(G_GATE) | RILL_SAVE_INPUT(G_WEIGHT),
    .sample = gated_sample,
};
const rill_op rilli_op_rmsnorm_backward = {
    .name = "rmsnorm_backward",
    .in = {"dy", "x", "weight?"},
    .out = {"dx", "dweight"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_rmsnorm_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of rmsnorm is differentiated no further",
    .sample = backward_sample,
};
const rill_op rilli_op_rmsnorm_gated_backward = {
    .name = "rmsnorm_gated_backward",
    .in = {"dy", "x", "gate", "weight?"},
    .out = {"dx", "dgate", "dweight"},
    .attr_size = sizeof(attributes),
    .infer = gated_backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, gated_backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_rmsnorm_gated_backward)},
    .compose = gated_backward_compose,
    .no_grad = "the derivative of rmsnorm_gated is differentiated no further",
    .sample = gated_backward_sample,
};

static attributes attributes_of(double eps) { return (attributes){eps == 0 ? 1e-6 : eps}; }

rill_tensor *rill_rmsnorm_op(rill_tensor *x, rill_tensor *weight, double eps) {
  attributes attr = attributes_of(eps);
  return RILL_APPLY(&rilli_op_rmsnorm, &attr, x, weight);
}
rill_tensor *rill_rmsnorm_gated(rill_tensor *x, rill_tensor *gate, rill_tensor *weight,
                                double eps) {
  attributes attr = attributes_of(eps);
  return RILL_APPLY(&rilli_op_rmsnorm_gated, &attr, x, gate, weight);
}
