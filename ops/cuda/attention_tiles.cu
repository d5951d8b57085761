/* Softmax attention and its derivative for every dtype and up to 256 channels, in tiles of 32
 * queries and 32 keys.
 *
 *   forward   s = scale q k^T, p = e^(s - max), o = sum p v / sum p, lse = max + log sum p
 *   backward  p = e^(s - lse), ds = p (do v^T - delta)
 *             dq = scale ds k;  dk = scale ds^T q;  dv = p^T do
 *
 * Grid: forward and dq a block a tile of queries of a head, dk and dv a block a tile of keys of a
 * group, which walks the heads of the group in order; no atomics. A block has 256 threads; thread i
 * owns row i / 8 of a tile and columns i % 8 + 8j: 4 of the scores and of every 32 channels.
 * Shared: channels come in pieces of 32, two of them staged, beside p, ds and the sums [32, D] of
 * the block: (4 * 1056 + 32 D or 64 D) reals, 161 KiB at most. Products and sums in f32 (f64 for
 * f64). Limits: 2^31 - 1 blocks. */
#include "ops/cuda/attention.cuh"

enum { TILE = 32, ROW = TILE + 1, PAD = TILE * ROW, LANES = 8, EACH = 4, BLOCK = 256 };

template <typename R>
struct shared_tiles {
  R *a, *b, *p, *ds, *sum, *sum2; /* [32, 33] each, then [32, D] */
};
template <typename R>
static __device__ __forceinline__ shared_tiles<R> lay_out(int64_t D) {
  extern __shared__ double memory[];
  R *m = (R *)memory;
  return {m, m + PAD, m + 2 * PAD, m + 3 * PAD, m + 4 * PAD, m + 4 * PAD + TILE * D};
}
template <typename R>
static size_t bytes_of(int64_t D, int sums) {
  return (size_t)(4 * PAD + sums * TILE * D) * sizeof(R);
}

/* Rows of an operand: row i begins at data + i * apart; from `valid` on they are zeros. */
template <typename X>
struct rows_of_tile {
  const X *data;
  int64_t apart, valid;
};

/* Channels [d, d + 32) of 32 rows to a [32, 33]. */
template <typename X, typename R>
static __device__ __forceinline__ void stage(R *to, const rows_of_tile<X> &x, int64_t d,
                                             int64_t D) {
#pragma unroll
  for (int i = threadIdx.x; i < TILE * TILE; i += BLOCK) {
    int row = i / TILE, column = i % TILE;
    bool there = row < x.valid && d + column < D;
    to[row * ROW + column] = there ? rilli_load(x.data[row * x.apart + d + column]) : (R)0;
  }
}

/* s[j] = x[row] . y[lane + 8j] */
template <typename X, typename R>
static __device__ __forceinline__ void product(const shared_tiles<R> &m, const rows_of_tile<X> &x,
                                               const rows_of_tile<X> &y, int64_t D, R (&s)[EACH]) {
  int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
#pragma unroll
  for (int j = 0; j < EACH; j++) s[j] = 0;
  for (int64_t d = 0; d < D; d += TILE) {
    __syncthreads();
    stage(m.a, x, d, D);
    stage(m.b, y, d, D);
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < TILE; i++) {
      R value = m.a[row * ROW + i];
#pragma unroll
      for (int j = 0; j < EACH; j++) s[j] += value * m.b[(lane + LANES * j) * ROW + i];
    }
  }
}

/* sum[row] = factor sum[row] + sum over i of w(row, i) x[i], with w(row, i) = w[row * across + i *
 * along]. */
template <typename X, typename R>
static __device__ __forceinline__ void add_product(const shared_tiles<R> &m, R *sum, R factor,
                                                   const R *w, int across, int along,
                                                   const rows_of_tile<X> &x, int64_t D) {
  int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  for (int64_t d = 0; d < D; d += TILE) {
    __syncthreads();
    stage(m.a, x, d, D);
    __syncthreads();
    R total[EACH] = {};
#pragma unroll 8
    for (int i = 0; i < TILE; i++) {
      R weight = w[row * across + i * along];
#pragma unroll
      for (int j = 0; j < EACH; j++) total[j] += weight * m.a[i * ROW + lane + LANES * j];
    }
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      int64_t c = d + lane + LANES * j;
      if (c < D) sum[row * D + c] = factor * sum[row * D + c] + total[j];
    }
  }
}

template <typename R>
static __device__ __forceinline__ void clear(R *sum, int64_t D) {
  for (int64_t i = threadIdx.x; i < TILE * D; i += BLOCK) sum[i] = 0;
}
/* A thread's part of a row of sums, times factor. */
template <typename X, typename R>
static __device__ __forceinline__ void put(X *to, const R *sum, R factor, int64_t D) {
  int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  for (int64_t c = lane; c < D; c += LANES) to[c] = rilli_store<X>(sum[row * D + c] * factor);
}

/* ---- forward ---- */

template <typename X>
static __global__ void __launch_bounds__(BLOCK) forward(rilli_attention_job<X> a, int64_t tiles) {
  typedef rilli_real<X> R;
  shared_tiles<R> m = lay_out<R>(a.D);
  int64_t t0 = blockIdx.x % tiles * TILE, head = blockIdx.x / tiles, b = head / a.H, h = head % a.H,
          g = h / (a.H / a.G);
  int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  int64_t t = t0 + row, last = t0 + TILE < a.T ? t0 + TILE - 1 : a.T - 1, seen = a.seen(t);
  rows_of_tile<X> q = {a.q + a.q_at(b, t0, h), a.H * a.D, a.T - t0};
  R max = (R)-INFINITY, sum = 0;
  clear(m.sum, a.D);
  for (int64_t s0 = 0; s0 < a.seen(last); s0 += TILE) {
    rows_of_tile<X> k = {a.k + a.k_at(b, s0, g), a.G * a.D, a.S - s0};
    rows_of_tile<X> v = {a.v + a.k_at(b, s0, g), a.G * a.D, a.S - s0};
    R s[EACH], most = max, part = 0;
    product(m, q, k, a.D, s);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      s[j] = s0 + lane + LANES * j < seen ? s[j] * (R)a.scale : (R)-INFINITY;
      most = s[j] > most ? s[j] : most;
    }
    most = rilli_group<LANES>::max(most);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      R p = s0 + lane + LANES * j < seen ? rilli_exp_of(s[j] - most) : (R)0;
      part += p;
      m.p[row * ROW + lane + LANES * j] = p;
    }
    R factor = s0 > 0 ? rilli_exp_of(max - most) : (R)1;
    sum = sum * factor + rilli_group<LANES>::sum(part);
    max = most;
    add_product(m, m.sum, factor, m.p, ROW, 1, v, a.D);
  }
  if (t >= a.T) return;
  put(a.o + a.q_at(b, t, h), m.sum, 1 / sum, a.D);
  if (lane == 0) a.lse[a.lse_at(b, t, h)] = max + rilli_log_of(sum);
}

/* ---- backward ---- */

/* p and ds of a tile of queries and one of keys. */
template <typename X>
static __device__ __forceinline__ void weigh(const rilli_attention_job<X> &a,
                                             const shared_tiles<rilli_real<X>> &m, int64_t b,
                                             int64_t h, int64_t t0, int64_t s0) {
  typedef rilli_real<X> R;
  int64_t g = h / (a.H / a.G), q_at = a.q_at(b, t0, h), k_at = a.k_at(b, s0, g);
  int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  int64_t t = t0 + row, seen = t < a.T ? a.seen(t) : 0;
  R s[EACH], dp[EACH] = {};
  rows_of_tile<X> k = {a.k + k_at, a.G * a.D, a.S - s0}, v = {a.v + k_at, a.G * a.D, a.S - s0};
  product(m, {a.q + q_at, a.H * a.D, a.T - t0}, k, a.D, s);
  if (a.do_) product(m, {a.do_ + q_at, a.H * a.D, a.T - t0}, v, a.D, dp);
  R lse = t < a.T ? a.lse[a.lse_at(b, t, h)] : (R)0;
  R delta = t < a.T ? a.delta[a.lse_at(b, t, h)] : (R)0;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < EACH; j++) {
    bool sees = s0 + lane + LANES * j < seen;
    R p = sees ? rilli_exp_of(s[j] * (R)a.scale - lse) : (R)0;
    m.p[row * ROW + lane + LANES * j] = p;
    m.ds[row * ROW + lane + LANES * j] = sees ? p * (dp[j] - delta) : (R)0;
  }
}

template <typename X>
static __global__ void __launch_bounds__(BLOCK)
    backward_q(rilli_attention_job<X> a, int64_t tiles) {
  typedef rilli_real<X> R;
  shared_tiles<R> m = lay_out<R>(a.D);
  int64_t t0 = blockIdx.x % tiles * TILE, head = blockIdx.x / tiles, b = head / a.H, h = head % a.H,
          g = h / (a.H / a.G);
  int64_t t = t0 + threadIdx.x / LANES, last = t0 + TILE < a.T ? t0 + TILE - 1 : a.T - 1;
  clear(m.sum, a.D);
  for (int64_t s0 = 0; s0 < a.seen(last); s0 += TILE) {
    weigh(a, m, b, h, t0, s0);
    rows_of_tile<X> k = {a.k + a.k_at(b, s0, g), a.G * a.D, a.S - s0};
    add_product(m, m.sum, (R)1, m.ds, ROW, 1, k, a.D);
  }
  if (t < a.T) put(a.dq + a.q_at(b, t, h), m.sum, (R)a.scale, a.D);
}

template <typename X>
static __global__ void __launch_bounds__(BLOCK)
    backward_kv(rilli_attention_job<X> a, int64_t tiles) {
  typedef rilli_real<X> R;
  shared_tiles<R> m = lay_out<R>(a.D);
  int64_t s0 = blockIdx.x % tiles * TILE, group = blockIdx.x / tiles, b = group / a.G,
          g = group % a.G, heads = a.H / a.G;
  int64_t s = s0 + threadIdx.x / LANES;
  clear(m.sum, a.D);
  clear(m.sum2, a.D);
  for (int64_t h = g * heads; h < (g + 1) * heads; h++)
    for (int64_t t0 = a.first(s0) / TILE * TILE; t0 < a.T; t0 += TILE) {
      int64_t at = a.q_at(b, t0, h);
      rows_of_tile<X> q = {a.q + at, a.H * a.D, a.T - t0};
      rows_of_tile<X> d = {a.do_ ? a.do_ + at : nullptr, a.H * a.D, a.T - t0};
      weigh(a, m, b, h, t0, s0);
      add_product(m, m.sum, (R)1, m.ds, 1, ROW, q, a.D);
      if (a.do_) add_product(m, m.sum2, (R)1, m.p, 1, ROW, d, a.D);
    }
  __syncthreads();
  if (s >= a.S) return;
  put(a.dk + a.k_at(b, s, g), m.sum, (R)a.scale, a.D);
  put(a.dv + a.k_at(b, s, g), m.sum2, (R)1, a.D);
}

template <typename X>
bool rilli_attention_tiles(rill_env *env, const rilli_attention_job<X> &a) {
  int64_t tiles = rilli_ceil_div(a.T, TILE);
  return rilli_launch(env, forward<X>, rilli_grid_of(a.B * a.H * tiles), BLOCK,
                      bytes_of<rilli_real<X>>(a.D, 1), a, tiles);
}

template <typename X>
bool rilli_attention_tiles_backward(rill_env *env, const rilli_attention_job<X> &a) {
  typedef rilli_real<X> R;
  int64_t queries = rilli_ceil_div(a.T, TILE), keys = rilli_ceil_div(a.S, TILE);
  return rilli_launch(env, backward_q<X>, rilli_grid_of(a.B * a.H * queries), BLOCK,
                      bytes_of<R>(a.D, 1), a, queries) &&
         rilli_launch(env, backward_kv<X>, rilli_grid_of(a.B * a.G * keys), BLOCK,
                      bytes_of<R>(a.D, 2), a, keys);
}

template bool rilli_attention_tiles(rill_env *, const rilli_attention_job<float> &);
template bool rilli_attention_tiles(rill_env *, const rilli_attention_job<double> &);
template bool rilli_attention_tiles(rill_env *, const rilli_attention_job<__nv_bfloat16> &);
template bool rilli_attention_tiles_backward(rill_env *, const rilli_attention_job<float> &);
template bool rilli_attention_tiles_backward(rill_env *, const rilli_attention_job<double> &);
template bool rilli_attention_tiles_backward(rill_env *,
                                             const rilli_attention_job<__nv_bfloat16> &);
