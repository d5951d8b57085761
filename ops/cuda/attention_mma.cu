/* Softmax attention forward on tensor cores, bf16, D = 64 or 128.
 *
 *   s = scale q k^T;  p = e^(s - max);  o = sum p v / sum p;  lse = max + log sum p
 *
 * Grid: a block of 128 threads for 64 queries of a head, the last queries (which see most keys)
 * first. A warp owns 16 queries: q [16, D] and o [16, D] stay in its registers, with a running
 * maximum and sum a row (base 2, f32); keys and values come 64 at a time, and the next 64 are on
 * their way while these are used. Shared: q [64, D] and two buffers of k, v [64, D], 40 or 80 KiB.
 * Two barriers a step of 64 keys. Products of bf16 (p is rounded to it) with f32 sums. Reads q once
 * and k, v once a block. Limits: 2^31 - 1 blocks. */
#include "ops/cuda/attention.cuh"
#include "ops/cuda/mma.cuh"

enum { THREADS = 128, QUERIES = 64, KEYS = 64 };

typedef rilli_attention_job<rilli_bf16> job;

template <int D>
static constexpr size_t shared_bytes() {
  return (QUERIES + 4 * KEYS) * D * sizeof(rilli_bf16);
}

/* Rows g and g + 8 of a warp's 16: the sum or maximum over the four lanes of a row. */
static __device__ __forceinline__ float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
static __device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* s [16, 64] = q k^T */
template <int D>
static __device__ __forceinline__ void scores(float (&s)[KEYS / 8][4],
                                              const uint32_t (&q)[D / 16][4], const rilli_bf16 *k) {
#pragma unroll
  for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) s[n][i] = 0;
#pragma unroll
  for (int d = 0; d < D / 16; d++)
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
      uint32_t b[4];
      rilli_load_b_of_rows<D>(b, k, 16 * n, 16 * d);
      rilli_mma(s[2 * n], q[d], b[0], b[1]);
      rilli_mma(s[2 * n + 1], q[d], b[2], b[3]);
    }
}

/* s becomes p; o and sum go on relative to the new maximum. */
template <int D>
static __device__ __forceinline__ void weigh(float (&s)[KEYS / 8][4], float (&o)[D / 8][4],
                                             float (&max)[2], float (&sum)[2]) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float most = max[r];
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) most = fmaxf(most, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
    most = row_max(most);
    float factor = exp2f(max[r] - most), part = 0;
    max[r] = most;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int i = 2 * r; i < 2 * r + 2; i++) {
        s[n][i] = exp2f(s[n][i] - most);
        part += s[n][i];
      }
    sum[r] = sum[r] * factor + part;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
      o[n][2 * r] *= factor;
      o[n][2 * r + 1] *= factor;
    }
  }
}

template <int D>
static __global__ void __launch_bounds__(THREADS) forward(job a, int64_t tiles) {
  extern __shared__ __align__(128) rilli_bf16 memory[];
  rilli_bf16 *q_tile = memory, *k_tile = q_tile + QUERIES * D, *v_tile = k_tile + 2 * KEYS * D;
  int64_t t0 = (tiles - 1 - blockIdx.x % tiles) * QUERIES, head = blockIdx.x / tiles;
  int64_t b = head / a.H, h = head % a.H, g = h / (a.H / a.G);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int64_t t = t0 + 16 * warp + lane / 4; /* and t + 8 */
  int64_t last = t0 + QUERIES < a.T ? t0 + QUERIES - 1 : a.T - 1;
  int64_t end = a.seen(last), all = a.seen(t0); /* keys that some query sees, and that all see */
  float scale = (float)(a.scale * 1.4426950408889634);
  const rilli_bf16 *keys = a.k + a.k_at(b, 0, g), *values = a.v + a.k_at(b, 0, g);
  int64_t apart = a.G * D;

  rilli_copy_tile<QUERIES, D, THREADS>(q_tile, a.q + a.q_at(b, t0, h), a.H * D, a.T - t0);
  rilli_copy_tile<KEYS, D, THREADS>(k_tile, keys, apart, a.S);
  rilli_copy_tile<KEYS, D, THREADS>(v_tile, values, apart, a.S);
  rilli_copy_commit();

  uint32_t q[D / 16][4];
  float o[D / 8][4] = {}, max[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
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
    if (s0 == 0) {
#pragma unroll
      for (int d = 0; d < D / 16; d++) rilli_load_a<D>(q[d], q_tile, 16 * warp, 16 * d);
    }
    float s[KEYS / 8][4];
    scores<D>(s, q, k_tile + buffer * KEYS * D);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) s[n][i] *= scale;
    if (next > all) {
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (s0 + 8 * n + lane % 4 * 2 + i % 2 >= a.seen(t + i / 2 * 8)) s[n][i] = -INFINITY;
    }
    weigh<D>(s, o, max, sum);
    rilli_add_product<D, KEYS>(o, s, v_tile + buffer * KEYS * D);
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < 2; r++) {
    float total = row_sum(sum[r]), inverse = 1 / total;
    int64_t row = t + 8 * r;
    if (row >= a.T) continue;
    rilli_bf16 *to = a.o + a.q_at(b, row, h);
#pragma unroll
    for (int n = 0; n < D / 8; n++)
      *(uint32_t *)(to + 8 * n + lane % 4 * 2) =
          rilli_pack(o[n][2 * r] * inverse, o[n][2 * r + 1] * inverse);
    if (lane % 4 == 0) a.lse[a.lse_at(b, row, h)] = max[r] * 0.69314718055994531f + logf(total);
  }
}

template <int D>
static bool launch(const rill_env *env, const job &a) {
  int64_t tiles = rilli_ceil_div(a.T, QUERIES);
  return rilli_launch(env, forward<D>, rilli_grid_of(a.B * a.H * tiles), THREADS, shared_bytes<D>(),
                      a, tiles);
}

bool rilli_attention_mma(rill_env *env, const job &a) {
  return a.D == 64 ? launch<64>(env, a) : launch<128>(env, a);
}
