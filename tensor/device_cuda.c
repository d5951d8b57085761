/* The CUDA device of a build without one: says so. Everything else of the library works. */
#include "tensor/device.h"

rilli_device *rilli_device_cuda_new(const rill_allocator *allocator, const char **why) {
  (void)allocator;
  *why = "this build of the library has no CUDA backend; use the CPU";
  return NULL;
}
