/* Normalisation layers over the last axis. */
#ifndef RILL_NN_NORM_H_
#define RILL_NN_NORM_H_

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x / sqrt(mean(x^2) + eps) * weight */
typedef struct {
  rill_module *module;
  rill_tensor *weight; /* [width], "weight", begins at 1 */
  double eps;          /* 0 = 1e-6 */
} rill_rmsnorm;

rill_rmsnorm *rill_rmsnorm_new(rill_module *m, const char *name, int64_t width);
rill_tensor *rill_rmsnorm_apply(const rill_rmsnorm *f, rill_tensor *x); /* x [..., width] */
/* The norm of x times silu(gate), in one pass; gate has the shape of x. */
rill_tensor *rill_rmsnorm_apply_gated(const rill_rmsnorm *f, rill_tensor *x, rill_tensor *gate);

/* (x - mean) / sqrt(var + eps) * weight + bias */
typedef struct {
  rill_module *module;
  rill_tensor *weight; /* [width], "weight", begins at 1 */
  rill_tensor *bias;   /* [width], "bias", begins at 0 */
  double eps;          /* 0 = 1e-5 */
} rill_layernorm;

rill_layernorm *rill_layernorm_new(rill_module *m, const char *name, int64_t width);
rill_tensor *rill_layernorm_apply(const rill_layernorm *f, rill_tensor *x);

/* Group normalisation of heads (RetNet): each head's values get mean 0 and variance 1, then every
 * channel a weight and a bias of its own. */
typedef struct {
  rill_module *module;
  rill_tensor *weight; /* [heads * size], "weight", begins at 1 */
  rill_tensor *bias;   /* [heads * size], "bias", begins at 0 */
  int64_t heads, size;
  double eps; /* 0 = 1e-5 */
} rill_groupnorm;

rill_groupnorm *rill_groupnorm_new(rill_module *m, const char *name, int64_t heads, int64_t size);
rill_tensor *rill_groupnorm_apply(const rill_groupnorm *f, rill_tensor *x); /* [..., heads, size] */

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_NORM_H_ */
