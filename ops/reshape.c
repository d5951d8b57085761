/* reshape, squeeze, unsqueeze: the same elements with other sizes.
 *
 * A view whenever the strides allow it: axes of the new shape must tile the runs of the old one
 * that step evenly. Otherwise the engine copies first. */
#include <inttypes.h>

#include "ops/ops.h"

extern const rill_op rilli_op_reshape;

/* The shape asked for, with a size of -1 replaced by what is left. */
static bool infer(rill_infer *q) {
  rill_shape shape = *(const rill_shape *)q->attr;
  int64_t count = rill_array_count(&q->in[0]), known = 1, wanted;
  int open = -1;
  if (shape.rank < 0 || shape.rank > RILL_MAX_RANK)
    return rill_refuse(q, "shape has rank %d; at most %d axes", shape.rank, RILL_MAX_RANK);
  for (int d = 0; d < shape.rank; d++) {
    if (shape.size[d] == -1 && open < 0) {
      open = d;
      shape.size[d] = 1;
    } else if (shape.size[d] < 0) {
      return rill_refuse(q, "shape %s has a size that is negative", rill_shape_print(shape).text);
    }
  }
  if (!rill_shape_count(shape, &known))
    return rill_refuse(q, "shape %s is too large", rill_shape_print(shape).text);
  if (open >= 0) shape.size[open] = known > 0 ? count / known : 0;
  if (!rill_shape_count(shape, &wanted) || wanted != count)
    return rill_refuse(q, "shape %s does not hold %" PRId64 " elements",
                       rill_shape_print(*(const rill_shape *)q->attr).text, count);
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

/* Walks both shapes from the front: each run of old axes with even steps must be filled by whole
 * new axes. */
static bool view(const rill_array *in, const void *attr, rill_array *out) {
  (void)attr;
  if (rill_array_count(in) == 0 || rill_array_contiguous(in)) return true;
  int64_t size[RILL_MAX_RANK], stride[RILL_MAX_RANK];
  int rank = 0, d = 0;
  for (int i = 0; i < in->rank; i++) {
    if (in->size[i] == 1) continue;
    bool joins = rank > 0 && stride[rank - 1] == in->stride[i] * in->size[i];
    if (joins) {
      size[rank - 1] *= in->size[i];
      stride[rank - 1] = in->stride[i];
    } else {
      size[rank] = in->size[i];
      stride[rank++] = in->stride[i];
    }
  }
  for (int run = 0; run < rank; run++) {
    int64_t left = size[run];
    while (left > 1) {
      if (d == out->rank || left % out->size[d] != 0) return false;
      left /= out->size[d];
      out->stride[d] = stride[run] * left;
      d++;
    }
  }
  return true;
}

static void vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, rill_reshape(g->grad[0], rill_array_shape(&g->like[0])));
}

static void sample(rill_samples *samples) {
  const struct {
    rill_shape from, to;
  } pairs[] = {
      {RILL_SCALAR, RILL_SHAPE(1)},
      {RILL_SCALAR, RILL_SHAPE(1, 1)},
      {RILL_SHAPE(1), RILL_SCALAR},
      {RILL_SHAPE(6), RILL_SHAPE(2, 3)},
      {RILL_SHAPE(6), RILL_SHAPE(-1, 2)},
      {RILL_SHAPE(2, 3), RILL_SHAPE(6)},
      {RILL_SHAPE(2, 3), RILL_SHAPE(3, 2)},
      {RILL_SHAPE(2, 3, 4), RILL_SHAPE(2, 12)},
      {RILL_SHAPE(2, 3, 4), RILL_SHAPE(6, 4)},
      {RILL_SHAPE(2, 3, 4), RILL_SHAPE(4, 3, 2)},
      {RILL_SHAPE(4, 1, 3), RILL_SHAPE(4, 3)},
      {RILL_SHAPE(4, 3), RILL_SHAPE(1, 4, 1, 3, 1)},
      {RILL_SHAPE(0), RILL_SHAPE(0, 3)},
      {RILL_SHAPE(2, 0), RILL_SHAPE(0)},
      {RILL_SHAPE(0, 5), RILL_SHAPE(5, -1)},
      {RILL_SHAPE(7, 11), RILL_SHAPE(11, 7)},
      {RILL_SHAPE(8, 16), RILL_SHAPE(2, 4, 16)},
      {RILL_SHAPE(5, 6, 7), RILL_SHAPE(-1)},
      {RILL_SHAPE(5, 6, 7), RILL_SHAPE(5, 2, 3, 7)},
      {RILL_SHAPE(1, 1, 1), RILL_SCALAR},
      {RILL_SHAPE(31, 2), RILL_SHAPE(2, 31)},
      {RILL_SHAPE(33), RILL_SHAPE(3, 11)},
      {RILL_SHAPE(2, 2, 2, 2, 2, 2, 2, 2), RILL_SHAPE(16, 16)},
      {RILL_SHAPE(13, 17), RILL_SHAPE(221, 1)},
      {RILL_SHAPE(1024, 1024), RILL_SHAPE(512, 2, 1024)},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
    rill_sample_add(samples, (rill_sample){.in = {{.shape = pairs[i].from}},
                                           .attr = &pairs[i].to,
                                           .no_gradient = pairs[i].from.size[0] == 1024});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &RILL_SHAPE(4, 2),
                                         .refused = "shape [4, 2] does not hold 6 elements"});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &RILL_SHAPE(-1, -1),
                                         .refused = "has a size that is negative"});
}

const rill_op rilli_op_reshape = {
    .name = "reshape",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(rill_shape),
    .infer = infer,
    .view = view,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_reshape(rill_tensor *x, rill_shape shape) {
  return RILL_APPLY(&rilli_op_reshape, &shape, x);
}

rill_tensor *rill_squeeze(rill_tensor *x, int axis) {
  rill_shape old = rill_shape_of(x), shape = {0};
  int a = rill_axis(axis, old.rank);
  if (rill_is_void(x)) return x;
  if (a < 0 || old.size[a] != 1) {
    rill_fail(rill_context_of(x), RILL_ERROR_ARGUMENT,
              "squeeze: axis %d of x %s must exist and have size 1", axis,
              rill_shape_print(old).text);
    return rill_reshape(x, old);
  }
  for (int d = 0; d < old.rank; d++)
    if (d != a) shape.size[shape.rank++] = old.size[d];
  return rill_reshape(x, shape);
}

rill_tensor *rill_unsqueeze(rill_tensor *x, int axis) {
  rill_shape old = rill_shape_of(x), shape = {0};
  int a = rill_axis(axis, old.rank + 1);
  if (rill_is_void(x)) return x;
  if (a < 0 || old.rank == RILL_MAX_RANK) {
    rill_fail(rill_context_of(x), RILL_ERROR_ARGUMENT, "unsqueeze: axis %d cannot be added to x %s",
              axis, rill_shape_print(old).text);
    return rill_reshape(x, old);
  }
  for (int d = 0; d <= old.rank; d++) {
    if (d == a) shape.size[shape.rank++] = 1;
    if (d < old.rank) shape.size[shape.rank++] = old.size[d];
  }
  return rill_reshape(x, shape);
}
