/* Kernels over the rows of a [rows, n] view, written once for two ways to walk a row:
 *
 *   held      GROUP threads keep the row in registers, CHUNKS vectors of 16 bytes each, and read it
 *             once; GROUP is a part of a warp for short rows, a block for long ones
 *   streamed  any length and alignment; a pass reads the row again
 *
 * A kernel is a template over the walk W: it names rows W::in<T>, W::out<T> and column sums
 * W::sums<R>, and says each(n, f) with f(slot, i) for every element i that the thread owns, in
 * order. A row that is not there has n = 0, so that all threads of a block meet in sum(). Sums are
 * in a fixed order. */
#ifndef RILL_OPS_CUDA_ROW_CUH_
#define RILL_OPS_CUDA_ROW_CUH_

#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"

extern "C" {
#include "autograd/op.h"
}

/* ---- functions of reals ---- */

static __device__ __forceinline__ float rilli_exp_of(float x) { return expf(x); }
static __device__ __forceinline__ double rilli_exp_of(double x) { return exp(x); }
static __device__ __forceinline__ float rilli_log_of(float x) { return logf(x); }
static __device__ __forceinline__ double rilli_log_of(double x) { return log(x); }
static __device__ __forceinline__ float rilli_inverse_sqrt(float x) { return 1 / sqrtf(x); }
static __device__ __forceinline__ double rilli_inverse_sqrt(double x) { return 1 / sqrt(x); }
template <typename R>
static __device__ __forceinline__ R rilli_sigmoid_of(R x) {
  return 1 / (1 + rilli_exp_of(-x));
}
/* The derivative of x sigmoid(x), where s = sigmoid(x). */
template <typename R>
static __device__ __forceinline__ R rilli_silu_slope(R x, R s) {
  return s * (1 + x * (1 - s));
}

/* ---- a group of threads: part of a warp, or the block ---- */

template <int SIZE>
struct rilli_group {
  static constexpr int GROUP = SIZE;
  static constexpr int BLOCK = SIZE > 32 ? SIZE : 256;
  static constexpr int GROUPS = BLOCK / SIZE;

  static __device__ __forceinline__ int lane() { return (int)threadIdx.x % GROUP; }
  static __device__ __forceinline__ int number() { return (int)threadIdx.x / GROUP; }

  /* total[k] of all threads of the group, in place, for every one of them. */
  template <int K, typename R, typename Combine>
  static __device__ __forceinline__ void combine(R (&total)[K], Combine f) {
#pragma unroll
    for (int k = 0; k < K; k++) {
#pragma unroll
      for (int apart = (GROUP < 32 ? GROUP : 32) / 2; apart > 0; apart /= 2)
        total[k] = f(total[k], __shfl_xor_sync(0xffffffffu, total[k], apart));
    }
    if constexpr (GROUP > 32) {
      __shared__ R part[K][GROUP / 32];
      if (threadIdx.x % 32 == 0)
        for (int k = 0; k < K; k++) part[k][threadIdx.x / 32] = total[k];
      __syncthreads();
#pragma unroll
      for (int k = 0; k < K; k++) {
        total[k] = part[k][0];
#pragma unroll
        for (int w = 1; w < GROUP / 32; w++) total[k] = f(total[k], part[k][w]);
      }
      __syncthreads();
    }
  }
  template <int K, typename R>
  static __device__ __forceinline__ void sum(R (&total)[K]) {
    combine(total, [](R a, R b) { return a + b; });
  }
  template <typename R>
  static __device__ __forceinline__ R sum(R x) {
    R total[1] = {x};
    sum(total);
    return total[0];
  }
  /* The largest; NaN is passed over. */
  template <typename R>
  static __device__ __forceinline__ R max(R x) {
    R total[1] = {x};
    combine(total, [](R a, R b) { return b > a ? b : a; });
    return total[0];
  }
};

/* ---- rows in registers ---- */

template <int SIZE, int VECTOR, int CHUNKS>
struct rilli_held : rilli_group<SIZE> {
  typedef rilli_group<SIZE> group;
  static constexpr int SLOTS = VECTOR * CHUNKS;
  static constexpr bool HELD = true;

  static __device__ __forceinline__ int at(int chunk) {
    return (chunk * SIZE + group::lane()) * VECTOR;
  }
  template <typename F>
  static __device__ __forceinline__ void each(int64_t n, F f) {
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
      if (at(c) >= n) continue;
#pragma unroll
      for (int v = 0; v < VECTOR; v++) f(c * VECTOR + v, (int64_t)(at(c) + v));
    }
  }

  template <typename T>
  struct in {
    rilli_vector<T, VECTOR> vector[CHUNKS];
    /* p may be NULL when it is not read from. */
    __device__ __forceinline__ void load(const T *p, int64_t n) {
      if (!p) return;
#pragma unroll
      for (int c = 0; c < CHUNKS; c++)
        if (at(c) < n) vector[c] = *(const rilli_vector<T, VECTOR> *)(p + at(c));
    }
    __device__ __forceinline__ rilli_real<T> operator()(int slot, int64_t) const {
      return rilli_load(vector[slot / VECTOR].at[slot % VECTOR]);
    }
  };

  /* A vector is stored with its last element. */
  template <typename T>
  struct out {
    rilli_vector<T, VECTOR> vector;
    T *to;
    __device__ __forceinline__ void begin(T *p) { to = p; }
    __device__ __forceinline__ void put(int slot, int64_t i, rilli_real<T> value) {
      vector.at[slot % VECTOR] = rilli_store<T>(value);
      if (slot % VECTOR == VECTOR - 1) *(rilli_vector<T, VECTOR> *)(to + i - (VECTOR - 1)) = vector;
    }
  };

  /* Sums over rows, for a block at a time: one row of `part` [gridDim.x, n]. */
  template <typename R>
  struct sums {
    R total[SLOTS];
    __device__ __forceinline__ void begin(R *, int64_t) {
#pragma unroll
      for (int s = 0; s < SLOTS; s++) total[s] = 0;
    }
    __device__ __forceinline__ void add(int slot, int64_t, R value) { total[slot] += value; }
    __device__ __forceinline__ void end(R *part, int64_t n) {
      R *to = part + blockIdx.x * n;
      if constexpr (group::GROUPS == 1) {
        each(n, [&](int s, int64_t i) { to[i] = total[s]; });
      } else {
        __shared__ R all[group::GROUPS][SIZE * SLOTS];
        each(n, [&](int s, int64_t i) { all[group::number()][i] = total[s]; });
        __syncthreads();
        for (int64_t i = threadIdx.x; i < n; i += group::BLOCK) {
          R sum = 0;
          for (int g = 0; g < group::GROUPS; g++) sum += all[g][i];
          to[i] = sum;
        }
        __syncthreads();
      }
    }
  };
  /* Rows of `part` that a grid of so many blocks leaves. */
  static int64_t parts(int64_t blocks) { return blocks; }
};

/* ---- rows that are read again in each pass ---- */

template <int SIZE>
struct rilli_streamed : rilli_group<SIZE> {
  typedef rilli_group<SIZE> group;
  static constexpr bool HELD = false;

  template <typename F>
  static __device__ __forceinline__ void each(int64_t n, F f) {
    for (int64_t i = group::lane(); i < n; i += SIZE) f(0, i);
  }

  template <typename T>
  struct in {
    const T *from;
    __device__ __forceinline__ void load(const T *p, int64_t) { from = p; }
    __device__ __forceinline__ rilli_real<T> operator()(int, int64_t i) const {
      return rilli_load(from[i]);
    }
  };

  template <typename T>
  struct out {
    T *to;
    __device__ __forceinline__ void begin(T *p) { to = p; }
    __device__ __forceinline__ void put(int, int64_t i, rilli_real<T> value) {
      to[i] = rilli_store<T>(value);
    }
  };

  /* Every group adds to a row of its own in memory; a thread meets its own elements only. */
  template <typename R>
  struct sums {
    R *total;
    __device__ __forceinline__ void begin(R *part, int64_t n) {
      total = part + ((int64_t)blockIdx.x * group::GROUPS + group::number()) * n;
      each(n, [&](int, int64_t i) { total[i] = 0; });
    }
    __device__ __forceinline__ void add(int, int64_t i, R value) { total[i] += value; }
    __device__ __forceinline__ void end(R *, int64_t) {}
  };
  static int64_t parts(int64_t blocks) { return blocks * group::GROUPS; }
};

/* ---- on the host ---- */

/* Calls run(W()) with the walk for rows of n elements of T; `aligned`: all rows begin at multiples
 * of 16 bytes when n is a multiple of 16 bytes. */
template <typename T, typename Run>
static bool rilli_with_walk(int64_t n, bool aligned, Run run) {
  if constexpr (sizeof(T) < 8) {
    constexpr int V = 16 / (int)sizeof(T);
    if (aligned && n % V == 0) {
      if (n <= 8 * V) return run(rilli_held<8, V, 1>());
      if (n <= 16 * V) return run(rilli_held<16, V, 1>());
      if (n <= 32 * V) return run(rilli_held<32, V, 1>());
      if (n <= 64 * V) return run(rilli_held<32, V, 2>());
      if (n <= 256 * V) return run(rilli_held<128, V, 2>());
      if (n <= 512 * V) return run(rilli_held<256, V, 2>());
      if (n <= 1024 * V) return run(rilli_held<512, V, 2>());
    }
  }
  return n <= 1024 ? run(rilli_streamed<32>()) : run(rilli_streamed<512>());
}

/* Blocks that stay for the whole launch and take rows in turn: so many threads a multiprocessor. */
template <class W, int THREADS>
static int64_t rilli_resident_blocks(const rill_env *env, int64_t rows) {
  int64_t blocks = rilli_ceil_div(rows, W::GROUPS);
  int64_t most = (int64_t)rilli_cuda_of(env)->card.multiprocessors * (THREADS / W::BLOCK);
  return blocks < most ? blocks : most;
}

/* Are all of these aligned to 16 bytes? NULL is. */
template <typename... P>
static bool rilli_aligned(P *...p) {
  return ((0 | ... | (uintptr_t)p) & 15) == 0;
}

static inline int64_t rilli_row_count(const rill_array *x) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < x->rank; d++) rows *= x->size[d];
  return x->size[x->rank - 1] ? rows : 0;
}
static inline void *rilli_data_of(const rill_array *a) { return a->rank >= 0 ? a->data : nullptr; }

/* ---- the second launch of a sum over rows ----
 *
 * to[j] = sum over p of part[p][j], in double. A block owns 32 columns; its 32 warps take every
 * 32nd row, and their sums are added in order. 8448 bytes of shared memory. */
template <typename R, typename T>
static __global__ void rilli_add_parts(const R *part, int64_t parts, int64_t n, T *to) {
  __shared__ double sum[32][33];
  int column = threadIdx.x % 32, row = threadIdx.x / 32;
  int64_t j = (int64_t)blockIdx.x * 32 + column;
  double total = 0;
  if (j < n) {
#pragma unroll 4
    for (int64_t p = row; p < parts; p += 32) total += (double)part[p * n + j];
  }
  sum[row][column] = total;
  __syncthreads();
  if (row > 0 || j >= n) return;
  for (int r = 1; r < 32; r++) total += sum[r][column];
  to[j] = rilli_store<T>((rilli_real<T>)total);
}
template <typename R, typename T>
static bool rilli_launch_add_parts(const rill_env *env, const R *part, int64_t parts, int64_t n,
                                   T *to) {
  return rilli_launch(env, rilli_add_parts<R, T>, rilli_blocks(n, 32), 1024, 0, part, parts, n, to);
}

#endif /* RILL_OPS_CUDA_ROW_CUH_ */
