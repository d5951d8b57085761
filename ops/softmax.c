/* softmax and log_softmax along any axis, and their derivatives, one pass over a row each.
 *
 * Along the last axis rows are used where they lie; along another axis each line is gathered into a
 * buffer (neighbouring lines share cache lines, so memory is still read once). softmax saves its
 * output; log_softmax its input, because a rounded logarithm makes poor weights in bf16. */
#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"

extern const rill_op rilli_op_softmax, rilli_op_softmax_backward;
extern const rill_op rilli_op_log_softmax, rilli_op_log_softmax_backward;

typedef rilli_softmax_attr attributes;

bool rilli_cuda_softmax(const rill_call *call);
bool rilli_cuda_log_softmax(const rill_call *call);
bool rilli_cuda_softmax_backward(const rill_call *call);
bool rilli_cuda_log_softmax_backward(const rill_call *call);

static bool check_axis(rill_infer *q, int i) {
  const attributes *attr = q->attr;
  if (!rilli_expect_float(q, i)) return false;
  int rank = q->in[i].rank;
  if (rill_axis(attr->axis, rank) >= 0) return true;
  return rill_refuse(q, "axis %d is out of range for rank %d", attr->axis, rank);
}

static bool infer(rill_infer *q) {
  if (!check_axis(q, 0)) return false;
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

static bool backward_infer(rill_infer *q) {
  if (!check_axis(q, 0) || !rilli_expect_like(q, 1, 0)) return false;
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

/* ---- lines along an axis ---- */

typedef struct {
  const rill_call *call;
  int64_t n, inner; /* elements of a line, and how far apart they are */
  void (*forward)(const void *x, void *y, int64_t n);
  void (*backward)(const void *y, const void *dy, void *dx, int64_t n);
} job;

static void move_line(rill_dtype dtype, const job *j, void *data, int64_t at, void *line,
                      bool gather) {
  for (int64_t i = 0; i < j->n; i++) {
    void *element = rilli_at(dtype, data, at + i * j->inner);
    if (dtype == RILL_F64 && gather)
      ((double *)line)[i] = *(double *)element;
    else if (dtype == RILL_F64)
      *(double *)element = ((double *)line)[i];
    else if (dtype == RILL_F32 && gather)
      ((float *)line)[i] = *(float *)element;
    else if (dtype == RILL_F32)
      *(float *)element = ((float *)line)[i];
    else if (gather)
      ((float *)line)[i] = rill_bf16_to_f32(*(rill_bf16 *)element);
    else
      *(rill_bf16 *)element = rill_bf16_from_f32(((float *)line)[i]);
  }
}

static const void *line_of(const job *j, const rill_array *a, int64_t at, void *buffer) {
  if (j->inner == 1) return rilli_row_load(a->dtype, a->data, at, j->n, buffer);
  move_line(a->dtype, j, a->data, at, buffer, true);
  return buffer;
}

static void run_lines(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  const rill_array *in = j->call->in, *out = &j->call->out[0];
  size_t line = rilli_round64((size_t)j->n * rilli_real_size(out->dtype));
  (void)task;
  for (int64_t l = begin; l < end; l++) {
    int64_t at = l / j->inner * j->n * j->inner + l % j->inner;
    const void *x = line_of(j, &in[0], at, scratch);
    void *y = j->inner == 1 ? rilli_row_target(out->dtype, out->data, at, scratch + 2 * line)
                            : scratch + 2 * line;
    if (j->forward)
      j->forward(x, y, j->n);
    else
      j->backward(x, line_of(j, &in[1], at, scratch + line), y, j->n);
    if (j->inner == 1)
      rilli_row_store(out->dtype, y, out->data, at, j->n);
    else
      move_line(out->dtype, j, out->data, at, y, false);
  }
}

static bool run_job(const rill_call *call, job j) {
  const attributes *attr = call->attr;
  const rill_array *x = &call->in[0];
  int axis = rill_axis(attr->axis, x->rank);
  if (rill_array_count(x) == 0) return true;
  j.call = call;
  j.n = x->size[axis];
  j.inner = 1;
  for (int d = axis + 1; d < x->rank; d++) j.inner *= x->size[d];
  int64_t lines = rill_array_count(x) / j.n;
  size_t scratch = 3 * rilli_round64((size_t)j.n * rilli_real_size(x->dtype));
  return rilli_rows_run(call->env, lines, rilli_rows_block(lines, j.n, false), scratch, run_lines,
                        &j);
}

static const rilli_row_math *math_of(const rill_call *call) {
  return rilli_row_math_of(call->in[0].dtype);
}
static bool softmax_run(const rill_call *call) {
  return run_job(call, (job){.forward = math_of(call)->softmax});
}
static bool log_softmax_run(const rill_call *call) {
  return run_job(call, (job){.forward = math_of(call)->log_softmax});
}
static bool softmax_backward_run(const rill_call *call) {
  return run_job(call, (job){.backward = math_of(call)->softmax_backward});
}
static bool log_softmax_backward_run(const rill_call *call) {
  return run_job(call, (job){.backward = math_of(call)->log_softmax_backward});
}

/* ---- in other ops ---- */

static int axis_of(const rill_compose *c) { return ((const attributes *)c->attr)->axis; }

static void finish(rill_compose *c, rill_tensor *y) {
  c->out[0] = rilli_as_dtype(y, rill_dtype_of(c->in[0]));
}

static rill_tensor *centred(const rill_compose *c) {
  rill_tensor *x = rilli_as_real(c->in[0]);
  if (rill_size(x, axis_of(c)) == 0) return x;
  return rill_sub(x, rill_detach(rill_max(x, axis_of(c), true)));
}
static void softmax_compose(rill_compose *c) {
  rill_tensor *e = rill_exp(centred(c));
  finish(c, rill_div(e, rill_sum(e, axis_of(c), true)));
}
static void log_softmax_compose(rill_compose *c) {
  rill_tensor *x = centred(c);
  rill_tensor *y = rill_sub(x, rill_log(rill_sum(rill_exp(x), axis_of(c), true)));
  finish(c, y);
}
static void softmax_backward_compose(rill_compose *c) {
  rill_tensor *y = rilli_as_real(c->in[0]), *dy = rilli_as_real(c->in[1]);
  finish(c, rill_mul(y, rill_sub(dy, rill_sum(rill_mul(y, dy), axis_of(c), true))));
}
static void log_softmax_backward_compose(rill_compose *c) {
  rill_tensor *y = rilli_as_real(c->in[0]), *dy = rilli_as_real(c->in[1]);
  finish(c, rill_sub(dy, rill_mul(rill_exp(y), rill_sum(dy, axis_of(c), true))));
}

static void softmax_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_softmax_backward, g->attr, g->out[0], g->grad[0]));
}
static void log_softmax_vjp(rill_vjp *g) {
  rill_tensor *y = rill_log_softmax(rilli_as_real(g->in[0]), ((const attributes *)g->attr)->axis);
  rill_tensor *dy = rilli_as_real(g->grad[0]);
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_log_softmax_backward, g->attr, y, dy));
}

/* ---- samples ---- */

static void sample_shapes(rill_samples *s, double low, double high) {
  static const struct {
    rill_shape shape;
    int axis;
  } at[] = {
      {{1, {1}}, 0},          {{1, {2}}, 0},       {{1, {7}}, -1},      {{1, {0}}, 0},
      {{1, {257}}, 0},        {{2, {3, 4}}, 0},    {{2, {3, 4}}, 1},    {{2, {1, 5}}, 1},
      {{2, {5, 1}}, 1},       {{2, {5, 1}}, 0},    {{2, {0, 4}}, 1},    {{2, {4, 0}}, 1},
      {{2, {0, 4}}, 0},       {{2, {13, 17}}, -1}, {{2, {13, 17}}, -2}, {{2, {2, 63}}, 1},
      {{2, {2, 64}}, 1},      {{2, {2, 65}}, 1},   {{2, {65, 3}}, 0},   {{3, {2, 3, 5}}, 0},
      {{3, {2, 3, 5}}, 1},    {{3, {2, 3, 5}}, 2}, {{3, {2, 0, 5}}, 2}, {{4, {2, 1, 3, 4}}, -2},
      {{4, {2, 1, 3, 4}}, 1}, {{2, {3, 1031}}, 1},
  };
  for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
    rill_sample_add(s, (rill_sample){.name = "shape",
                                     .in = {{.shape = at[i].shape, .low = low, .high = high},
                                            {.shape = at[i].shape}},
                                     .attr = &(attributes){at[i].axis}});
  rill_sample_add(s, (rill_sample){.name = "many rows",
                                   .in = {{.shape = RILL_SHAPE(4099, 67), .low = low, .high = high},
                                          {.shape = RILL_SHAPE(4099, 67)}},
                                   .attr = &(attributes){1},
                                   .no_gradient = true});
  rill_sample_add(s, (rill_sample){.name = "axis",
                                   .in = {{.shape = RILL_SHAPE(2, 3)}, {.shape = RILL_SHAPE(2, 3)}},
                                   .attr = &(attributes){2},
                                   .refused = "axis 2 is out of range for rank 2"});
  rill_sample_add(s, (rill_sample){.name = "no axis",
                                   .in = {{.shape = RILL_SCALAR}, {.shape = RILL_SCALAR}},
                                   .attr = &(attributes){-1},
                                   .refused = "axis -1 is out of range for rank 0"});
}

static void sample(rill_samples *s) {
  sample_shapes(s, 0, 0);
  rill_sample_add(s, (rill_sample){.name = "large values",
                                   .in = {{.shape = RILL_SHAPE(3, 9), .low = -300, .high = 300}},
                                   .attr = &(attributes){1}});
  rill_sample_add(s, (rill_sample){.name = "integers",
                                   .in = {{.shape = RILL_SHAPE(3), .dtype = RILL_I64, .below = 5}},
                                   .attr = &(attributes){0},
                                   .refused = "x must be f64, f32 or bf16, not i64"});
}
static void softmax_backward_sample(rill_samples *s) { sample_shapes(s, 0, 0.1); }
static void log_softmax_backward_sample(rill_samples *s) { sample_shapes(s, -6, -1); }

#define NO_GRAD "the derivative of a softmax is differentiated no further"

const rill_op rilli_op_softmax = {
    .name = "softmax",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, softmax_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_softmax)},
    .compose = softmax_compose,
    .vjp = softmax_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = sample,
};
const rill_op rilli_op_log_softmax = {
    .name = "log_softmax",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, log_softmax_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_log_softmax)},
    .compose = log_softmax_compose,
    .vjp = log_softmax_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};
const rill_op rilli_op_softmax_backward = {
    .name = "softmax_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, softmax_backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_softmax_backward)},
    .compose = softmax_backward_compose,
    .no_grad = NO_GRAD,
    .sample = softmax_backward_sample,
};
const rill_op rilli_op_log_softmax_backward = {
    .name = "log_softmax_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, log_softmax_backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_log_softmax_backward)},
    .compose = log_softmax_backward_compose,
    .no_grad = NO_GRAD,
    .sample = log_softmax_backward_sample,
};

rill_tensor *rill_softmax(rill_tensor *x, int axis) {
  return RILL_APPLY(&rilli_op_softmax, &(attributes){axis}, x);
}
rill_tensor *rill_log_softmax(rill_tensor *x, int axis) {
  return RILL_APPLY(&rilli_op_log_softmax, &(attributes){axis}, x);
}
