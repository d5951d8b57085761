/* An axis that is reduced, or all of them: what the reductions share. */
#ifndef RILL_OPS_AXIS_H_
#define RILL_OPS_AXIS_H_

#include "ops/ops.h"

typedef struct {
  int axis; /* or RILL_ALL_AXES */
  bool keep;
} rilli_axis_attr;

/* The shape without the axis (or with size 1 there). Refuses an axis that does not exist. */
bool rilli_axis_infer(rill_infer *q, const rilli_axis_attr *attr, rill_shape *out);

/* x seen as [outer, size, inner] around the axis; all axes: [1, count, 1]. */
typedef struct {
  int64_t outer, size, inner;
} rilli_axis_fold;
rilli_axis_fold rilli_axis_of(const rill_array *x, int axis);

/* A tensor of the reduced shape, seen with size 1 at the axis (all axes: everywhere), so that it
 * broadcasts to `shape`. */
rill_tensor *rilli_axis_keep(rill_tensor *reduced, rill_shape shape, int axis);

/* Samples over shapes and axes, values uniform in [low, high); `empty` reductions too when they are
 * allowed. Two refusals. */
void rilli_axis_samples(rill_samples *samples, double low, double high, bool empty);

#endif /* RILL_OPS_AXIS_H_ */
