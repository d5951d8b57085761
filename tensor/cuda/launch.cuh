/* Launching a kernel: the one way, for the library's kernels and for your own.
 *
 *   static __global__ void scale(float *x, float factor, int64_t n) { ... }
 *   return rilli_launch(call->env, scale, rilli_blocks(n, 256), 256, 0, x, factor, n);
 *
 * False when the launch failed; the engine then reports the device's words. */
#ifndef RILL_TENSOR_CUDA_LAUNCH_CUH_
#define RILL_TENSOR_CUDA_LAUNCH_CUH_

#include <stdint.h>

#include "tensor/cuda/device_impl.h"

struct rilli_grid {
  unsigned size[3];
};
static inline rilli_grid rilli_grid_of(int64_t x, int64_t y = 1, int64_t z = 1) {
  const int64_t most = 0x7fffffff;
  return {{(unsigned)(x < most ? x : most + 1), (unsigned)(y < most ? y : most + 1),
           (unsigned)(z < most ? z : most + 1)}};
}
static inline int64_t rilli_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* Blocks for n items, `per_block` in each. */
static inline rilli_grid rilli_blocks(int64_t n, int64_t per_block) {
  return rilli_grid_of(rilli_ceil_div(n, per_block));
}

/* Arguments are converted to the kernel's parameter types before their addresses are taken. */
template <typename T>
struct rilli_same {
  typedef T type;
};
template <typename... P>
bool rilli_launch(const rill_env *env, void (*kernel)(P...), rilli_grid grid, unsigned block,
                  size_t shared, typename rilli_same<P>::type... args) {
  void *address[] = {(void *)&args..., nullptr};
  return rilli_cuda_launch(rilli_cuda_of(env), (const void *)kernel, grid.size, block, address,
                           shared);
}

/* Host values in scratch memory of the GPU, for tables that do not fit in a kernel's arguments;
 * NULL when memory is short. */
static inline void *rilli_upload(rill_env *env, const void *values, size_t bytes) {
  rilli_device *dev = env->scratch->device;
  void *memory = rill_env_alloc(env, bytes);
  return memory && dev->upload(dev, memory, values, bytes) ? memory : nullptr;
}

/* True when 0 <= value < limit; otherwise leaves a fault for the host. */
static __device__ inline bool rilli_index_valid(rilli_fault *fault, const char *op,
                                                long long position, long long value,
                                                long long limit) {
  if (value >= 0 && value < limit) return true;
  if (atomicCAS(&fault->kind, RILLI_FAULT_NONE, RILLI_FAULT_INDEX) == RILLI_FAULT_NONE) {
    fault->op = op;
    fault->position = position;
    fault->value = value;
    fault->limit = limit;
  }
  return false;
}

#endif /* RILL_TENSOR_CUDA_LAUNCH_CUH_ */
