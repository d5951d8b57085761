/* A recurrence as the CUDA kernels see it: what a call's attributes and operands say, in one
 * struct that is a kernel's argument. Operands are contiguous; absent ones are NULL. */
#ifndef RILL_OPS_CUDA_RECURRENCE_PROBLEM_CUH_
#define RILL_OPS_CUDA_RECURRENCE_PROBLEM_CUH_

#include <math.h>

#include "ops/recurrence/call.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"

/* Dynamic shared memory. */
alignas(1024) extern __shared__ double rilli_recur_memory[];

/* The rule and the sizes. */
struct rilli_recur_shape {
  bool delta, residual, fitted, gated, tied, channel;
  rill_rule_clip clip;
  double bound;
  int64_t N, H, D, V;      /* N: sequences */
  int64_t C, chunks;       /* tokens of a chunk; chunks of all sequences */
  int64_t length, per_row; /* tokens and chunks of a sequence that is not packed */
  /* Packed sequences only: [N + 1] first token, first chunk. */
  const int64_t *token_start, *chunk_start;

  __device__ int64_t first_token(int64_t n) const {
    return token_start ? token_start[n] : n * length;
  }
  __device__ int64_t first_chunk(int64_t n) const {
    return chunk_start ? chunk_start[n] : n * per_row;
  }
};

/* Operands of type T; gates and states of the type they are computed in. */
template <typename T>
struct rilli_recur_problem : rilli_recur_shape {
  const T *q, *k, *v;                /* [tokens, H, D] [tokens, H, D] [tokens, H, V] */
  const rilli_real<T> *g;            /* [tokens, H] or, per channel, [tokens, H, D] */
  const rilli_real<T> *beta, *gamma; /* [tokens, H]; gamma is beta where they are tied */
  const rilli_real<T> *s0, *r0;      /* [N, H, V, D] */
};

/* Fills the struct from a call; packed sequences are measured on the device (layout.cu), once.
 * False when memory is short or the launch failed. */
bool rilli_recur_shape_of(const rill_call *call, rilli_recur_shape *shape);

template <typename X>
static inline X *rilli_recur_operand(const rill_array *a) {
  return rill_present(a) ? (X *)a->data : nullptr;
}

template <typename T>
static bool rilli_recur_problem_of(const rill_call *call, rilli_recur_problem<T> *p) {
  typedef rilli_real<T> real;
  const rill_array *in = call->in;
  if (!rilli_recur_shape_of(call, p)) return false;
  p->q = rilli_recur_operand<const T>(&in[Q]);
  p->k = rilli_recur_operand<const T>(&in[K]);
  p->v = rilli_recur_operand<const T>(&in[V]);
  p->g = rilli_recur_operand<const real>(&in[G]);
  p->beta = rilli_recur_operand<const real>(&in[BETA]);
  p->gamma = rilli_recur_operand<const real>(&in[p->tied ? BETA : GAMMA]);
  p->s0 = rilli_recur_operand<const real>(&in[S0]);
  p->r0 = rilli_recur_operand<const real>(&in[R0]);
  return true;
}

/* phi(u), and its derivative where it gave r. */
template <typename R>
static __device__ __forceinline__ R rilli_recur_clip(rill_rule_clip clip, R bound, R u) {
  if (clip == RILL_CLIP_HARD) return u > bound ? bound : u < -bound ? -bound : u;
  if (clip == RILL_CLIP_TANH) return bound * tanh(u / bound);
  return u;
}
template <typename R>
static __device__ __forceinline__ R rilli_recur_slope(rill_rule_clip clip, R bound, R u, R r) {
  if (clip == RILL_CLIP_HARD) return u <= bound && u >= -bound ? (R)1 : (R)0;
  if (clip == RILL_CLIP_TANH) return 1 - (r / bound) * (r / bound);
  return 1;
}

#endif /* RILL_OPS_CUDA_RECURRENCE_PROBLEM_CUH_ */
