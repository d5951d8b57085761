/* Attributes of ops: what an op's file and its CUDA kernels share, in the order of ops.h. Those of
 * the reductions are in ops/axis.h, those of the recurrence in ops/recurrence/call.h. */
#ifndef RILL_OPS_ATTRIBUTES_H_
#define RILL_OPS_ATTRIBUTES_H_

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

/* Which gradients the derivative of linear is asked for. */
typedef struct {
  bool x, weight, bias;
} rilli_linear_wanted;

typedef struct {
  double eps;
} rilli_rmsnorm_attr;

typedef struct {
  double eps;
  bool bias; /* backward: is the bias's gradient wanted? */
} rilli_layernorm_attr;

typedef struct {
  double eps;
  bool silu, norm;
} rilli_qk_prepare_attr;

typedef struct {
  int axis;
} rilli_softmax_attr;

typedef struct {
  int64_t ignore;
} rilli_cross_entropy_attr;

typedef struct {
  double base;
  int64_t offset;
  bool reversed;
} rilli_rotary_attr;

typedef struct {
  bool silu;
} rilli_conv1d_attr;

typedef struct {
  double scale;
  bool causal;
} rilli_attention_attr;

#endif /* RILL_OPS_ATTRIBUTES_H_ */
