/* Before the sweeps: what a chunk's keys, queries and gates alone decide.
 *
 *   G_i = g_1 + ... + g_i,  am_i = exp(G_{i-1}),  tail_j = exp(G_C - G_j)
 *   pairs_ij = (q_i . k_j) exp(G_{i-1} - G_j),  N_ij = (k_i . k_j) exp(G_{i-1} - G_j),  j < i
 *   J = (I + N diag(alpha beta))^-1 N:  J_i = N_i - sum_{m < i} N_im alpha_m beta_m J_m
 * and J of R with gamma. Only differences of sums are raised, all <= 0; g is bounded from below by
 * -20 (alpha = 2e-9), so that a closed gate is finite.
 *
 * Grid: a block of 4 warps for a chunk and head. Products: a warp 16 rows of both Gram matrices.
 * Solve: a thread a column of J (threads 0-63 of S, 64-127 of R), which stays in its registers; row
 * i of N comes to all of them from shared memory at once. Shared: 54 kB at D = 128 (k, q and N).
 * Barriers: 4. Products bf16 with f32 sums; logs, decays and the solve f32, results bf16. Bytes of
 * a token and head: 512 read, 176 to 432 written. */
#include "ops/cuda/recurrence/chunk.cuh"

enum { THREADS = 128, APART = CHUNK + 4 };
static constexpr float LOWEST = -20;

/* Lane l of a warp takes tokens 2l and 2l + 1. */
static __device__ void sum_logs(const rilli_recur_chunked &p, int64_t at, int tokens,
                                float *numbers) {
  int lane = threadIdx.x;
  float g[2], sum[2];
  for (int i = 0; i < 2; i++) {
    int token = 2 * lane + i;
    bool there = token < tokens;
    int64_t element = at + token * p.H;
    g[i] = there && p.g ? p.g[element] : 0.f;
    if (g[i] < LOWEST) g[i] = LOWEST;
    numbers[WRITE * CHUNK + token] = there ? (p.beta ? p.beta[element] : 1.f) : 0.f;
    numbers[FIT * CHUNK + token] = there ? (p.gamma ? p.gamma[element] : 1.f) : 0.f;
    numbers[ALPHA * CHUNK + token] = there && p.g ? expf(g[i]) : 1.f;
  }
  float both = g[0] + g[1];
  for (int step = 1; step < 32; step *= 2) {
    float other = __shfl_up_sync(~0u, both, step);
    if (lane >= step) both += other;
  }
  float before = __shfl_up_sync(~0u, both, 1), whole = __shfl_sync(~0u, both, 31);
  if (lane == 0) before = 0;
  sum[0] = before + g[0];
  sum[1] = both;
  for (int i = 0; i < 2; i++) {
    int token = 2 * lane + i;
    float until = i == 0 ? before : sum[0];
    numbers[LOG_BEFORE * CHUNK + token] = until;
    numbers[LOG_AFTER * CHUNK + token] = sum[i];
    numbers[BEFORE * CHUNK + token] = expf(until);
    numbers[TAIL * CHUNK + token] = expf(whole - sum[i]);
  }
}

/* Lane l of a warp takes tokens l and l + 32; `keys` holds |k|^2. */
static __device__ void bound_growth(const rilli_recur_chunked &p, const float *numbers,
                                    const float *keys, float *growth) {
  int lane = threadIdx.x % 32;
  float sum = 0;
  if (p.delta)
    for (int token = lane; token < CHUNK; token += 32) {
      float s = fabsf(1 - numbers[WRITE * CHUNK + token] * keys[token]);
      float r = p.fitted ? fabsf(1 - numbers[FIT * CHUNK + token] * keys[token]) : 0.f;
      float most = fmaxf(s, r);
      if (most > 1) sum += logf(most);
    }
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (lane == 0) *growth = numbers[LOG_AFTER * CHUNK + CHUNK - 1] + sum;
}

/* Numbers that rules differ in. */
static __device__ void factors(const rilli_recur_chunked &p, int token, float *numbers) {
  auto number = [&](int which) -> float & { return numbers[which * CHUNK + token]; };
  float alpha = number(ALPHA), gbar = p.gated ? number(FIT) : 1.f;
  number(DECAYED) = p.delta ? alpha : 0.f;
  number(READ_S) = p.residual && !p.gated ? 1.f : alpha;
  number(READ_R) = gbar * alpha;
  number(OWN_OUT) = (p.residual ? gbar : 1.f) * number(OWN);
}

/* Column j of J; `weights` holds d beta. */
static __device__ __forceinline__ void solve_column(const float *n, const float *weights, int j,
                                                    rilli_bf16 *to) {
  float x[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) {
    float sum[4] = {n[i * APART + j], 0, 0, 0};
#pragma unroll
    for (int m = 0; m < i; m += 4) {
      float4 row = *(const float4 *)(n + i * APART + m);
      sum[0] -= row.x * x[m];
      if (m + 1 < i) sum[1] -= row.y * x[m + 1];
      if (m + 2 < i) sum[2] -= row.z * x[m + 2];
      if (m + 3 < i) sum[3] -= row.w * x[m + 3];
    }
    float element = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    to[i * CHUNK + j] = __float2bfloat16_rn(element);
    x[i] = weights[i] * element;
  }
}

template <int D>
static __global__ void __launch_bounds__(THREADS) prepare(rilli_recur_chunked p) {
  rilli_bf16 *k = (rilli_bf16 *)rilli_recur_memory, *q = k + CHUNK * D;
  float *n = (float *)(q + CHUNK * D), *numbers = n + CHUNK * APART;
  float *weights = numbers + NUMBERS * CHUNK; /* [2, CHUNK] */
  float *keys = weights + 2 * CHUNK;          /* [CHUNK], |k|^2 */
  int64_t item = blockIdx.x, head = item % p.H;
  rilli_recur_span span = rilli_recur_span_of(p, item / p.H);
  int64_t at = span.first * p.H + head;
  rilli_recur_copy<D>(k, p.k + at * D, p.H * D, CHUNK, span.tokens);
  rilli_recur_copy<D>(q, p.q + at * D, p.H * D, CHUNK, span.tokens);
  rilli_copy_commit();
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp == 0) sum_logs(p, at, span.tokens, numbers);
  rilli_copy_wait<0>();
  __syncthreads();

  float key[CHUNK / 8][4] = {}, query[CHUNK / 8][4] = {};
  uint32_t k_place = rilli_straight<D>(k + 16 * warp * D);
  uint32_t q_place = rilli_straight<D>(q + 16 * warp * D), b_place = rilli_across<D>(k);
#pragma unroll 4
  for (int d = 0; d < D; d += 16) {
    uint32_t of_k[4], of_q[4], b[4];
    rilli_ldmatrix_at(of_k, rilli_block_at<D>(k_place, 0, d));
    rilli_ldmatrix_at(of_q, rilli_block_at<D>(q_place, 0, d));
#pragma unroll
    for (int j = 0; j < CHUNK / 16; j++) {
      if (j > warp) continue;
      rilli_ldmatrix_at(b, rilli_block_at<D>(b_place, 16 * j, d));
      rilli_mma(key[2 * j], of_k, b[0], b[1]);
      rilli_mma(key[2 * j + 1], of_k, b[2], b[3]);
      rilli_mma(query[2 * j], of_q, b[0], b[1]);
      rilli_mma(query[2 * j + 1], of_q, b[2], b[3]);
    }
  }
  bool plain = p.residual && !p.delta, again = p.solve_r && p.solve_r != p.solve_s;
  rilli_bf16 *pairs = p.pairs + item * PAIRS;
#pragma unroll
  for (int j = 0; j < CHUNK / 8; j++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int row = 16 * warp + lane / 4 + 8 * half, column = 8 * j + lane % 4 * 2;
      float x[2], y[2], until = numbers[LOG_BEFORE * CHUNK + row];
      for (int i = 0; i < 2; i++) {
        float decay =
            column + i < row ? __expf(until - numbers[LOG_AFTER * CHUNK + column + i]) : 0.f;
        if (column + i == row) {
          numbers[OWN * CHUNK + row] = query[j][2 * half + i];
          keys[row] = key[j][2 * half + i];
        }
        x[i] = query[j][2 * half + i] * decay;
        y[i] = key[j][2 * half + i] * decay;
      }
      *(uint32_t *)(pairs + row * CHUNK + column) = rilli_pack(x[0], x[1]);
      if (plain)
        *(uint32_t *)(p.solve_s + item * PAIRS + row * CHUNK + column) = rilli_pack(y[0], y[1]);
      *(float2 *)(n + row * APART + column) = make_float2(y[0], y[1]);
    }
  __syncthreads();
  if (threadIdx.x < 2 * CHUNK) {
    int token = threadIdx.x % CHUNK, which = threadIdx.x / CHUNK;
    weights[threadIdx.x] =
        numbers[ALPHA * CHUNK + token] * numbers[(which ? FIT : WRITE) * CHUNK + token];
    if (which == 0) factors(p, token, numbers);
  }
  if (warp == 3) bound_growth(p, numbers, keys, p.growth + item);
  __syncthreads();
  for (int i = threadIdx.x; i < NUMBERS * CHUNK; i += THREADS)
    p.numbers[item * NUMBERS * CHUNK + i] = numbers[i];
  if (!p.delta) return;
  int which = threadIdx.x / CHUNK;
  if (which == 1 && !again) return;
  solve_column(n, weights + which * CHUNK, threadIdx.x % CHUNK,
               (which ? p.solve_r : p.solve_s) + item * PAIRS);
}

template <int D>
static bool run(rill_env *env, const rilli_recur_chunked &p) {
  size_t shared = 2 * CHUNK * D * sizeof(rilli_bf16) +
                  (CHUNK * APART + NUMBERS * CHUNK + 3 * CHUNK) * sizeof(float);
  return rilli_launch(env, prepare<D>, rilli_grid_of(p.chunks * p.H), THREADS, shared, p);
}

bool rilli_recur_prepare(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? run<128>(env, p) : run<64>(env, p);
}
