/* What the kernels of the causal convolution share: operands, and rows before the first token. */
#ifndef RILL_OPS_CUDA_CONV1D_CUH_
#define RILL_OPS_CUDA_CONV1D_CUH_

#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

enum { RILLI_CONV_BLOCK = 128 };

template <typename T>
struct rilli_conv {
  int64_t B, T_, C, W;
  bool silu;
  const T *x, *weight, *bias, *state; /* bias, state: or NULL */
  T *y;                               /* forward */
  const T *dy;                        /* backward, from here */
  T *dx, *dstate;
  rilli_real<T> *dweight, *dbias; /* parts [parts, C, W] and [parts, C], or NULL */
  int64_t piece, pieces;          /* tokens of a piece, pieces of a sequence */

  /* Row t of x, [C], t >= 1 - W; NULL = zeros. */
  __device__ __forceinline__ const T *row(int64_t b, int64_t t) const {
    if (t >= 0) return x + (b * T_ + t) * C;
    return state ? state + (b * (W - 1) + W - 1 + t) * C : nullptr;
  }
  /* The same of dx. */
  __device__ __forceinline__ T *drow(int64_t b, int64_t t) const {
    if (t >= 0) return dx + (b * T_ + t) * C;
    return dstate ? dstate + (b * (W - 1) + W - 1 + t) * C : nullptr;
  }
};

/* Any number of taps (ops/cuda/conv1d_any.cu); scratch memory comes from env. */
template <typename T>
bool rilli_conv_any(rill_env *env, const rilli_conv<T> &a);
template <typename T>
bool rilli_conv_any_backward(rill_env *env, const rilli_conv<T> &a);

#endif /* RILL_OPS_CUDA_CONV1D_CUH_ */
