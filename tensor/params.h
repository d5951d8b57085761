/* Lists of named tensors: what modules give out, optimizers update and checkpoints hold. */
#ifndef RILL_TENSOR_PARAMS_H_
#define RILL_TENSOR_PARAMS_H_

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *name; /* its path: "block.3.mixer.q_proj.weight" */
  rill_tensor *value;
  bool no_decay; /* weight decay spares it: norm weights, biases, gates of rank 1 */
} rill_parameter;

/* A borrowed list; it stays valid while its owner (the module, the optimizer) lives. */
typedef struct {
  rill_context *ctx; /* NULL only for the list of something that could not be made */
  int64_t count;
  const rill_parameter *at;
} rill_parameters;

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_PARAMS_H_ */
