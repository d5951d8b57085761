/* Axes of reductions: shapes, folding, samples. */
#include "ops/axis.h"

bool rilli_axis_infer(rill_infer *q, const rilli_axis_attr *attr, rill_shape *out) {
  rill_shape shape = rill_array_shape(&q->in[0]), reduced = {0};
  bool all = attr->axis == RILL_ALL_AXES;
  int a = all ? 0 : rill_axis(attr->axis, shape.rank);
  if (a < 0) return rill_refuse(q, "axis %d is out of range for rank %d", attr->axis, shape.rank);
  for (int d = 0; d < shape.rank; d++) {
    bool gone = all || d == a;
    if (!gone || attr->keep) reduced.size[reduced.rank++] = gone ? 1 : shape.size[d];
  }
  *out = reduced;
  return true;
}

rilli_axis_fold rilli_axis_of(const rill_array *x, int axis) {
  rilli_axis_fold f = {1, 1, 1};
  if (axis == RILL_ALL_AXES) {
    f.size = rill_array_count(x);
    return f;
  }
  int a = rill_axis(axis, x->rank);
  for (int d = 0; d < x->rank; d++) *(d < a ? &f.outer : d == a ? &f.size : &f.inner) *= x->size[d];
  return f;
}

rill_tensor *rilli_axis_keep(rill_tensor *reduced, rill_shape shape, int axis) {
  int a = axis == RILL_ALL_AXES ? -1 : rill_axis(axis, shape.rank);
  for (int d = 0; d < shape.rank; d++)
    if (a < 0 || d == a) shape.size[d] = 1;
  return rill_reshape(reduced, shape);
}

void rilli_axis_samples(rill_samples *samples, double low, double high, bool empty) {
  static const struct {
    rill_shape shape;
    rilli_axis_attr attr;
  } cases[] = {
      {{0, {0}}, {RILL_ALL_AXES, false}},
      {{0, {0}}, {RILL_ALL_AXES, true}},
      {{1, {1}}, {0, false}},
      {{1, {7}}, {0, false}},
      {{1, {7}}, {-1, true}},
      {{1, {257}}, {RILL_ALL_AXES, false}},
      {{2, {3, 4}}, {0, false}},
      {{2, {3, 4}}, {1, false}},
      {{2, {3, 4}}, {-1, true}},
      {{2, {3, 4}}, {RILL_ALL_AXES, false}},
      {{2, {3, 4}}, {RILL_ALL_AXES, true}},
      {{2, {1, 9}}, {0, false}},
      {{2, {9, 1}}, {1, true}},
      {{2, {31, 33}}, {0, false}},
      {{2, {31, 33}}, {1, false}},
      {{2, {16, 17}}, {-2, true}},
      {{3, {2, 3, 4}}, {0, false}},
      {{3, {2, 3, 4}}, {1, false}},
      {{3, {2, 3, 4}}, {2, true}},
      {{3, {2, 3, 4}}, {RILL_ALL_AXES, false}},
      {{3, {0, 3, 2}}, {1, false}},
      {{3, {5, 1, 2}}, {1, false}},
      {{4, {2, 3, 2, 2}}, {1, true}},
      {{4, {2, 3, 2, 2}}, {-1, false}},
      {{2, {127, 2}}, {0, false}},
      {{2, {2, 129}}, {1, false}},
      {{2, {1025, 1024}}, {1, false}},
      {{2, {1025, 1024}}, {0, false}},
      {{2, {0, 3}}, {0, false}},
      {{1, {0}}, {RILL_ALL_AXES, false}},
  };
  int count = (int)(sizeof cases / sizeof cases[0]) - (empty ? 0 : 2);
  for (int i = 0; i < count; i++)
    rill_sample_add(samples,
                    (rill_sample){.in = {{.shape = cases[i].shape, .low = low, .high = high}},
                                  .attr = &cases[i].attr,
                                  .no_gradient = cases[i].shape.size[0] == 1025});
  rilli_axis_attr bad = {2, false};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &bad,
                                         .refused = "axis 2 is out of range for rank 2"});
  bad.axis = -3;
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &bad,
                                         .refused = "axis -3 is out of range for rank 2"});
}
