/* max, min, argmax.
 *
 * One kernel finds the first largest (smallest) element and where it is; NaN counts as largest
 * (smallest). The gradient goes to that element. */
#include "ops/axis.h"
#include "ops/cpu/extreme.h"
#include "ops/attributes.h"

typedef rilli_extreme_attr attributes;

extern const rill_op rilli_op_max, rilli_op_argmax;
bool rilli_cuda_max(const rill_call *call);
bool rilli_cuda_argmax(const rill_call *call);

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

static bool run(const rill_call *call) {
  const attributes *attr = call->attr;
  rilli_axis_fold f = rilli_axis_of(&call->in[0], attr->at.axis);
  bool value = call->outputs > 1;
  return rilli_extreme(call->env, &call->in[0], f.outer, f.size, f.inner, attr->smallest,
                       value ? call->out[0].data : NULL, call->out[value ? 1 : 0].data);
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
    .kernels = {{RILL_CPU, "columns", NULL, run}, RILL_CUDA_KERNEL("lines", NULL, rilli_cuda_max)},
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
    .kernels = {{RILL_CPU, "columns", NULL, run},
                RILL_CUDA_KERNEL("lines", NULL, rilli_cuda_argmax)},
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
