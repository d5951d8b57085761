/* Softmax attention on CUDA: the operands, and which kernels there are. */
#ifndef RILL_OPS_CUDA_ATTENTION_CUH_
#define RILL_OPS_CUDA_ATTENTION_CUH_

#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

/* q, o and theirs [B, T, H, D]; k, v and theirs [B, S, G, D]; lse, dlse, delta [B, H, T]. */
template <typename X>
struct rilli_attention_job {
  int64_t B, T, S, H, G, D;
  bool causal; /* query t sees keys 0 .. S - T + t */
  double scale;
  const X *q, *k, *v;
  X *o; /* forward writes these two, backward reads them */
  rilli_real<X> *lse;
  const X *do_; /* or NULL = 0 */
  const rilli_real<X> *dlse;
  rilli_real<X> *delta; /* sum(do o) - dlse */
  X *dq, *dk, *dv;

  /* How many keys query t sees. */
  __device__ __forceinline__ int64_t seen(int64_t t) const {
    return causal && S - T + t + 1 < S ? S - T + t + 1 : S;
  }
  /* The first query that sees key s. */
  __device__ __forceinline__ int64_t first(int64_t s) const {
    return causal && s > S - T ? s - (S - T) : 0;
  }
  /* Where row t of head h begins in q; row s of group g in k; query t in lse. */
  __device__ __forceinline__ int64_t q_at(int64_t b, int64_t t, int64_t h) const {
    return ((b * T + t) * H + h) * D;
  }
  __device__ __forceinline__ int64_t k_at(int64_t b, int64_t s, int64_t g) const {
    return ((b * S + s) * G + g) * D;
  }
  __device__ __forceinline__ int64_t lse_at(int64_t b, int64_t t, int64_t h) const {
    return (b * H + h) * T + t;
  }
};

/* attention_tiles.cu: every dtype, D up to RILLI_ATTENTION_CHANNELS. */
enum { RILLI_ATTENTION_CHANNELS = 256 };
template <typename X>
bool rilli_attention_tiles(rill_env *env, const rilli_attention_job<X> &a);
template <typename X>
bool rilli_attention_tiles_backward(rill_env *env, const rilli_attention_job<X> &a);

/* attention_mma.cu, attention_mma_backward.cu: tensor cores for D = 64 and 128; all rows begin at
 * multiples of 16 bytes, and do_ is there. */
bool rilli_attention_mma(rill_env *env, const rilli_attention_job<__nv_bfloat16> &a);
bool rilli_attention_mma_backward(rill_env *env, const rilli_attention_job<__nv_bfloat16> &a);

#endif /* RILL_OPS_CUDA_ATTENTION_CUH_ */
