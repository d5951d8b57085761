/* How a parameter begins. */
#ifndef RILL_NN_INIT_H_
#define RILL_NN_INIT_H_

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  RILL_INIT_DEFAULT = 0, /* of the layer: usually normal, with the module's standard deviation */
  RILL_INIT_NORMAL,      /* mean 0, standard deviation a */
  RILL_INIT_UNIFORM,     /* in [a, b) */
  RILL_INIT_LOG_UNIFORM, /* log of a number uniform in [a, b) */
  RILL_INIT_STEP,        /* softplus(value) is log-uniform in [a, b): Mamba-2's step bias */
  RILL_INIT_CONSTANT,    /* a */
} rill_init_kind;

typedef struct {
  rill_init_kind kind;
  double a, b;
} rill_init;

static inline rill_init rill_init_make(rill_init_kind kind, double a, double b) {
  rill_init init = {kind, a, b};
  return init;
}
static inline rill_init rill_init_normal(double std) {
  return rill_init_make(RILL_INIT_NORMAL, std, 0);
}
static inline rill_init rill_init_uniform(double low, double high) {
  return rill_init_make(RILL_INIT_UNIFORM, low, high);
}
static inline rill_init rill_init_constant(double value) {
  return rill_init_make(RILL_INIT_CONSTANT, value, 0);
}

/* A new tensor with such values, in the innermost scope; it has no graph. RILL_INIT_DEFAULT gives
 * zeros. Random values come from the context's stream, one draw an element. */
rill_tensor *rill_init_tensor(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                              rill_init init);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_INIT_H_ */
