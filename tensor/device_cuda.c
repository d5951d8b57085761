/* The CUDA device of a build without one: says so. Everything else of the library works. */
#include "tensor/cuda_calls.h"
#include "tensor/device.h"

#ifndef RILL_WITH_CUDA

rilli_device *rilli_device_cuda_new(const rill_allocator *allocator,
                                    const struct rill_cuda_calls *calls, const char **why) {
  (void)allocator;
  (void)calls;
  *why = "this build of the library has no CUDA backend; use the CPU";
  return NULL;
}

const rill_cuda_calls *rill_cuda_runtime(void) { return NULL; }

#endif
