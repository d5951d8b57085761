/* Attributes of elementwise, shape and indexing ops: what their files and their CUDA kernels share.
 * Those of the reductions are in ops/axis.h. */
#ifndef RILL_OPS_MAP_ATTRIBUTES_H_
#define RILL_OPS_MAP_ATTRIBUTES_H_

#include "ops/axis.h"

typedef struct {
  double scale, shift;
} rilli_affine_attr;

typedef struct {
  double low, high;
} rilli_clamp_attr;

typedef struct {
  double p;
  rill_random_state state;
} rilli_dropout_attr;

typedef struct {
  int axis;
  bool reverse; /* from the last element to the first */
} rilli_cumsum_attr;

typedef struct {
  rilli_axis_attr at;
  bool smallest;
} rilli_extreme_attr;

typedef struct {
  int axis;
  int64_t size; /* of the axis in x; for the backward */
} rilli_index_select_attr;

/* Indices start, start + step, ... below end; negative ones count from the end of the axis. */
typedef struct {
  int axis;
  int64_t start, end, step;
} rilli_slice_attr;

typedef struct {
  rilli_slice_attr part;
  rill_shape whole;
} rilli_slice_backward_attr;

#endif /* RILL_OPS_MAP_ATTRIBUTES_H_ */
