/* Short causal convolutions: every channel sees its last few inputs. */
#ifndef RILL_NN_CONV_H_
#define RILL_NN_CONV_H_

#include "nn/module.h"
#include "nn/state.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_module *module;
  rill_tensor *weight; /* [channels, width], "weight"; the last column is for the current token */
  rill_tensor *bias;   /* [channels], "bias"; NULL without */
  bool silu;           /* apply SiLU to the result */
} rill_conv;

typedef struct {
  bool bias, silu;
} rill_conv_opts;

/* Weights begin uniform in +- width^-1/2. */
rill_conv *rill_conv_new(rill_module *m, const char *name, int64_t channels, int64_t width,
                         rill_conv_opts opts);
/* x [B, T, channels] -> the same. With a state (NULL = none) the inputs before x are remembered. */
rill_tensor *rill_conv_apply(const rill_conv *f, rill_tensor *x, rill_state *state);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_CONV_H_ */
