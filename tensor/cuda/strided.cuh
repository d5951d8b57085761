/* Strided arrays in kernels: axes merged on the host, offsets computed from a flat index on the
 * device. */
#ifndef RILL_TENSOR_CUDA_STRIDED_CUH_
#define RILL_TENSOR_CUDA_STRIDED_CUH_

#include <stdint.h>

extern "C" {
#include "tensor/array.h"
}

/* K arrays of one shape. Axis 0 is the innermost; strides count elements. */
template <int K>
struct rilli_layout {
  int64_t count;
  int rank;
  bool narrow; /* count fits in 32 bits: divisions may, too */
  int64_t size[RILL_MAX_RANK];
  int64_t stride[K][RILL_MAX_RANK];
};

/* The shape is that of a[0]; the others have its sizes, with stride 0 where they are broadcast. */
template <int K>
rilli_layout<K> rilli_layout_of(const rill_array *const (&a)[K]) {
  rilli_layout<K> w = {};
  w.count = rill_array_count(a[0]);
  w.narrow = w.count < ((int64_t)1 << 31);
  for (int d = a[0]->rank - 1; d >= 0; d--) {
    if (a[0]->size[d] == 1) continue;
    bool merge = w.rank > 0;
    for (int k = 0; k < K && merge; k++)
      merge = a[k]->stride[d] == w.stride[k][w.rank - 1] * w.size[w.rank - 1];
    if (merge) {
      w.size[w.rank - 1] *= a[0]->size[d];
      continue;
    }
    for (int k = 0; k < K; k++) w.stride[k][w.rank] = a[k]->stride[d];
    w.size[w.rank++] = a[0]->size[d];
  }
  return w;
}

/* Is array k walked in memory order without gaps? */
template <int K>
bool rilli_layout_flat(const rilli_layout<K> &w, int k) {
  return w.rank == 0 || (w.rank == 1 && w.stride[k][0] == 1);
}

/* offset[k] of element i of every array, in elements. */
template <int K>
static __device__ __forceinline__ void rilli_offsets(const rilli_layout<K> &w, int64_t i,
                                                     int64_t (&offset)[K]) {
#pragma unroll
  for (int k = 0; k < K; k++) offset[k] = 0;
  if (w.narrow) {
    uint32_t left = (uint32_t)i;
    for (int d = 0; d < w.rank; d++) {
      uint32_t size = (uint32_t)w.size[d], next = left / size, at = left - next * size;
      left = next;
#pragma unroll
      for (int k = 0; k < K; k++) offset[k] += at * w.stride[k][d];
    }
  } else {
    int64_t left = i;
    for (int d = 0; d < w.rank; d++) {
      int64_t next = left / w.size[d], at = left - next * w.size[d];
      left = next;
#pragma unroll
      for (int k = 0; k < K; k++) offset[k] += at * w.stride[k][d];
    }
  }
}

#endif /* RILL_TENSOR_CUDA_STRIDED_CUH_ */
