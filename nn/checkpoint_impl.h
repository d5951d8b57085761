/* How parameters and stored tensors correspond, for loading and saving. */
#ifndef RILL_NN_CHECKPOINT_IMPL_H_
#define RILL_NN_CHECKPOINT_IMPL_H_

#include "nn/hf_impl.h"
#include "nn/lm.h"

typedef struct {
  const char *folder;
  int model; /* whose names are used: a bit of hf_impl.h, 0 = this library's */
  bool gated, tied;
} rilli_naming;

/* A tensor of a file and the parameters it is made of. */
typedef struct {
  rilli_hf_tensor names;
  int pieces;
  const rill_parameter *piece[RILLI_HF_PIECES];
  rill_shape shape; /* as stored */
} rilli_stored_tensor;

/* Where p, one of params, is stored. False, and an error, when the naming has no name for it. */
bool rilli_stored_find(const rilli_naming *n, rill_parameters params, const rill_parameter *p,
                       rilli_stored_tensor *stored);

#endif /* RILL_NN_CHECKPOINT_IMPL_H_ */
