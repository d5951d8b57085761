/* expand: axes of size 1 stretched by a stride of 0. The engine sums the gradient back. */
#include "ops/ops.h"

extern const rill_op rilli_op_expand;

static bool infer(rill_infer *q) {
  rill_shape shape = *(const rill_shape *)q->attr, old = rill_array_shape(&q->in[0]), both;
  int missing = shape.rank - old.rank;
  if (missing < 0 || shape.rank > RILL_MAX_RANK)
    return rill_refuse(q, "shape has rank %d, x has %d", shape.rank, old.rank);
  for (int d = 0; d < shape.rank; d++)
    if (shape.size[d] == -1 && d >= missing) shape.size[d] = old.size[d - missing];
  for (int d = 0; d < shape.rank; d++)
    if (shape.size[d] < 0)
      return rill_refuse(q, "shape %s has a size that is negative", rill_shape_print(shape).text);
  if (!rill_shape_broadcast(old, shape, &both) || !rill_shape_equal(both, shape))
    return rill_refuse(q, "x does not broadcast to %s", rill_shape_print(shape).text);
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

static bool view(const rill_array *in, const void *attr, rill_array *out) {
  (void)attr;
  int missing = out->rank - in->rank;
  for (int d = 0; d < out->rank; d++) {
    bool stretched = d < missing || (in->size[d - missing] == 1 && out->size[d] != 1);
    out->stride[d] = stretched ? 0 : in->stride[d - missing];
  }
  return true;
}

static void vjp(rill_vjp *g) { rill_vjp_give(g, 0, g->grad[0]); }

static void sample(rill_samples *samples) {
  const struct {
    rill_shape from, to;
  } pairs[] = {
      {RILL_SCALAR, RILL_SHAPE(3)},
      {RILL_SCALAR, RILL_SHAPE(2, 3)},
      {RILL_SCALAR, RILL_SCALAR},
      {RILL_SCALAR, RILL_SHAPE(0)},
      {RILL_SHAPE(1), RILL_SHAPE(5)},
      {RILL_SHAPE(1), RILL_SHAPE(0)},
      {RILL_SHAPE(3), RILL_SHAPE(2, 3)},
      {RILL_SHAPE(3), RILL_SHAPE(4, 2, 3)},
      {RILL_SHAPE(3), RILL_SHAPE(1, 3)},
      {RILL_SHAPE(3), RILL_SHAPE(-1)},
      {RILL_SHAPE(3), RILL_SHAPE(7, -1)},
      {RILL_SHAPE(2, 1), RILL_SHAPE(2, 5)},
      {RILL_SHAPE(1, 3), RILL_SHAPE(4, 3)},
      {RILL_SHAPE(1, 1), RILL_SHAPE(31, 33)},
      {RILL_SHAPE(2, 1, 3), RILL_SHAPE(2, 7, 3)},
      {RILL_SHAPE(1, 4, 1), RILL_SHAPE(3, 4, 2)},
      {RILL_SHAPE(2, 3), RILL_SHAPE(2, 3)},
      {RILL_SHAPE(2, 3), RILL_SHAPE(0, 2, 3)},
      {RILL_SHAPE(0, 1), RILL_SHAPE(0, 4)},
      {RILL_SHAPE(1, 0), RILL_SHAPE(3, 0)},
      {RILL_SHAPE(1, 17), RILL_SHAPE(13, 17)},
      {RILL_SHAPE(17, 1), RILL_SHAPE(17, 16)},
      {RILL_SHAPE(1, 1, 1, 2), RILL_SHAPE(2, 2, 2, 2)},
      {RILL_SHAPE(5, 1), RILL_SHAPE(3, 5, 2)},
      {RILL_SHAPE(1, 1024), RILL_SHAPE(1025, 1024)},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
    rill_sample_add(samples, (rill_sample){.in = {{.shape = pairs[i].from}},
                                           .attr = &pairs[i].to,
                                           .no_gradient = pairs[i].to.size[0] == 1025});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &RILL_SHAPE(4, 3),
                                         .refused = "x does not broadcast to [4, 3]"});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &RILL_SHAPE(3),
                                         .refused = "shape has rank 1, x has 2"});
}

const rill_op rilli_op_expand = {
    .name = "expand",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(rill_shape),
    .infer = infer,
    .view = view,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_expand(rill_tensor *x, rill_shape shape) {
  return RILL_APPLY(&rilli_op_expand, &shape, x);
}
