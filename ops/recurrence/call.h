/* The ops "recur" and "recur_backward" as their kernels see a call: the order of operands, and the
 * attributes. Read by op.c and by the CUDA kernels, so it is C and C++. */
#ifndef RILL_OPS_RECURRENCE_CALL_H_
#define RILL_OPS_RECURRENCE_CALL_H_

#include "autograd/op.h"
#include "ops/recurrence/recurrence.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Inputs. The outputs Q .. R0 of the backward are the gradients of the inputs of those places. */
enum {
  Q,
  K,
  V,
  G,
  BETA,
  GAMMA,
  S0,
  R0,
  OFFSETS,
  FORWARD_INPUTS,
  STATES = FORWARD_INPUTS,
  DO,
  DS,
  DR,
  BACKWARD_INPUTS
};
enum { OUT_O, OUT_S, OUT_STATES, OUT_R };

typedef struct {
  rill_rule rule;
  double clip;
  int64_t chunk, chunks, sequences; /* chunks: of all sequences together */
  rill_recur_impl impl;
  bool packed;
} rilli_recur_attributes;

/* The CUDA kernels (ops/cuda/recurrence/). A forward and its backward take the same implementation:
 * `states` of the chunked one is not that of the reference. */
bool rilli_cuda_recur_reference(const rill_call *call);
bool rilli_cuda_recur_reference_backward(const rill_call *call);
/* f32 elements of `states` when the chunked kernels run; 0 where they do not fit. */
int64_t rilli_cuda_recur_chunk_keeps(const rill_env *env, const rilli_recur_attributes *attr,
                                     const rill_array *in);
bool rilli_cuda_recur_chunk_fits(const rill_call *call);
bool rilli_cuda_recur_chunk(const rill_call *call);
bool rilli_cuda_recur_chunk_backward(const rill_call *call);

#ifdef __cplusplus
}
#endif

#endif /* RILL_OPS_RECURRENCE_CALL_H_ */
