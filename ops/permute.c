/* permute, transpose: the axes in another order, as a view. */
#include "ops/ops.h"

extern const rill_op rilli_op_permute;

/* axes, counted from the front, must name each axis once. */
static bool normal(const rill_axes *axes, int rank, int *axis) {
  unsigned seen = 0;
  if (axes->count != rank) return false;
  for (int d = 0; d < rank; d++) {
    axis[d] = rill_axis(axes->axis[d], rank);
    if (axis[d] < 0 || seen >> axis[d] & 1u) return false;
    seen |= 1u << axis[d];
  }
  return true;
}

static bool infer(rill_infer *q) {
  int axis[RILL_MAX_RANK];
  rill_shape old = rill_array_shape(&q->in[0]), shape = old;
  if (!normal(q->attr, old.rank, axis))
    return rill_refuse(q, "axes must name each of the %d axes once", old.rank);
  for (int d = 0; d < old.rank; d++) shape.size[d] = old.size[axis[d]];
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

static bool view(const rill_array *in, const void *attr, rill_array *out) {
  int axis[RILL_MAX_RANK];
  normal(attr, in->rank, axis);
  for (int d = 0; d < in->rank; d++) out->stride[d] = in->stride[axis[d]];
  return true;
}

static void vjp(rill_vjp *g) {
  int axis[RILL_MAX_RANK];
  rill_axes inverse = {.count = g->like[0].rank};
  normal(g->attr, inverse.count, axis);
  for (int d = 0; d < inverse.count; d++) inverse.axis[axis[d]] = d;
  rill_vjp_give(g, 0, rill_permute(g->grad[0], inverse));
}

static void sample(rill_samples *samples) {
  const rill_shape shapes[] = {RILL_SHAPE(2, 3, 4), RILL_SHAPE(1, 5, 3), RILL_SHAPE(7, 1, 1),
                               RILL_SHAPE(0, 3, 2), RILL_SHAPE(31, 2, 3)};
  const rill_axes orders[] = {RILL_AXES(0, 1, 2), RILL_AXES(0, 2, 1), RILL_AXES(1, 0, 2),
                              RILL_AXES(2, 1, 0), RILL_AXES(-1, 0, 1)};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (size_t j = 0; j < sizeof orders / sizeof orders[0]; j++)
      rill_sample_add(samples, (rill_sample){.in = {{.shape = shapes[i]}}, .attr = &orders[j]});
  const rill_axes none = {0}, swap = RILL_AXES(1, 0);
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SCALAR}}, .attr = &none});
  rill_sample_add(
      samples,
      (rill_sample){.in = {{.shape = RILL_SHAPE(1025, 1024)}}, .attr = &swap, .no_gradient = true});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &RILL_AXES(0, 0),
                                         .refused = "axes must name each of the 2 axes once"});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &RILL_AXES(0, 1, 2),
                                         .refused = "axes must name each of the 2 axes once"});
}

const rill_op rilli_op_permute = {
    .name = "permute",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(rill_axes),
    .infer = infer,
    .view = view,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_permute(rill_tensor *x, rill_axes axes) {
  return RILL_APPLY(&rilli_op_permute, &axes, x);
}

rill_tensor *rill_transpose(rill_tensor *x, int a, int b) {
  int rank = rill_rank(x), from = rill_axis(a, rank), to = rill_axis(b, rank);
  rill_axes axes = {.count = rank};
  for (int d = 0; d < rank; d++) axes.axis[d] = d;
  if (from < 0 || to < 0) {
    if (!rill_is_void(x))
      rill_fail(rill_context_of(x), RILL_ERROR_ARGUMENT,
                "transpose: axes %d and %d must exist in x %s", a, b,
                rill_shape_print(rill_shape_of(x)).text);
    return rill_permute(x, axes);
  }
  axes.axis[from] = to;
  axes.axis[to] = from;
  return rill_permute(x, axes);
}
