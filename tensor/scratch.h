/* Scratch memory of one kernel call: what rill_env_alloc hands out and the engine takes back. */
#ifndef RILL_TENSOR_SCRATCH_H_
#define RILL_TENSOR_SCRATCH_H_

#include "tensor/device.h"

enum { RILLI_SCRATCH_BLOCKS = 64 };

typedef struct rilli_scratch {
  rilli_device *device;
  int count;
  struct {
    void *memory;
    size_t bytes;
  } block[RILLI_SCRATCH_BLOCKS];
} rilli_scratch;

/* Gives back everything taken through rill_env_alloc since the last call. */
void rilli_scratch_release(rill_env *env);

#endif /* RILL_TENSOR_SCRATCH_H_ */
