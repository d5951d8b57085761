/* x . weight^T + bias, the product of every linear layer, and its derivative as one op.
 *
 * Leading axes of x are rows of one tall product. The bias is added while a tile is in cache. The
 * derivative computes only the gradients that are wanted; an unwanted one has shape [0]. Those of
 * weight and bias are sums over rows, which bf16 could not hold: they are f32 (f64). */
#include "ops/compose.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/attributes.h"
#include "ops/ops.h"

enum { X, WEIGHT, BIAS };

extern const rill_op rilli_op_linear, rilli_op_linear_backward;
bool rilli_cuda_linear(const rill_call *call);
bool rilli_cuda_linear_backward(const rill_call *call);

static bool check(rill_infer *q, int x, int weight) {
  const rill_array *w = &q->in[weight], *a = &q->in[x];
  if (!rilli_expect_float(q, x) || !rilli_expect_rank(q, x, 1)) return false;
  if (w->rank != 2) return rill_refuse(q, "weight must have rank 2, [N, K], not %d", w->rank);
  rill_shape shape = RILL_SHAPE(w->size[0], a->size[a->rank - 1]);
  return rilli_expect(q, weight, a->dtype, shape);
}

static rill_shape shape_out(const rill_array *x, const rill_array *weight) {
  rill_shape out = rill_array_shape(x);
  out.size[out.rank - 1] = weight->size[0];
  return out;
}

static bool infer(rill_infer *q) {
  const rill_array *in = q->in;
  if (!check(q, X, WEIGHT)) return false;
  if (!rilli_expect(q, BIAS, in[X].dtype, RILL_SHAPE(in[WEIGHT].size[0]))) return false;
  return rill_infer_output(q, 0, in[X].dtype, shape_out(&in[X], &in[WEIGHT]));
}

static bool run(const rill_call *call) {
  const rill_array *x = &call->in[X], *w = &call->in[WEIGHT], *bias = &call->in[BIAS];
  int64_t n = w->size[0], k = w->size[1];
  rilli_gemm_args g = {.dtype = x->dtype,
                       .m = rilli_rows_of(x),
                       .n = n,
                       .k = k,
                       .a = {x->data, k, 1},
                       .b = {w->data, 1, k},
                       .c = call->out[0].data,
                       .c_row = n,
                       .alpha = 1,
                       .bias = rill_present(bias) ? bias->data : NULL};
  return rilli_gemm(call->env, &g);
}

static void compose(rill_compose *c) {
  rill_tensor *x = rilli_as_real(c->in[X]), *w = rilli_as_real(c->in[WEIGHT]);
  bool vector = rill_rank(x) == 1;
  rill_tensor *y = rill_matmul(vector ? rill_unsqueeze(x, 0) : x, rill_transpose(w, 0, 1));
  if (vector) y = rill_squeeze(y, 0);
  if (c->in[BIAS]) y = rill_add(y, rilli_as_real(c->in[BIAS]));
  c->out[0] = rilli_as_dtype(y, rill_dtype_of(c->in[X]));
}

static void vjp(rill_vjp *g) {
  rilli_linear_wanted attr = {rill_vjp_wants(g, X), rill_vjp_wants(g, WEIGHT),
                              rill_vjp_wants(g, BIAS)};
  rill_tensor *in[3] = {g->grad[0], g->in[X], g->in[WEIGHT]}, *out[3];
  rill_apply_all(&rilli_op_linear_backward, 3, in, &attr, out);
  if (attr.x) rill_vjp_give(g, X, out[0]);
  if (attr.weight) rill_vjp_give(g, WEIGHT, out[1]);
  if (attr.bias) rill_vjp_give(g, BIAS, out[2]);
}

/* ---- backward: dx = dy weight, dweight = dy^T x, dbias = sum of the rows of dy ---- */

enum { DY, BACK_X, BACK_WEIGHT };

static bool backward_infer(rill_infer *q) {
  const rill_array *in = q->in;
  const rilli_linear_wanted *attr = q->attr;
  if (!check(q, BACK_X, BACK_WEIGHT)) return false;
  rill_dtype dtype = in[BACK_X].dtype, real = rilli_statistics_dtype(dtype);
  int64_t n = in[BACK_WEIGHT].size[0];
  if (!rilli_expect(q, DY, dtype, shape_out(&in[BACK_X], &in[BACK_WEIGHT]))) return false;
  rill_shape none = RILL_SHAPE(0);
  rill_infer_output(q, 0, dtype, attr->x ? rill_array_shape(&in[BACK_X]) : none);
  rill_infer_output(q, 1, real, attr->weight ? rill_array_shape(&in[BACK_WEIGHT]) : none);
  return rill_infer_output(q, 2, real, attr->bias ? RILL_SHAPE(n) : none);
}

typedef struct {
  const rill_array *dy;
  int64_t n;
  double *partial; /* [tasks, n] */
} columns;

static void add_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const columns *c = user;
  double *sum = c->partial + task * c->n;
  const rilli_row_math *math = rilli_row_math_of(c->dy->dtype);
  for (int64_t j = 0; j < c->n; j++) sum[j] = 0;
  for (int64_t i = begin; i < end; i++)
    math->add(rilli_row_load(c->dy->dtype, c->dy->data, i * c->n, c->n, scratch), sum, c->n);
}

static bool sum_rows(rill_env *env, const rill_array *dy, int64_t rows, int64_t n,
                     const rill_array *to) {
  int64_t block = rilli_rows_block(rows, n, true), tasks = rilli_rows_tasks(rows, block);
  columns c = {dy, n, rill_env_alloc(env, (size_t)(tasks * n) * sizeof(double))};
  size_t scratch = rilli_is_bf16(dy->dtype) ? (size_t)n * sizeof(float) : 0;
  if (!c.partial || !rilli_rows_run(env, rows, block, scratch, add_rows, &c)) return false;
  rilli_rows_add(c.partial, tasks, n, to->dtype, to->data);
  return true;
}

static bool backward_run(const rill_call *call) {
  const rill_array *dy = &call->in[DY], *x = &call->in[BACK_X], *w = &call->in[BACK_WEIGHT];
  const rilli_linear_wanted *attr = call->attr;
  int64_t rows = rilli_rows_of(x), n = w->size[0], k = w->size[1];
  rilli_gemm_args dx = {.dtype = x->dtype,
                        .m = rows,
                        .n = k,
                        .k = n,
                        .a = {dy->data, n, 1},
                        .b = {w->data, k, 1},
                        .c = call->out[0].data,
                        .c_row = k,
                        .alpha = 1};
  rilli_gemm_args dw = {.dtype = x->dtype,
                        .m = n,
                        .n = k,
                        .k = rows,
                        .a = {dy->data, 1, n},
                        .b = {x->data, k, 1},
                        .c = call->out[1].data,
                        .c_row = k,
                        .c_real = true,
                        .alpha = 1};
  return (!attr->x || rilli_gemm(call->env, &dx)) &&
         (!attr->weight || rilli_gemm(call->env, &dw)) &&
         (!attr->bias || sum_rows(call->env, dy, rows, n, &call->out[2]));
}

static void backward_compose(rill_compose *c) {
  rill_tensor *dy = c->in[DY], *x = c->in[BACK_X], *w = c->in[BACK_WEIGHT];
  const rilli_linear_wanted *attr = c->attr;
  int64_t n = rill_size(w, 0), k = rill_size(w, 1), rows = 1;
  for (int d = 0; d + 1 < rill_rank(x); d++) rows *= rill_size(x, d);
  rill_tensor *tall_dy = rilli_as_real(rill_reshape(dy, RILL_SHAPE(rows, n)));
  rill_tensor *tall_x = rilli_as_real(rill_reshape(x, RILL_SHAPE(rows, k)));
  rill_dtype dtype = rill_dtype_of(x), real = rilli_statistics_dtype(dtype);
  for (int j = 0; j < 3; j++) c->out[j] = rill_zeros(c->ctx, j == 0 ? dtype : real, RILL_SHAPE(0));
  if (attr->x) {
    rill_tensor *dx = rill_reshape(rill_matmul(tall_dy, rilli_as_real(w)), rill_shape_of(x));
    c->out[0] = rilli_as_dtype(dx, dtype);
  }
  if (attr->weight) c->out[1] = rill_matmul(rill_transpose(tall_dy, 0, 1), tall_x);
  if (attr->bias) c->out[2] = rill_sum(tall_dy, 0, false);
}

/* ---- samples ---- */

static const rill_shape sample_shape[][2] = {
    /* x, weight */
    {{1, {1}}, {2, {1, 1}}},          {{1, {5}}, {2, {3, 5}}},       {{2, {1, 4}}, {2, {6, 4}}},
    {{2, {2, 3}}, {2, {4, 3}}},       {{2, {7, 11}}, {2, {13, 11}}}, {{2, {8, 8}}, {2, {8, 8}}},
    {{2, {17, 9}}, {2, {15, 9}}},     {{2, {0, 3}}, {2, {4, 3}}},    {{2, {3, 0}}, {2, {4, 0}}},
    {{2, {3, 4}}, {2, {0, 4}}},       {{3, {2, 3, 4}}, {2, {5, 4}}}, {{3, {1, 1, 1}}, {2, {1, 1}}},
    {{4, {2, 1, 3, 5}}, {2, {2, 5}}},
};
enum { SAMPLE_SHAPES = (int)(sizeof sample_shape / sizeof sample_shape[0]) };

static void sample(rill_samples *s) {
  for (int i = 0; i < 2 * SAMPLE_SHAPES; i++) {
    rill_shape x = sample_shape[i / 2][0], w = sample_shape[i / 2][1];
    rill_sample_add(s, (rill_sample){.name = i % 2 ? "no bias" : "bias",
                                     .in = {{.shape = x},
                                            {.shape = w},
                                            {.shape = RILL_SHAPE(w.size[0]), .absent = i % 2}}});
  }
  rill_sample_add(s, (rill_sample){.name = "several tiles",
                                   .in = {{.shape = RILL_SHAPE(3, 211, 64)},
                                          {.shape = RILL_SHAPE(1030, 64)},
                                          {.shape = RILL_SHAPE(1030)}},
                                   .no_gradient = true});
  rill_sample_add(
      s, (rill_sample){
             .name = "weight size",
             .in = {{.shape = RILL_SHAPE(2, 3)}, {.shape = RILL_SHAPE(4, 5)}, {.absent = true}},
             .refused = "weight must have shape [4, 3], not [4, 5]"});
  rill_sample_add(s, (rill_sample){.name = "bias size",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(4, 3)},
                                          {.shape = RILL_SHAPE(3)}},
                                   .refused = "bias must have shape [4], not [3]"});
  rill_sample_add(
      s,
      (rill_sample){.name = "weight rank",
                    .in = {{.shape = RILL_SHAPE(2, 3)}, {.shape = RILL_SHAPE(3)}, {.absent = true}},
                    .refused = "weight must have rank 2, [N, K], not 1"});
}

static void backward_sample(rill_samples *s) {
  static const rilli_linear_wanted want[] = {{true, true, true}, {false, true, false}};
  for (int i = 0; i < 2 * SAMPLE_SHAPES; i++) {
    rill_shape x = sample_shape[i / 2][0], w = sample_shape[i / 2][1], dy = x;
    dy.size[dy.rank - 1] = w.size[0];
    rill_sample_add(s, (rill_sample){.name = i % 2 ? "weight alone" : "all",
                                     .in = {{.shape = dy}, {.shape = x}, {.shape = w}},
                                     .attr = &want[i % 2]});
  }
  rill_sample_add(s, (rill_sample){.name = "gradient size",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(4, 3)}},
                                   .attr = &want[0],
                                   .refused = "dy must have shape [2, 4], not [2, 3]"});
  rill_sample_add(s, (rill_sample){.name = "weight size",
                                   .in = {{.shape = RILL_SHAPE(2, 4)},
                                          {.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(4, 2)}},
                                   .attr = &want[0],
                                   .refused = "weight must have shape [4, 3], not [4, 2]"});
}

const rill_op rilli_op_linear = {
    .name = "linear",
    .in = {"x", "weight", "bias?"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "blas", NULL, run},
                RILL_CUDA_KERNEL("cublaslt", NULL, rilli_cuda_linear)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(X) | RILL_SAVE_INPUT(WEIGHT),
    .sample = sample,
};

const rill_op rilli_op_linear_backward = {
    .name = "linear_backward",
    .in = {"dy", "x", "weight"},
    .out = {"dx", "dweight", "dbias"},
    .attr_size = sizeof(rilli_linear_wanted),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "blas", NULL, backward_run},
                RILL_CUDA_KERNEL("cublaslt", NULL, rilli_cuda_linear_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of linear is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_linear_op(rill_tensor *x, rill_tensor *weight, rill_tensor *bias) {
  return RILL_APPLY(&rilli_op_linear, NULL, x, weight, bias);
}
