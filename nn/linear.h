/* Linear layers: y = x W^T + b. */
#ifndef RILL_NN_LINEAR_H_
#define RILL_NN_LINEAR_H_

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_module *module;
  rill_tensor *weight; /* [outputs, inputs], "weight" */
  rill_tensor *bias;   /* [outputs], "bias"; NULL without */
} rill_linear;

typedef struct {
  bool bias;
  rill_init init;      /* of the weight; default: normal with the module's standard deviation */
  rill_init bias_init; /* default: zeros */
} rill_linear_opts;

/* A layer without bias, registered in m under `name`. NULL when m is NULL or memory is short. */
rill_linear *rill_linear_new(rill_module *m, const char *name, int64_t inputs, int64_t outputs);
rill_linear *rill_linear_new_with(rill_module *m, const char *name, int64_t inputs, int64_t outputs,
                                  rill_linear_opts opts);

/* x [..., inputs] -> [..., outputs], dtype of the weight. */
rill_tensor *rill_linear_apply(const rill_linear *f, rill_tensor *x);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_LINEAR_H_ */
