/* Sum along an axis, x seen as [outer, size, inner]. Floating sums end in f64: short runs (of 32 at
 * most) in f32, their totals in f64. Integers and bools add up as 64 bits that wrap around.
 *
 * along_rows (inner = 1): G of a block's 256 threads share a row, or a piece of a long one.
 * along_columns (inner > 1): a block is `lanes` x 256 / lanes threads; a thread owns V neighbouring
 * columns of every (256 / lanes)-th row of its piece. Grid: tiles of lanes V columns x pieces.
 *
 * f32 and bf16 are read 16 bytes at a time, four (eight) loads under way, where sizes and alignment
 * allow. When the results alone do not fill the GPU, the axis is cut into pieces, whose totals a
 * second launch adds up. The order depends on sizes and alignment only. Shared: 2 KiB V for
 * columns. Limits: 2^31 - 1 blocks. */
#include "ops/cuda/lines.cuh"

enum { THREADS = 256, ENOUGH = 1056 /* blocks */, MOST_PIECES = 1056 };

/* Types of short sums and of totals, and elements of a load. */
template <typename T>
struct kind {
  typedef uint64_t real, total;
  enum { V = 1 };
};
template <>
struct kind<float> {
  typedef float real;
  typedef double total;
  enum { V = 4 };
};
template <>
struct kind<__nv_bfloat16> {
  typedef float real;
  typedef double total;
  enum { V = 8 };
};
template <>
struct kind<double> {
  typedef double real, total;
  enum { V = 1 };
};

struct job {
  const void *x;
  void *y;
  rill_dtype dtype; /* of y */
  int64_t count;    /* rows, or groups of V columns */
  int64_t size, inner;
  int64_t piece, pieces;
  int lanes;
};

static __device__ __forceinline__ void put(const job &j, int64_t at, double total) {
  if (j.dtype == RILL_F64)
    ((double *)j.y)[at] = total;
  else if (j.dtype == RILL_F32)
    ((float *)j.y)[at] = (float)total;
  else
    ((__nv_bfloat16 *)j.y)[at] = __float2bfloat16_rn((float)total);
}
static __device__ __forceinline__ void put(const job &j, int64_t at, uint64_t total) {
  ((uint64_t *)j.y)[at] = total;
}

static __device__ __forceinline__ double from_lane(double x, int other) {
  return __shfl_xor_sync(0xffffffffu, x, other);
}
static __device__ __forceinline__ uint64_t from_lane(uint64_t x, int other) {
  return __shfl_xor_sync(0xffffffffu, (unsigned long long)x, other);
}

template <typename T, int V>
static __device__ __forceinline__ typename kind<T>::real sum_of(const rilli_vector<T, V> &x) {
  typename kind<T>::real sum = 0;
#pragma unroll
  for (int e = 0; e < V; e++) sum += (typename kind<T>::real)rilli_load(x.at[e]);
  return sum;
}

template <typename T, int G, int V>
static __global__ void __launch_bounds__(THREADS) along_rows(job j) {
  typedef typename kind<T>::real R;
  typedef typename kind<T>::total Total;
  typedef rilli_vector<T, V> vector;
  enum { STEP = G * V, LOADS = 4 };
  int64_t unit = (int64_t)blockIdx.x * (THREADS / G) + threadIdx.x / G;
  int64_t row = unit / j.pieces, begin = unit % j.pieces * j.piece, end = begin + j.piece;
  if (end > j.size) end = j.size;
  if (row >= j.count) end = begin;
  const T *x = (const T *)j.x + row * j.size;
  Total total = 0;
  int64_t i = begin + (int64_t)(threadIdx.x % G) * V;
  for (; i + (LOADS - 1) * STEP < end; i += LOADS * STEP) {
    vector v[LOADS];
    R part[LOADS];
#pragma unroll
    for (int l = 0; l < LOADS; l++) v[l] = *(const vector *)(x + i + l * STEP);
#pragma unroll
    for (int l = 0; l < LOADS; l++) part[l] = sum_of<T, V>(v[l]);
    total += (Total)((part[0] + part[1]) + (part[2] + part[3]));
  }
  for (; i < end; i += STEP) total += (Total)sum_of<T, V>(*(const vector *)(x + i));
#pragma unroll
  for (int half = G < 32 ? G / 2 : 16; half > 0; half /= 2) total += from_lane(total, half);
  if (G > 32) {
    __shared__ Total warp[THREADS / 32];
    if (threadIdx.x % 32 == 0) warp[threadIdx.x / 32] = total;
    __syncthreads();
    total = warp[0];
#pragma unroll
    for (int w = 1; w < THREADS / 32; w++) total += warp[w];
  }
  if (threadIdx.x % G == 0 && row < j.count) put(j, unit, total);
}

template <typename T, int V>
static __global__ void __launch_bounds__(THREADS) along_columns(job j) {
  typedef typename kind<T>::real R;
  typedef typename kind<T>::total Total;
  typedef rilli_vector<T, V> vector;
  enum { LOADS = 8 };
  __shared__ Total shared[THREADS * V];
  int lane = (int)threadIdx.x & (j.lanes - 1), row = (int)threadIdx.x / j.lanes;
  int rows = THREADS / j.lanes;
  int64_t group = (int64_t)blockIdx.x * j.lanes + lane, width = j.inner / V;
  int64_t outer = group / width, column = group % width * V;
  int64_t begin = blockIdx.y * j.piece, end = begin + j.piece, step = rows * j.inner;
  if (end > j.size) end = j.size;
  if (group >= j.count) end = begin;
  const T *x = (const T *)j.x + (outer * j.size + begin + row) * j.inner + column;
  Total total[V] = {};
  int64_t k = begin + row;
  for (; k + (LOADS - 1) * rows < end; k += LOADS * rows, x += LOADS * step) {
    vector v[LOADS];
#pragma unroll
    for (int l = 0; l < LOADS; l++) v[l] = *(const vector *)(x + l * step);
#pragma unroll
    for (int e = 0; e < V; e++) {
      R part = 0;
#pragma unroll
      for (int l = 0; l < LOADS; l++) part += (R)rilli_load(v[l].at[e]);
      total[e] += (Total)part;
    }
  }
  for (; k < end; k += rows, x += step) {
    vector v = *(const vector *)x;
#pragma unroll
    for (int e = 0; e < V; e++) total[e] += (Total)(R)rilli_load(v.at[e]);
  }
  if (rows > 1) { /* shared: [V, rows, lanes] */
#pragma unroll
    for (int e = 0; e < V; e++) shared[e * THREADS + threadIdx.x] = total[e];
    for (int half = rows / 2; half > 0; half /= 2) {
      __syncthreads();
      if (row >= half) continue;
#pragma unroll
      for (int e = 0; e < V; e++) {
        total[e] += shared[e * THREADS + threadIdx.x + half * j.lanes];
        shared[e * THREADS + threadIdx.x] = total[e];
      }
    }
  }
  if (row > 0 || group >= j.count) return;
  int64_t to = (outer * j.pieces + blockIdx.y) * j.inner + column;
#pragma unroll
  for (int e = 0; e < V; e++) put(j, to + e, total[e]);
}

/* ---- the host's side ---- */

/* Cuts the axis into about `pieces` runs of a multiple of `unit` elements. */
static void cut(job *j, int64_t pieces, int64_t unit) {
  if (pieces > MOST_PIECES) pieces = MOST_PIECES;
  if (pieces < 1) pieces = 1;
  j->piece = rilli_ceil_div(rilli_ceil_div(j->size, pieces), unit) * unit;
  if (j->piece < 1) j->piece = 1;
  j->pieces = rilli_ceil_div(j->size, j->piece);
  if (j->pieces < 1) j->pieces = 1;
}

template <typename T, int V>
static bool launch_rows(rill_env *env, const job &j) {
  int64_t units = j.count * j.pieces;
  if (j.size <= 64)
    return rilli_launch(env, along_rows<T, 8, V>, rilli_blocks(units, THREADS / 8), THREADS, 0, j);
  if (j.size <= 2048)
    return rilli_launch(env, along_rows<T, 32, V>, rilli_blocks(units, THREADS / 32), THREADS, 0,
                        j);
  return rilli_launch(env, along_rows<T, THREADS, V>, rilli_blocks(units, 1), THREADS, 0, j);
}

static bool sum(rill_env *env, rill_dtype from, const void *x, rilli_axis_fold f, rill_dtype to,
                void *y, bool may_cut);

template <typename T>
static bool sum_as(rill_env *env, const void *x, rilli_axis_fold f, rill_dtype to, void *y,
                   bool may_cut) {
  enum { V = kind<T>::V };
  bool rows = f.inner == 1, wide = V > 1 && (rows ? f.size : f.inner) % V == 0;
  wide = wide && (uintptr_t)x % (V * sizeof(T)) == 0;
  job j = {x, y, to, f.outer * f.inner / (rows || !wide ? 1 : V), f.size, f.inner, f.size, 1, 1};
  if (rows) {
    bool few = may_cut && f.size > 16384 && f.outer < ENOUGH / 2;
    cut(&j, few ? ENOUGH / f.outer : 1, (int64_t)THREADS * V);
  } else {
    bool many = j.count >= 131072 || f.size <= 8;
    j.lanes = many ? THREADS : rilli_lines_power(j.count, 32);
    int64_t tiles = rilli_ceil_div(j.count, j.lanes), rows_of = THREADS / j.lanes;
    int64_t least = rilli_ceil_div(f.size, rows_of * 8), most = rilli_ceil_div(ENOUGH, tiles);
    cut(&j, many || !may_cut ? 1 : least < most ? least : most, 1);
  }
  if (j.pieces > 1) {
    j.dtype = rill_dtype_is_float(to) ? RILL_F64 : RILL_I64;
    j.y = rill_env_alloc(env, (size_t)(f.outer * j.pieces * f.inner) * 8);
    if (!j.y) return false;
  }
  bool done;
  if (rows)
    done = wide ? launch_rows<T, V>(env, j) : launch_rows<T, 1>(env, j);
  else
    done = rilli_launch(env, wide ? along_columns<T, V> : along_columns<T, 1>,
                        rilli_grid_of(rilli_ceil_div(j.count, j.lanes), j.pieces), THREADS, 0, j);
  if (!done || j.pieces == 1) return done;
  return sum(env, j.dtype, j.y, {f.outer, j.pieces, f.inner}, to, y, false);
}

static bool sum(rill_env *env, rill_dtype from, const void *x, rilli_axis_fold f, rill_dtype to,
                void *y, bool may_cut) {
  bool done = false;
  RILLI_DISPATCH_ANY(from, T, done = sum_as<T>(env, x, f, to, y, may_cut));
  return done;
}

extern "C" bool rilli_cuda_sum(const rill_call *call) {
  const rill_array *x = &call->in[0], *y = &call->out[0];
  rilli_axis_fold f = rilli_lines_fold(x, ((const rilli_axis_attr *)call->attr)->axis);
  if (f.outer * f.inner == 0) return true;
  return sum(call->env, x->dtype, x->data, f, y->dtype, y->data, true);
}
