/* The second state of a sweep, R or dR: registers hold it at D = 64; at D = 128 they hold one state
 * and no more, so the second lies in shared memory, f32. Every thread keeps the elements there that
 * it would keep in registers, 16 bytes for each 8 columns, lanes side by side: no thread reads
 * another's, so no barrier guards them. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_SECOND_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_SECOND_CUH_

#include "ops/cuda/recurrence/chunk_values.cuh"

template <int D>
struct rilli_shared_state {
  float4 *at;
  __device__ float4 &tile(int n) const { return at[n * blockDim.x]; }
  __device__ __forceinline__ void load(float (&x)[4], int n, float decay = 1) const {
    float4 four = tile(n);
    x[0] = decay * four.x, x[1] = decay * four.y, x[2] = decay * four.z, x[3] = decay * four.w;
  }
  __device__ __forceinline__ void store(int n, const float (&x)[4]) const {
    tile(n) = make_float4(x[0], x[1], x[2], x[3]);
  }
};

template <int D>
struct rilli_second_state {
  typedef rilli_state<D> type;
  enum { SHARED = 0 };
};
template <>
struct rilli_second_state<128> {
  typedef rilli_shared_state<128> type;
  enum { SHARED = 1 };
};

/* Bytes of shared memory for it; it lies behind the stages. */
template <int D>
static inline size_t rilli_second_bytes(int threads) {
  return rilli_second_state<D>::SHARED ? (size_t)threads * (D / 2) * sizeof(float) : 0;
}
template <int D>
static __device__ __forceinline__ void rilli_place_state(rilli_state<D> &, char *) {}
template <int D>
static __device__ __forceinline__ void rilli_place_state(rilli_shared_state<D> &x, char *memory) {
  x.at = (float4 *)memory + threadIdx.x;
}

/* What chunk_values.cuh says of states in registers. */
template <int D>
static __device__ __forceinline__ void rilli_read_state(rilli_values &x,
                                                        const rilli_shared_state<D> &state,
                                                        const rilli_bf16 *tile) {
  uint32_t place = rilli_across<D>(tile);
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t a[4], b[4];
    float left[4], right[4];
    state.load(left, k / 8);
    state.load(right, k / 8 + 1);
    rilli_as_a(a, left, right);
#pragma unroll
    for (int n = 0; n < CHUNK; n += 16) {
      rilli_ldmatrix_at(b, rilli_block_at<D>(place, n, k));
      rilli_mma(x[n / 8], a, b[0], b[1]);
      rilli_mma(x[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

/* state = decay state + w y */
template <int D>
static __device__ __forceinline__ void rilli_advance_state(rilli_state<D> &state, float decay,
                                                           const rilli_packed &w,
                                                           const rilli_bf16 *tile) {
  rilli_fade_state<D>(state, decay);
  rilli_write_state<D>(state, w, tile);
}
template <int D>
static __device__ __forceinline__ void rilli_advance_state(const rilli_shared_state<D> &state,
                                                           float decay, const rilli_packed &w,
                                                           const rilli_bf16 *tile) {
  uint32_t place = rilli_straight<D>(tile);
#pragma unroll
  for (int n = 0; n < D; n += 32) {
    float x[4][4];
    uint32_t b[4];
#pragma unroll
    for (int i = 0; i < 4; i++) state.load(x[i], n / 8 + i, decay);
#pragma unroll
    for (int k = 0; k < CHUNK; k += 16)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        rilli_ldmatrix_transposed_at(b, rilli_block_at<D>(place, k, n + 16 * i));
        rilli_mma(x[2 * i], w[k / 16], b[0], b[1]);
        rilli_mma(x[2 * i + 1], w[k / 16], b[2], b[3]);
      }
#pragma unroll
    for (int i = 0; i < 4; i++) state.store(n / 8 + i, x[i]);
  }
}

template <int D>
static __device__ __forceinline__ void rilli_load_state(const rilli_shared_state<D> &x,
                                                        const float *at) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
    float2 upper = make_float2(0, 0), lower = make_float2(0, 0);
    if (at) {
      upper = *(const float2 *)(at + g * D + 8 * n + 2 * t);
      lower = *(const float2 *)(at + (g + 8) * D + 8 * n + 2 * t);
    }
    x.tile(n) = make_float4(upper.x, upper.y, lower.x, lower.y);
  }
}
template <int D>
static __device__ __forceinline__ void rilli_store_state(float *at,
                                                         const rilli_shared_state<D> &x) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
    float4 four = x.tile(n);
    *(float2 *)(at + g * D + 8 * n + 2 * t) = make_float2(four.x, four.y);
    *(float2 *)(at + (g + 8) * D + 8 * n + 2 * t) = make_float2(four.z, four.w);
  }
}
template <int D>
static __device__ __forceinline__ void rilli_store_state(rilli_bf16 *at,
                                                         const rilli_shared_state<D> &x) {
#pragma unroll
  for (int n = 0; n < D / 8; n += 4) {
    float four[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) x.load(four[i], n + i);
    rilli_store_tiles<D>(at + 8 * n, four);
  }
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_SECOND_CUH_ */
