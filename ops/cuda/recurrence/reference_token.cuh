/* One token of the recurrence, a row of S and R at a time: recurrence.h as it stands there. A warp
 * holds a row, a lane every 32nd of its elements; the token's keys lie in memory that the block
 * shares. Row i of S and R meets only element i of v, r and o. */
#ifndef RILL_OPS_CUDA_RECURRENCE_REFERENCE_TOKEN_CUH_
#define RILL_OPS_CUDA_RECURRENCE_REFERENCE_TOKEN_CUH_

#include "ops/cuda/recurrence/problem.cuh"

enum { RILLI_RECUR_KEYS = 5 }; /* arrays [D] of a token */

template <typename real>
struct rilli_recur_token {
  real *q, *k, *a, *ak, *aq; /* a: decay; aq: what the output reads S with, a q or q */
  real beta, gamma, own;     /* write gates; k . q */
};

/* What a row computes on its way. */
template <typename real>
struct rilli_recur_row {
  real z, u, r, e; /* S_{t-1} k, v - z, its clip, v - [delta] alpha z */
  real x, f;       /* alpha R_{t-1} k, r - [delta] x */
};

template <typename real>
static __device__ __forceinline__ real rilli_recur_lanes_sum(real x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

/* A sum over j < D, elements j = lane, lane + 32, ...; the same value in every lane. */
template <typename real, typename F>
static __device__ __forceinline__ real rilli_recur_sum(int64_t D, F &&element) {
  real sum = 0;
  for (int64_t j = threadIdx.x % 32; j < D; j += 32) sum += element(j);
  return rilli_recur_lanes_sum(sum);
}

/* The whole block reads a token's keys; between two barriers. */
template <typename T, typename real>
static __device__ void rilli_recur_read_keys(const rilli_recur_problem<T> &p, int64_t at,
                                             real *keys) {
  int64_t D = p.D;
  real alpha = p.g && !p.channel ? exp(p.g[at]) : (real)1;
  for (int64_t j = threadIdx.x; j < D; j += blockDim.x) {
    real q = rilli_load(p.q[at * D + j]), k = rilli_load(p.k[at * D + j]);
    real a = p.g && p.channel ? exp(p.g[at * D + j]) : alpha;
    keys[j] = q;
    keys[D + j] = k;
    keys[2 * D + j] = a;
    keys[3 * D + j] = a * k;
    keys[4 * D + j] = p.gated ? a * q : q;
  }
}

template <typename T, typename real>
static __device__ rilli_recur_token<real> rilli_recur_token_at(const rilli_recur_problem<T> &p,
                                                               int64_t at, real *keys) {
  int64_t D = p.D;
  rilli_recur_token<real> t;
  t.q = keys, t.k = keys + D, t.a = keys + 2 * D, t.ak = keys + 3 * D, t.aq = keys + 4 * D;
  t.beta = p.beta ? p.beta[at] : (real)1;
  t.gamma = p.gamma ? p.gamma[at] : (real)1;
  t.own = rilli_recur_sum<real>(D, [&](int64_t j) { return t.k[j] * t.q[j]; });
  return t;
}

/* A row before the token, S and R being rows of S_{t-1} and R_{t-1}. */
template <typename real>
static __device__ rilli_recur_row<real> rilli_recur_read_row(const rilli_recur_shape &p,
                                                             const rilli_recur_token<real> &t,
                                                             real v, const real *S, const real *R) {
  rilli_recur_row<real> y = {};
  y.e = v;
  if (p.delta) y.e -= rilli_recur_sum<real>(p.D, [&](int64_t j) { return S[j] * t.ak[j]; });
  if (!p.residual) return y;
  y.z = rilli_recur_sum<real>(p.D, [&](int64_t j) { return S[j] * t.k[j]; });
  y.u = v - y.z;
  y.r = y.f = rilli_recur_clip(p.clip, (real)p.bound, y.u);
  if (p.fitted && p.delta) {
    y.x = rilli_recur_sum<real>(p.D, [&](int64_t j) { return R[j] * t.ak[j]; });
    y.f -= y.x;
  }
  return y;
}

/* to = a from + write k */
template <typename real>
static __device__ void rilli_recur_write_row(int64_t D, const rilli_recur_token<real> &t, real *to,
                                             const real *from, real write) {
  for (int64_t j = threadIdx.x % 32; j < D; j += 32) to[j] = t.a[j] * from[j] + write * t.k[j];
}

#endif /* RILL_OPS_CUDA_RECURRENCE_REFERENCE_TOKEN_CUH_ */
