/* An index in kernels, and sums of what it brings together. */
#ifndef RILL_OPS_CUDA_INDEX_CUH_
#define RILL_OPS_CUDA_INDEX_CUH_

#include "ops/cuda/lines.cuh"
#include "ops/cuda/sort.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"

/* Contiguous i32 or i64 on the device. */
struct rilli_indices {
  const void *data;
  bool wide;
  int64_t limit; /* valid: 0 <= value < limit */
  rilli_fault *fault;
  const char *op;

  __device__ int64_t at(int64_t i) const {
    return wide ? ((const int64_t *)data)[i] : ((const int32_t *)data)[i];
  }
  /* Whether entry i may be used; otherwise the host will hear of it. */
  __device__ bool valid(int64_t i, int64_t value) const {
    return rilli_index_valid(fault, op, i, value, limit);
  }
};

static inline rilli_indices rilli_indices_of(const rill_call *call, const rill_array *index,
                                             int64_t limit) {
  return {index->data, index->dtype == RILL_I64, limit, rilli_cuda_of(call->env)->fault,
          call->op->name};
}

/* ---- y[o, r] = base[o, r] + the sum of x[o, p] over the positions p of row r ----
 *
 * A row is `inner` elements, V of which a thread adds up at a time. Rows of at most LONG positions
 * go through them in order, one thread for every V elements of y (flat, blocks of 256). Longer ones
 * are left to a second launch, blocks of `lanes` x 256 / lanes threads: thread s of a lane takes
 * every (256 / lanes)-th position, and the partial sums are added in pairs. A block there stands
 * for the multiple of LONG among the sorted positions that is the first in its row. */

enum { RILLI_ADD_LONG = 32, RILLI_ADD_THREADS = 256 };

template <typename T>
struct rilli_add_job {
  rilli_sorted sorted;
  int64_t n, rows, inner; /* positions, rows of y, elements of a row */
  int64_t count;          /* threads, or blocks of the second launch */
  int64_t tiles, slots;
  int lanes;
  const T *x, *base; /* base: or NULL = 0 */
  T *y;
};

/* acc += x of positions begin, begin + step, ... below end. */
template <typename T, int V>
static __device__ __forceinline__ void rilli_add_run(const rilli_add_job<T> &j, const T *x,
                                                     int64_t begin, int64_t end, int step,
                                                     rilli_real<T> (&acc)[V]) {
#pragma unroll 4
  for (int64_t i = begin; i < end; i += step) {
    rilli_vector<T, V> v = *(const rilli_vector<T, V> *)(x + (int64_t)j.sorted.at[i] * j.inner);
#pragma unroll
    for (int e = 0; e < V; e++) acc[e] += rilli_load(v.at[e]);
  }
}

template <typename T, int V>
static __device__ __forceinline__ void rilli_add_put(const rilli_add_job<T> &j, int64_t to,
                                                     const rilli_real<T> (&acc)[V]) {
  rilli_vector<T, V> v;
#pragma unroll
  for (int e = 0; e < V; e++) v.at[e] = rilli_store<T>(acc[e]);
  *(rilli_vector<T, V> *)(j.y + to) = v;
}

template <typename T, int V>
static __global__ void __launch_bounds__(RILLI_ADD_THREADS) rilli_add_short(rilli_add_job<T> j) {
  typedef rilli_real<T> R;
  int64_t unit = (int64_t)blockIdx.x * RILLI_ADD_THREADS + threadIdx.x, width = j.inner / V;
  if (unit >= j.count) return;
  int64_t line = unit / width, column = (unit - line * width) * V;
  int64_t outer = line / j.rows, row = line - outer * j.rows;
  int64_t begin = j.sorted.start[row], end = j.sorted.start[row + 1];
  if (end - begin > RILLI_ADD_LONG) return;
  R acc[V];
#pragma unroll
  for (int e = 0; e < V; e++) acc[e] = j.base ? rilli_load(j.base[unit * V + e]) : (R)0;
  rilli_add_run(j, j.x + outer * j.n * j.inner + column, begin, end, 1, acc);
  rilli_add_put(j, unit * V, acc);
}

template <typename T, int V>
static __global__ void __launch_bounds__(RILLI_ADD_THREADS) rilli_add_long(rilli_add_job<T> j) {
  typedef rilli_real<T> R;
  __shared__ R shared[RILLI_ADD_THREADS * V];
  int64_t tile = blockIdx.x % j.tiles, left = blockIdx.x / j.tiles;
  int64_t outer = left / j.slots, position = left % j.slots * RILLI_ADD_LONG;
  int64_t row = j.sorted.row[position];
  if (row >= j.rows) return;
  int64_t begin = j.sorted.start[row], end = j.sorted.start[row + 1];
  if (end - begin <= RILLI_ADD_LONG || position - begin >= RILLI_ADD_LONG) return;
  int lane = (int)threadIdx.x & (j.lanes - 1), part = (int)threadIdx.x / j.lanes;
  int parts = RILLI_ADD_THREADS / j.lanes;
  int64_t column = (tile * j.lanes + lane) * V, to = (outer * j.rows + row) * j.inner + column;
  bool inside = column < j.inner;
  R acc[V] = {};
  if (inside) rilli_add_run(j, j.x + outer * j.n * j.inner + column, begin + part, end, parts, acc);
    /* shared: [V, parts, lanes] */
#pragma unroll
  for (int e = 0; e < V; e++) shared[e * RILLI_ADD_THREADS + threadIdx.x] = acc[e];
  for (int half = parts / 2; half > 0; half /= 2) {
    __syncthreads();
    if (part >= half) continue;
#pragma unroll
    for (int e = 0; e < V; e++) {
      acc[e] += shared[e * RILLI_ADD_THREADS + threadIdx.x + half * j.lanes];
      shared[e * RILLI_ADD_THREADS + threadIdx.x] = acc[e];
    }
  }
  if (part > 0 || !inside) return;
#pragma unroll
  for (int e = 0; e < V; e++) acc[e] += j.base ? rilli_load(j.base[to + e]) : (R)0;
  rilli_add_put(j, to, acc);
}

template <typename T, int V>
static bool rilli_add_launch(rill_env *env, int64_t outer, rilli_add_job<T> j) {
  int64_t width = j.inner / V;
  j.count = outer * j.rows * width;
  j.lanes = rilli_lines_power(width, 32);
  j.tiles = rilli_ceil_div(width, j.lanes);
  j.slots = rilli_ceil_div(j.n, RILLI_ADD_LONG);
  if (!rilli_launch(env, rilli_add_short<T, V>, rilli_blocks(j.count, RILLI_ADD_THREADS),
                    RILLI_ADD_THREADS, 0, j))
    return false;
  return j.n <= RILLI_ADD_LONG ||
         rilli_launch(env, rilli_add_long<T, V>, rilli_grid_of(outer * j.slots * j.tiles),
                      RILLI_ADD_THREADS, 0, j);
}

/* x [outer, n, inner], y and base [outer, rows, inner]; y is not empty. */
template <typename T>
static bool rilli_add_rows(rill_env *env, const rilli_sorted &sorted, int64_t outer, int64_t n,
                           int64_t rows, int64_t inner, const T *x, const T *base, T *y) {
  constexpr int V = sizeof(T) <= 4 ? 16 / (int)sizeof(T) : 1;
  rilli_add_job<T> j = {sorted, n, rows, inner, 0, 0, 0, 0, x, base, y};
  if (inner % V == 0 && (uintptr_t)x % (V * sizeof(T)) == 0 && (uintptr_t)y % (V * sizeof(T)) == 0)
    return rilli_add_launch<T, V>(env, outer, j);
  return rilli_add_launch<T, 1>(env, outer, j);
}

#endif /* RILL_OPS_CUDA_INDEX_CUH_ */
