/* max, min, argmax, and logsumexp, which subtracts the maximum first.
 *
 * One kernel finds the first largest (smallest) element and where it is; NaN counts as largest
 * (smallest). The gradient goes to that element. */
#include <float.h>
#include <math.h>

#include "ops/axis.h"
#include "ops/expect.h"

typedef struct {
  rilli_axis_attr at;
  bool smallest;
} attributes;

extern const rill_op rilli_op_max, rilli_op_argmax;

static bool check(rill_infer *q, rill_shape *shape) {
  const attributes *attr = q->attr;
  if (!rilli_axis_infer(q, &attr->at, shape)) return false;
  rilli_axis_fold f = rilli_axis_of(&q->in[0], attr->at.axis);
  if (f.size == 0 && f.outer * f.inner > 0)
    return rill_refuse(q, "an axis of size 0 has no largest element");
  return true;
}

static bool max_infer(rill_infer *q) {
  rill_shape shape;
  return check(q, &shape) && rill_infer_output(q, 0, q->in[0].dtype, shape) &&
         rill_infer_output(q, 1, RILL_I64, shape);
}

static bool argmax_infer(rill_infer *q) {
  rill_shape shape;
  return check(q, &shape) && rill_infer_output(q, 0, RILL_I64, shape);
}

static double value_at(const rill_array *x, int64_t i) {
  switch (x->dtype) {
    case RILL_F32:
      return (double)((const float *)x->data)[i];
    case RILL_F64:
      return ((const double *)x->data)[i];
    case RILL_BF16:
      return (double)rill_bf16_to_f32(((const rill_bf16 *)x->data)[i]);
    case RILL_I32:
      return (double)((const int32_t *)x->data)[i];
    case RILL_I64:
      return (double)((const int64_t *)x->data)[i];
    default:
      return (double)((const uint8_t *)x->data)[i];
  }
}

static bool beats(double a, double b, bool smallest) {
  if (isnan(b)) return false;
  return isnan(a) || (smallest ? a < b : a > b);
}

static int64_t find(const rill_array *x, const rilli_axis_fold *f, int64_t column, bool smallest) {
  int64_t at = column / f->inner * f->size * f->inner + column % f->inner, best = 0;
  double top = value_at(x, at);
  for (int64_t i = 1; i < f->size; i++) {
    double here = value_at(x, at + i * f->inner);
    if (beats(here, top, smallest)) {
      top = here;
      best = i;
    }
  }
  return best;
}

static bool run(const rill_call *call) {
  const attributes *attr = call->attr;
  const rill_array *x = &call->in[0];
  rilli_axis_fold f = rilli_axis_of(x, attr->at.axis);
  int64_t columns = f.outer * f.inner;
  int64_t *index = call->out[call->outputs - 1].data;
  size_t size = rill_dtype_size(x->dtype);
#pragma omp parallel for schedule(static) \
    num_threads(call->env->threads) if (columns * f.size > 16384)
  for (int64_t c = 0; c < columns; c++) {
    index[c] = find(x, &f, c, attr->smallest);
    if (call->outputs == 1) continue;
    int64_t from = c / f.inner * f.size * f.inner + index[c] * f.inner + c % f.inner;
    const char *source = (const char *)x->data + from * (int64_t)size;
    char *target = (char *)call->out[0].data + c * (int64_t)size;
    for (size_t b = 0; b < size; b++) target[b] = source[b];
  }
  return true;
}

static void vjp(rill_vjp *g) {
  const attributes *attr = g->attr;
  rill_shape shape = rill_array_shape(&g->like[0]), flat = shape;
  int axis = attr->at.axis;
  if (axis == RILL_ALL_AXES) {
    flat = RILL_SHAPE(rill_array_count(&g->like[0]));
    axis = 0;
  }
  rill_tensor *index = rilli_axis_keep(g->out[1], flat, axis),
              *grad = rilli_axis_keep(g->grad[0], flat, axis);
  rill_tensor *zero = rill_zeros(g->ctx, g->like[0].dtype, flat);
  rill_vjp_give(g, 0, rill_reshape(rill_scatter_add(zero, axis, index, grad), shape));
}

/* ---- samples: distances between elements are large against the step of finite differences ---- */

typedef struct {
  rill_samples *to;
  bool smallest;
} relay;

static void pass_on(void *user, const rill_sample *sample) {
  const relay *r = user;
  attributes attr = {*(const rilli_axis_attr *)sample->attr, r->smallest};
  rill_sample s = *sample;
  s.attr = &attr;
  rill_sample_add(r->to, s);
}

static void axis_samples(rill_samples *samples) { rilli_axis_samples(samples, -100, 100, false); }
static void sample(rill_samples *samples) {
  const rill_op axes = {.sample = axis_samples};
  relay r = {samples, false};
  rill_op_samples(&axes, pass_on, &r);
  r.smallest = true;
  rill_op_samples(&axes, pass_on, &r);
  attributes attr = {{0, false}, false};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(0, 3)}},
                                         .attr = &attr,
                                         .refused = "an axis of size 0 has no largest element"});
}

const rill_op rilli_op_max = {
    .name = "max",
    .in = {"x"},
    .out = {"y", "index"},
    .attr_size = sizeof(attributes),
    .infer = max_infer,
    .kernels = {{RILL_CPU, "scan", NULL, run}},
    .vjp = vjp,
    .saves = RILL_SAVE_OUTPUT(1),
    .sample = sample,
};

const rill_op rilli_op_argmax = {
    .name = "argmax",
    .in = {"x"},
    .out = {"index"},
    .attr_size = sizeof(attributes),
    .infer = argmax_infer,
    .kernels = {{RILL_CPU, "scan", NULL, run}},
    .no_grad = "an index does not change with its operand",
    .sample = sample,
};

rill_tensor *rill_max(rill_tensor *x, int axis, bool keep) {
  attributes attr = {{axis, keep}, false};
  return RILL_APPLY(&rilli_op_max, &attr, x);
}
rill_tensor *rill_min(rill_tensor *x, int axis, bool keep) {
  attributes attr = {{axis, keep}, true};
  return RILL_APPLY(&rilli_op_max, &attr, x);
}
rill_tensor *rill_argmax(rill_tensor *x, int axis, bool keep) {
  attributes attr = {{axis, keep}, false};
  return RILL_APPLY(&rilli_op_argmax, &attr, x);
}

/* log sum e^x = m + log sum e^(x - m) for any m: the maximum, kept finite so that infinities stay
 * what they are. */
rill_tensor *rill_logsumexp(rill_tensor *x, int axis, bool keep) {
  rill_scope *scope = rill_scope_open(rill_context_of(x));
  rill_shape shape = rill_shape_of(x);
  rill_tensor *top = rill_clamp(rill_detach(rill_max(x, axis, true)), -FLT_MAX, FLT_MAX);
  rill_tensor *wide = rilli_axis_keep(top, shape, axis);
  rill_tensor *rest = rill_log(rill_sum(rill_exp(rill_sub(x, wide)), axis, keep));
  rill_tensor *y = rill_hoist(rill_add(rest, rill_reshape(top, rill_shape_of(rest))));
  rill_scope_close(scope);
  return y;
}
