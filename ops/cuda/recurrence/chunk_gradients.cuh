/* What the backward sums over V: gradients of q, k and the gates, all chunks at once.
 *
 *   dq = s am (do S_0) + gbar alpha am (do R_0) + dB k + own k
 *   dk = tail (w_S dS + w_R dR) + am (dz S_0 + dx R_0) + dB^T q + (dN + dN^T) k + own q
 *   dB_ij = decay_ij (s_i do_i . w_S,j + gbar_i alpha_i do_i . w_R,j),  j < i
 *   dN_ij = decay_ij (dz_i . w_S,j + dx_i . w_R,j),  j < i
 * with w_S = beta e, w_R = gamma f, and dS, dR at the chunk's end;
 *   dbeta = e . dE,  dgamma = f . dF + [gated] do . (R_t q)
 * and d log alpha_i the sum of the terms whose decay contains alpha_i: pairs (l, j), j < i < l;
 * what reads the chunk's first states after i, and what writes before i; what alpha_i itself
 * multiplies. Nothing cancels there, and nothing is divided by alpha.
 *
 * Grid: a block for a chunk and head; D / 16 warps. First a warp has 16 columns of V
 * (chunk_gradients_values.cuh), then 16 tokens (chunk_gradients_keys.cuh), for S and then for R; a
 * thread holds 32 elements of dq and of dk. Shared: 157 kB at D = 128, 69 kB at 64
 * (chunk_gradients_block.cuh). Barriers: 5 a state, 6 at the end. Sums f32, operands of products
 * bf16; sums over warps in their order, no atomics. Bytes of a token and head at D = 128: 1536 of
 * operands and gradients, 1600 to 3200 of states and scratch. Limits: D = V = 64 or 128. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_CUH_

#include "ops/cuda/recurrence/chunk_gradients_keys.cuh"
#include "ops/cuda/recurrence/chunk_gradients_values.cuh"

/* Sums over the columns of D or of pairs, in shared memory [_, GROUPS, CHUNK]. */
enum { QUERY_S, QUERY_R, KEY, LATE, PAIRS_S, PAIRS_R, KEY_SUMS };

/* For token i = thread % 64: sum over l > i, j < i of cross_lj, plus sum over j < i of late_j, plus
 * sum over l > i of read_l. A thread takes a column's rows, then a row's columns, of one of the
 * segments that the block's threads make of 64; `scratch` has a float for each thread. */
template <int SEGMENTS>
static __device__ __forceinline__ float rilli_recur_crossing(float *cross, const float *late,
                                                             const float *read, float *scratch) {
  enum { LENGTH = CHUNK / SEGMENTS };
  int at = threadIdx.x % CHUNK, segment = threadIdx.x / CHUNK, from = segment * LENGTH;
  float x[LENGTH], below = 0, sum = 0;
#pragma unroll
  for (int i = LENGTH - 1; i >= 0; i--) {
    x[i] = below;
    below += cross[(from + i) * CROSS_APART + at];
  }
  scratch[threadIdx.x] = below;
  __syncthreads();
  below = 0;
#pragma unroll
  for (int later = 1; later < SEGMENTS; later++)
    if (later > segment) below += scratch[later * CHUNK + at];
#pragma unroll
  for (int i = 0; i < LENGTH; i++)
    cross[(from + i) * CROSS_APART + at] = at < from + i ? x[i] + below : 0.f;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < LENGTH; i++) {
    int j = from + i;
    sum += cross[at * CROSS_APART + j] + (j < at ? late[j] : 0.f) + (j > at ? read[j] : 0.f);
  }
  scratch[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
#pragma unroll
  for (int i = 0; i < SEGMENTS; i++) sum += scratch[i * CHUNK + at];
  return sum;
}

/* Sums a float of every thread of the block, in an order that is always the same; `memory` has room
 * for a float a warp. In thread 0. */
static __device__ __forceinline__ float rilli_recur_block_sum(float x, float *memory) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  if (threadIdx.x % 32 == 0) memory[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < (int)blockDim.x / 32; i++) sum += memory[i];
  return sum;
}

template <int D>
static __device__ __forceinline__ void rilli_recur_gate_gradients(
    const rilli_recur_chunked &p, const rilli_recur_gradients_block<D> &c,
    const rilli_recur_keys<D> &x, float *cross, int64_t at, int tokens) {
  enum { GROUPS = D / 64 };
  /* Sums along the columns of a warp, and where the other warps' lie. */
  const float *sums[KEY_SUMS] = {x.query_s, x.query_r, x.key, x.late, x.pairs_s, x.pairs_r};
#pragma unroll
  for (int which = 0; which < KEY_SUMS; which++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float y = sums[which][half];
      y += __shfl_xor_sync(~0u, y, 1);
      y += __shfl_xor_sync(~0u, y, 2);
      if (threadIdx.x % 4 == 0)
        c.partial[(which * GROUPS + x.column / 64) * CHUNK + x.token(half)] = y;
    }
  float through = rilli_recur_block_sum(x.through, c.partial + KEY_SUMS * GROUPS * CHUNK);
  int i = threadIdx.x;
  bool here = i < CHUNK;
  float sum[KEY_SUMS], query_r = 0;
  float *line = c.partial + (KEY_SUMS * GROUPS + 1) * CHUNK; /* [2, CHUNK] */
  auto number = [&](int which) { return c.numbers[which * CHUNK + i]; };
  auto total = [&](int state, int which) {
    return c.totals[(state * STATE_SUMS + which) * CHUNK + i];
  };
  if (here) {
#pragma unroll
    for (int which = 0; which < KEY_SUMS; which++) {
      sum[which] = 0;
      for (int group = 0; group < GROUPS; group++)
        sum[which] += c.partial[(which * GROUPS + group) * CHUNK + i];
    }
    query_r = number(READ_R) * sum[QUERY_R];
    line[i] = sum[LATE];
    line[CHUNK + i] = sum[QUERY_S] + query_r + sum[KEY];
  }
  __syncthreads();
  float crossing = rilli_recur_crossing<D / 32>(cross, line, line + CHUNK, line + 2 * CHUNK);
  if (!here || i >= tokens) return;
  float dbeta = total(0, ERROR_SUM), dgamma = 0;
  if (p.fitted) {
    dgamma = total(1, ERROR_SUM);
    if (p.gated)
      dgamma += number(ALPHA) * (sum[QUERY_R] + sum[PAIRS_R]) + number(OWN) * total(1, OWN_SUM);
  } else if (p.gated) {
    dgamma = number(OWN) * total(0, OWN_SUM);
  }
  float dg = crossing + c.whole() * through;
  if (p.fitted) dg += query_r + number(READ_R) * sum[PAIRS_R];
  if (p.delta) dg += total(0, READ_SUM) + (p.fitted ? total(1, READ_SUM) : 0.f);
  if (!p.residual || p.gated) dg += sum[QUERY_S] + sum[PAIRS_S];
  int64_t element = at + i * p.H;
  if (p.dg) p.dg[element] = dg;
  if (p.dbeta) p.dbeta[element] = dbeta + (p.tied ? dgamma : 0.f);
  if (p.dgamma && !p.tied) p.dgamma[element] = dgamma;
}

template <int D, bool FITTED>
static __global__ void __launch_bounds__(2 * D) gradients(rilli_recur_chunked p) {
  enum { PARTS = FITTED ? 2 : 1 };
  rilli_recur_gradients_block<D> c;
  int64_t item = blockIdx.x, head = item % p.H;
  rilli_recur_span span = rilli_recur_span_of(p, item / p.H);
  int64_t at = span.first * p.H + head;
  c.copy_tokens(p, item, at, span.tokens);
  c.copy_state(p, item, 0);
  c.copy_queries(p, at, span.tokens);
  c.copy_dstate(p, item, 0);
  rilli_values source;
  rilli_recur_keys<D> x(p, c, item);
#pragma unroll 1
  for (int which = 0; which < PARTS; which++) {
    bool more = which + 1 < PARTS, dz = which ? p.delta : p.reads();
    rilli_recur_values<D, FITTED>(p, c, item, which, source);
    rilli_copy_wait<0>();
    __syncthreads();
    c.total(which);
    x.pair_sums(which, dz);
    x.state_products(which, dz);
    x.whole_products();
    __syncthreads();
    if (more) c.copy_state(p, item, which + 1);
    x.dstate_products();
    __syncthreads();
    if (more) c.copy_dstate(p, item, which + 1);
  }
  float *cross = (float *)c.state;
  x.pair_gradients(c.w, c.dz, cross);
  __syncthreads();
  x.pair_products(c.w, c.dz);
  rilli_recur_gate_gradients<D>(p, c, x, cross, at, span.tokens);
  x.store(p.dq, at, span.tokens, x.dq);
  x.store(p.dk, at, span.tokens, x.dk);
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_CUH_ */
