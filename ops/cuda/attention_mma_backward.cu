/* The derivative of softmax attention on tensor cores, bf16, D = 64 or 128, without atomics.
 *
 *   p = e^(scale q k^T - lse);  ds = p (do v^T - delta)
 *   dq = scale ds k;  dk = scale ds^T q;  dv = p^T do
 *
 * Two kernels, each with blocks of 128 threads whose warps own 16 rows of the result, in registers:
 *
 *   backward_q   a block for 64 queries of a head; keys and values come 64 at a time
 *   backward_kv  a block for 64 keys of a group; queries and do of the group's heads, in order,
 * come 64 (D = 64) or 32 (D = 128) at a time; scores are computed transposed, so that p^T and ds^T
 * are in the registers that the next product reads
 *
 * The next tiles are on their way while these are used. Shared: two tiles [64, D] and two buffers
 * of two: 48 or 96 KiB, 48 or 64 KiB. Two barriers a step. p and ds are rounded to bf16 for the
 * products; sums and the rest in f32. Limits: 2^31 - 1 blocks. */
#include "ops/cuda/attention.cuh"
#include "ops/cuda/mma.cuh"

enum { THREADS = 128, ROWS = 64, KEYS = 64 };

typedef rilli_attention_job<rilli_bf16> job;

static constexpr double LOG2_E = 1.4426950408889634;

/* c [16, N] = rows `row` on of x, times those of y transposed */
template <int D, int N>
static __device__ __forceinline__ void product(float (&c)[N / 8][4], const rilli_bf16 *x, int row,
                                               const rilli_bf16 *y) {
#pragma unroll
  for (int n = 0; n < N / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) c[n][i] = 0;
#pragma unroll
  for (int d = 0; d < D / 16; d++) {
    uint32_t a[4], b[4];
    rilli_load_a<D>(a, x, row, 16 * d);
#pragma unroll
    for (int n = 0; n < N / 16; n++) {
      rilli_load_b_of_rows<D>(b, y, 16 * n, 16 * d);
      rilli_mma(c[2 * n], a, b[0], b[1]);
      rilli_mma(c[2 * n + 1], a, b[2], b[3]);
    }
  }
}

/* Half r of a warp's rows, times factor, to a row of the result. */
template <int D>
static __device__ __forceinline__ void put(rilli_bf16 *to, const float (&sum)[D / 8][4], int r,
                                           float factor) {
#pragma unroll
  for (int n = 0; n < D / 8; n++)
    *(uint32_t *)(to + 8 * n + threadIdx.x % 4 * 2) =
        rilli_pack(sum[n][2 * r] * factor, sum[n][2 * r + 1] * factor);
}

/* ---- dq ---- */

template <int D>
static __global__ void __launch_bounds__(THREADS) backward_q(job a, int64_t tiles) {
  extern __shared__ __align__(128) rilli_bf16 memory[];
  rilli_bf16 *q_tile = memory, *do_tile = q_tile + ROWS * D;
  rilli_bf16 *k_tile = do_tile + ROWS * D, *v_tile = k_tile + 2 * KEYS * D;
  int64_t t0 = (tiles - 1 - blockIdx.x % tiles) * ROWS, head = blockIdx.x / tiles;
  int64_t b = head / a.H, h = head % a.H, g = h / (a.H / a.G);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int64_t t = t0 + 16 * warp + lane / 4; /* and t + 8 */
  int64_t last = t0 + ROWS < a.T ? t0 + ROWS - 1 : a.T - 1;
  int64_t end = a.seen(last), all = a.seen(t0), apart = a.G * D;
  const rilli_bf16 *keys = a.k + a.k_at(b, 0, g), *values = a.v + a.k_at(b, 0, g);
  float scale = (float)(a.scale * LOG2_E), lse[2], delta[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    bool there = t + 8 * r < a.T;
    lse[r] = there ? a.lse[a.lse_at(b, t + 8 * r, h)] * (float)LOG2_E : 0;
    delta[r] = there ? a.delta[a.lse_at(b, t + 8 * r, h)] : 0;
  }

  int64_t q_at = a.q_at(b, t0, h);
  rilli_copy_tile<ROWS, D, THREADS>(q_tile, a.q + q_at, a.H * D, a.T - t0);
  rilli_copy_tile<ROWS, D, THREADS>(do_tile, a.do_ + q_at, a.H * D, a.T - t0);
  rilli_copy_tile<KEYS, D, THREADS>(k_tile, keys, apart, a.S);
  rilli_copy_tile<KEYS, D, THREADS>(v_tile, values, apart, a.S);
  rilli_copy_commit();

  float dq[D / 8][4] = {};
  int buffer = 0;
  for (int64_t s0 = 0; s0 < end; s0 += KEYS, buffer ^= 1) {
    int64_t next = s0 + KEYS;
    if (next < end) {
      int to = (buffer ^ 1) * KEYS * D;
      rilli_copy_tile<KEYS, D, THREADS>(k_tile + to, keys + next * apart, apart, a.S - next);
      rilli_copy_tile<KEYS, D, THREADS>(v_tile + to, values + next * apart, apart, a.S - next);
    }
    rilli_copy_commit();
    rilli_copy_wait<1>();
    __syncthreads();
    float s[KEYS / 8][4], dp[KEYS / 8][4]; /* [16, KEYS] of a warp */
    product<D, KEYS>(s, q_tile, 16 * warp, k_tile + buffer * KEYS * D);
    product<D, KEYS>(dp, do_tile, 16 * warp, v_tile + buffer * KEYS * D);
    bool whole = next <= all;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float p = exp2f(s[n][i] * scale - lse[i / 2]);
        bool sees = whole || s0 + 8 * n + lane % 4 * 2 + i % 2 < a.seen(t + i / 2 * 8);
        s[n][i] = sees ? p * (dp[n][i] - delta[i / 2]) : 0;
      }
    rilli_add_product<D, KEYS>(dq, s, k_tile + buffer * KEYS * D);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 2; r++)
    if (t + 8 * r < a.T) put<D>(a.dq + a.q_at(b, t + 8 * r, h), dq, r, (float)a.scale);
}

/* ---- dk, dv ---- */

template <int D, int QUERIES>
static __global__ void __launch_bounds__(THREADS) backward_kv(job a, int64_t tiles) {
  extern __shared__ __align__(128) rilli_bf16 memory[];
  rilli_bf16 *k_tile = memory, *v_tile = k_tile + ROWS * D;
  rilli_bf16 *q_tile = v_tile + ROWS * D, *do_tile = q_tile + 2 * QUERIES * D;
  int64_t s0 = blockIdx.x % tiles * ROWS, group = blockIdx.x / tiles;
  int64_t b = group / a.G, g = group % a.G, heads = a.H / a.G;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int64_t s_row = s0 + 16 * warp + lane / 4; /* and s_row + 8 */
  /* A step is a tile of queries that see some of the keys, of one head; heads in order. */
  int64_t first = a.first(s0) / QUERIES * QUERIES, per = (a.T - first + QUERIES - 1) / QUERIES;
  int64_t steps = first < a.T ? per * heads : 0, apart = a.H * D, k_at = a.k_at(b, s0, g);
  float scale = (float)(a.scale * LOG2_E);

  auto fetch = [&](int64_t step, int buffer) {
    int64_t h = g * heads + step / per, t0 = first + step % per * QUERIES, at = a.q_at(b, t0, h);
    int to = buffer * QUERIES * D;
    rilli_copy_tile<QUERIES, D, THREADS>(q_tile + to, a.q + at, apart, a.T - t0);
    rilli_copy_tile<QUERIES, D, THREADS>(do_tile + to, a.do_ + at, apart, a.T - t0);
  };
  rilli_copy_tile<ROWS, D, THREADS>(k_tile, a.k + k_at, a.G * D, a.S - s0);
  rilli_copy_tile<ROWS, D, THREADS>(v_tile, a.v + k_at, a.G * D, a.S - s0);
  if (steps > 0) fetch(0, 0);
  rilli_copy_commit();

  float dk[D / 8][4] = {}, dv[D / 8][4] = {};
  for (int64_t step = 0; step < steps; step++) {
    int buffer = (int)(step & 1);
    if (step + 1 < steps) fetch(step + 1, buffer ^ 1);
    rilli_copy_commit();
    rilli_copy_wait<1>();
    __syncthreads();
    const rilli_bf16 *q = q_tile + buffer * QUERIES * D, *do_ = do_tile + buffer * QUERIES * D;
    int64_t h = g * heads + step / per, t0 = first + step % per * QUERIES;
    const float *lse = a.lse + a.lse_at(b, t0, h), *delta = a.delta + a.lse_at(b, t0, h);
    bool whole = t0 + QUERIES <= a.T && s0 + ROWS <= a.seen(t0);
    float p[QUERIES / 8][4], ds[QUERIES / 8][4]; /* [16, QUERIES] of a warp */
    product<D, QUERIES>(p, k_tile, 16 * warp, q);
    product<D, QUERIES>(ds, v_tile, 16 * warp, do_);
#pragma unroll
    for (int n = 0; n < QUERIES / 8; n++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        int column = 8 * n + lane % 4 * 2 + j;
        bool there = t0 + column < a.T;
        float l = there ? lse[column] * (float)LOG2_E : 0, d = there ? delta[column] : 0;
        int64_t seen = there ? a.seen(t0 + column) : 0;
#pragma unroll
        for (int i = j; i < 4; i += 2) {
          bool sees = whole || s_row + i / 2 * 8 < seen;
          p[n][i] = sees ? exp2f(p[n][i] * scale - l) : 0;
          ds[n][i] = sees ? p[n][i] * (ds[n][i] - d) : 0;
        }
      }
    rilli_add_product<D, QUERIES>(dv, p, do_);
    rilli_add_product<D, QUERIES>(dk, ds, q);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
    if (s_row + 8 * r >= a.S) continue;
    put<D>(a.dk + a.k_at(b, s_row + 8 * r, g), dk, r, (float)a.scale);
    put<D>(a.dv + a.k_at(b, s_row + 8 * r, g), dv, r, 1);
  }
}

template <int D, int QUERIES>
static bool launch(const rill_env *env, const job &a) {
  int64_t queries = rilli_ceil_div(a.T, ROWS), keys = rilli_ceil_div(a.S, ROWS);
  size_t row = D * sizeof(rilli_bf16);
  return rilli_launch(env, backward_q<D>, rilli_grid_of(a.B * a.H * queries), THREADS,
                      (2 * ROWS + 4 * KEYS) * row, a, queries) &&
         rilli_launch(env, backward_kv<D, QUERIES>, rilli_grid_of(a.B * a.G * keys), THREADS,
                      (2 * ROWS + 4 * QUERIES) * row, a, keys);
}

bool rilli_attention_mma_backward(rill_env *env, const job &a) {
  return a.D == 64 ? launch<64, 64>(env, a) : launch<128, 32>(env, a);
}
