/* Elementwise kernels: an op gives a function of one element of every operand, the driver here does
 * the rest.
 *
 *   struct silu {
 *     template <typename R>
 *     __device__ R operator()(R x) const { return x / (1 + exp(-x)); }
 *   };
 *   return rilli_map_floats<1>(call, silu{});
 *
 * Operands are broadcast to the shape of output 0. Grid: one block of 256 threads for every 256
 * pieces times STEPS; a thread owns STEPS pieces a block's width apart, whose loads are all under
 * way before the first is used. A piece is
 *
 *   V = 16 bytes of the widest operand   where every operand is contiguous ("flat"), or has rows of
 *                                        contiguous or repeated elements that whole pieces fill
 *   1 element                            elsewhere, and for elements of 8 bytes
 *
 * Limits: 2^31 - 1 blocks. */
#ifndef RILL_OPS_CUDA_MAP_CUH_
#define RILL_OPS_CUDA_MAP_CUH_

#include <string.h>

#include <utility>

#include "autograd/op.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"
#include "tensor/cuda/strided.cuh"
#include "tensor/iterate.h"

enum { RILLI_MAP_THREADS = 256 };

template <typename... T>
struct rilli_types {};

/* What a function with two results returns. */
template <typename R>
struct rilli_both {
  R first, second;
};

/* ---- V elements of every input ---- */

/* As words, which are taken apart when all loads are under way: taking apart waits for a load. */
template <typename T, int V>
struct rilli_words {
  enum { BYTES = V * sizeof(T), WORDS = BYTES / 4 };
  rilli_vector<uint32_t, WORDS> word;
  __device__ __forceinline__ void load(const T *from) {
    word = *(const rilli_vector<uint32_t, WORDS> *)from;
  }
  __device__ __forceinline__ T at(int e) const {
    constexpr int PER = 4 / (int)sizeof(T);
    uint32_t bits = word.at[e / PER] >> (e % PER * 8 * (int)sizeof(T));
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
};
template <typename T>
struct rilli_words<T, 1> {
  T value;
  __device__ __forceinline__ void load(const T *from) { value = *from; }
  __device__ __forceinline__ T at(int) const { return value; }
};

/* `one` stands for all V elements of an input that is spread. */
template <int V, typename... In>
struct rilli_loaded {};
template <int V, typename First, typename... Rest>
struct rilli_loaded<V, First, Rest...> {
  rilli_words<First, V> value;
  First one;
  rilli_loaded<V, Rest...> rest;
};

/* in, offset and spread begin with the first input of x. */
template <int V>
static __device__ __forceinline__ void rilli_map_load(rilli_loaded<V> &, const void *const *,
                                                      const int64_t *, const bool *) {}
template <int V, typename First, typename... Rest>
static __device__ __forceinline__ void rilli_map_load(rilli_loaded<V, First, Rest...> &x,
                                                      const void *const *in, const int64_t *offset,
                                                      const bool *spread) {
  const First *from = (const First *)*in + *offset;
  if (V > 1 && *spread)
    x.one = *from;
  else
    x.value.load(from);
  rilli_map_load(x.rest, in + 1, offset + 1, spread + 1);
}

/* f of element e of every input. */
template <class F, int V, typename... Done>
static __device__ __forceinline__ auto rilli_map_apply(const F &f, const rilli_loaded<V> &,
                                                       const bool *, int, Done... done) {
  return f(done...);
}
template <class F, int V, typename First, typename... Rest, typename... Done>
static __device__ __forceinline__ auto rilli_map_apply(const F &f,
                                                       const rilli_loaded<V, First, Rest...> &x,
                                                       const bool *spread, int e, Done... done) {
  First value = V > 1 && *spread ? x.one : x.value.at(e);
  return rilli_map_apply(f, x.rest, spread + 1, e, done..., rilli_load(value));
}

/* ---- the kernel ---- */

/* Inputs N. Pieces are counted by `pieces.count`; its array 0 is the outputs'. */
template <int M, int N>
struct rilli_map_job {
  rilli_layout<1 + N> pieces;
  int tail; /* flat: elements behind the whole pieces */
  void *out[M];
  const void *in[N];
};

template <int V, int M, typename Out, class F, typename... In>
static __device__ __forceinline__ void rilli_map_store(void *const (&out)[M], int64_t offset,
                                                       const F &f, const bool *spread,
                                                       const rilli_loaded<V, In...> &x) {
  rilli_vector<Out, V> y[M];
#pragma unroll
  for (int e = 0; e < V; e++) {
    auto result = rilli_map_apply(f, x, spread, e);
    if constexpr (M == 1) {
      y[0].at[e] = rilli_store<Out>(result);
    } else {
      y[0].at[e] = rilli_store<Out>(result.first);
      y[1].at[e] = rilli_store<Out>(result.second);
    }
  }
#pragma unroll
  for (int m = 0; m < M; m++) *(rilli_vector<Out, V> *)((Out *)out[m] + offset) = y[m];
}

template <int V, int STEPS, bool FLAT, int M, class F, typename Out, typename... In>
static __global__ void __launch_bounds__(RILLI_MAP_THREADS)
    rilli_map_kernel(rilli_map_job<M, (int)sizeof...(In)> job, F f) {
  constexpr int N = (int)sizeof...(In);
  int64_t first = (int64_t)blockIdx.x * (RILLI_MAP_THREADS * STEPS) + threadIdx.x;
  rilli_loaded<V, In...> x[STEPS];
  int64_t to[STEPS];
  bool spread[N];
#pragma unroll
  for (int n = 0; n < N; n++) spread[n] = !FLAT && job.pieces.stride[1 + n][0] == 0;
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * RILLI_MAP_THREADS, offset[1 + N];
    if (i >= job.pieces.count) break;
    if (FLAT || job.pieces.rank <= 1) {
#pragma unroll
      for (int k = 0; k <= N; k++) offset[k] = i * (FLAT ? V : job.pieces.stride[k][0]);
    } else {
      rilli_offsets(job.pieces, i, offset);
    }
    to[s] = offset[0];
    rilli_map_load(x[s], job.in, offset + 1, spread);
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    if (first + s * RILLI_MAP_THREADS >= job.pieces.count) break;
    rilli_map_store<V, M, Out>(job.out, to[s], f, spread, x[s]);
  }
  if (FLAT && V > 1 && blockIdx.x == 0 && threadIdx.x < job.tail) {
    rilli_loaded<1, In...> one;
    int64_t offset[1 + N];
#pragma unroll
    for (int k = 0; k <= N; k++) offset[k] = job.pieces.count * V + threadIdx.x;
    rilli_map_load(one, job.in, offset + 1, spread);
    rilli_map_store<1, M, Out>(job.out, offset[0], f, spread, one);
  }
}

/* ---- the host's side ---- */

template <int V, bool FLAT, int M, typename Out, typename... In, class F>
static bool rilli_map_launch(rill_env *env, const rilli_map_job<M, (int)sizeof...(In)> &job,
                             const F &f, rilli_types<In...>) {
  constexpr int bytes = V * (int)(0 + ... + sizeof(In));
  constexpr int STEPS = V == 1 ? 4 : bytes >= 48 ? 1 : bytes >= 24 ? 2 : 4;
  int64_t blocks = rilli_ceil_div(job.pieces.count, RILLI_MAP_THREADS * STEPS);
  if (blocks == 0 && job.tail > 0) blocks = 1;
  return rilli_launch(env, rilli_map_kernel<V, STEPS, FLAT, M, F, Out, In...>,
                      rilli_grid_of(blocks), RILLI_MAP_THREADS, 0, job, f);
}

template <int K, size_t... I>
static rilli_layout<K> rilli_map_layout(const rill_array (&all)[K], std::index_sequence<I...>) {
  const rill_array *const pointers[K] = {&all[I]...};
  return rilli_layout_of(pointers);
}

static inline bool rilli_map_aligned(const void *p, size_t bytes) {
  return (uintptr_t)p % bytes == 0;
}

/* out[m] = f(in[0], in[1], ...) for the M outputs of type Out, which lie alike, and inputs of types
 * In. Arrays need not be contiguous. */
template <int M, typename Out, typename... In, class F>
static bool rilli_map(rill_env *env, const rill_array *out, const rill_array *in, const F &f,
                      rilli_types<In...> types) {
  constexpr int N = (int)sizeof...(In), K = 1 + N;
  constexpr size_t size[K] = {sizeof(Out), sizeof(In)...};
  constexpr size_t widest = [] {
    size_t most = sizeof(Out);
    ((most = most < sizeof(In) ? sizeof(In) : most), ...);
    return most;
  }();
  constexpr int V = widest <= 4 ? 16 / (int)widest : 1;
  rill_array all[K];
  rilli_map_job<M, N> job = {};
  all[0] = out[0];
  for (int n = 0; n < N; n++) {
    all[1 + n] = rill_array_broadcast(&in[n], out[0].rank, out[0].size);
    job.in[n] = in[n].data;
  }
  for (int m = 0; m < M; m++) job.out[m] = out[m].data;
  rilli_layout<K> &w = job.pieces;
  w = rilli_map_layout(all, std::make_index_sequence<K>());
  if (w.count == 0) return true;
  if constexpr (V > 1) {
    bool flat = true, rows = w.rank > 0 && w.size[0] % V == 0 && w.stride[0][0] == 1;
    for (int k = 0; k < K; k++) {
      bool spread = w.rank > 0 && w.stride[k][0] == 0, aligned = true;
      for (int m = 0; m < (k == 0 ? M : 1); m++)
        aligned =
            aligned && rilli_map_aligned(k == 0 ? job.out[m] : (void *)job.in[k - 1], size[k] * V);
      flat = flat && aligned && rilli_layout_flat(w, k);
      rows = rows && (spread || (aligned && w.stride[k][0] == 1));
      for (int d = 1; d < w.rank; d++) rows = rows && (spread || w.stride[k][d] % V == 0);
    }
    if (flat) {
      job.tail = (int)(w.count % V);
      w.count /= V;
      return rilli_map_launch<V, true, M, Out>(env, job, f, types);
    }
    if (rows) {
      w.count /= V;
      w.size[0] /= V;
      for (int k = 0; k < K; k++) w.stride[k][0] *= V;
      return rilli_map_launch<V, false, M, Out>(env, job, f, types);
    }
  }
  return rilli_map_launch<1, false, M, Out>(env, job, f, types);
}

template <typename T, size_t>
using rilli_repeated = T;
template <int M, typename Out, typename T, class F, size_t... I>
static bool rilli_map_repeated(const rill_call *call, const F &f, std::index_sequence<I...>) {
  return rilli_map<M, Out>(call->env, call->out, call->in, f,
                           rilli_types<rilli_repeated<T, I>...>());
}
/* M outputs of type Out from N inputs of type T: those of the call. */
template <int N, int M, typename Out, typename T, class F>
static bool rilli_map_as(const rill_call *call, const F &f) {
  return rilli_map_repeated<M, Out, T>(call, f, std::make_index_sequence<N>());
}

/* M outputs from N inputs, all of one floating dtype. */
template <int N, int M = 1, class F>
static bool rilli_map_floats(const rill_call *call, const F &f) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, (done = rilli_map_as<N, M, T, T>(call, f)));
  return done;
}

#endif /* RILL_OPS_CUDA_MAP_CUH_ */
