/* Attributes of the ops whose kernels live in files of their own. */
#ifndef RILL_OPS_ATTRIBUTES_H_
#define RILL_OPS_ATTRIBUTES_H_

#include <stdbool.h>
#include <stdint.h>

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
