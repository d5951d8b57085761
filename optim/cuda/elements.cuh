/* Updates in place: every element from its own operands, four at a time.
 *
 * A block of 256 threads owns 1024 elements; a thread owns 4 that lie side by side, which it loads
 * and stores as vectors (16 bytes of f32) when all operands are aligned to them, else one by one.
 * No shared memory. Limit: 2^31 - 1 blocks, that is 2^41 elements. */
#ifndef RILL_OPTIM_CUDA_ELEMENTS_CUH_
#define RILL_OPTIM_CUDA_ELEMENTS_CUH_

#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"

extern "C" {
#include "autograd/op.h"
}

enum { RILLI_ELEMENTS = 4, RILLI_ELEMENTS_BLOCK = 256 };

/* Elements [at, at + 4) of p as reals; the vector when `whole`. */
template <typename T>
static __device__ __forceinline__ void rilli_elements_load(const T *p, int64_t at, int count,
                                                           bool whole,
                                                           rilli_real<T> (&x)[RILLI_ELEMENTS]) {
  if (whole) {
    rilli_vector<T, RILLI_ELEMENTS> v = *(const rilli_vector<T, RILLI_ELEMENTS> *)(p + at);
#pragma unroll
    for (int i = 0; i < RILLI_ELEMENTS; i++) x[i] = rilli_load(v.at[i]);
  } else {
#pragma unroll
    for (int i = 0; i < RILLI_ELEMENTS; i++) x[i] = i < count ? rilli_load(p[at + i]) : 0;
  }
}
template <typename T>
static __device__ __forceinline__ void rilli_elements_store(
    T *p, int64_t at, int count, bool whole, const rilli_real<T> (&x)[RILLI_ELEMENTS]) {
  if (whole) {
    rilli_vector<T, RILLI_ELEMENTS> v;
#pragma unroll
    for (int i = 0; i < RILLI_ELEMENTS; i++) v.at[i] = rilli_store<T>(x[i]);
    *(rilli_vector<T, RILLI_ELEMENTS> *)(p + at) = v;
  } else {
#pragma unroll
    for (int i = 0; i < RILLI_ELEMENTS; i++)
      if (i < count) p[at + i] = rilli_store<T>(x[i]);
  }
}

/* work(at, count, whole) for every thread: its elements are [at, at + count). */
template <typename Work>
static __global__ void __launch_bounds__(RILLI_ELEMENTS_BLOCK)
    rilli_elements(int64_t n, bool aligned, Work work) {
  int64_t at = ((int64_t)blockIdx.x * RILLI_ELEMENTS_BLOCK + threadIdx.x) * RILLI_ELEMENTS;
  if (at >= n) return;
  int count = n - at < RILLI_ELEMENTS ? (int)(n - at) : RILLI_ELEMENTS;
  work(at, count, aligned && count == RILLI_ELEMENTS);
}
template <typename Work>
static bool rilli_run_elements(const rill_env *env, int64_t n, bool aligned, Work work) {
  return rilli_launch(env, rilli_elements<Work>,
                      rilli_blocks(n, RILLI_ELEMENTS_BLOCK * RILLI_ELEMENTS), RILLI_ELEMENTS_BLOCK,
                      0, n, aligned, work);
}

/* Does p, or NULL, begin at a multiple of four elements? */
template <typename T>
static bool rilli_elements_aligned(const T *p) {
  return (uintptr_t)p % sizeof(rilli_vector<T, RILLI_ELEMENTS>) == 0;
}

#endif /* RILL_OPTIM_CUDA_ELEMENTS_CUH_ */
