/* chunk_gradients.cuh for Hopper: the same sums over V, by warpgroup products.
 *
 *   z = am (k S_0^T) + J (beta (v - d am k S_0^T)),  e = v - d z         [CHUNK, V], v or r as
 * source w = beta e,  dz = -(d beta dE + du) by = do w^T,  dn = dz w^T [CHUNK, CHUNK] dB = s by
 * decay, with the token's own pair on the diagonal;  dN = dn decay dk = am (dz S_0) + tail (w dS) +
 * dB^T q + (dN + dN^T) k,  dq = s am (do S_0) + dB k What S and R give to dq, dk and the gates is
 * added at the end, so a group of warpgroups does the same for its state, R's with what S's leaves
 * as r.
 *
 * d log alpha_i takes the pairs (l, j) with j < i < l. With rows and columns of the pairs' products
 * summed, that is sum_{m < i} column_m - sum_{m <= i} row_m: two scans of 64 numbers. The sums are
 * f32 of the very same products, so their difference is good to f32's rounding.
 *
 * Grid: a block for a chunk and head, 128 threads for each 64 columns of D and each state
 * (hopper_block.cuh). Shared: 113 kB at D = 128, two blocks on a multiprocessor, 190 kB for S and R,
 * one. Registers: at most 128 a thread. Barriers: 4 of the block, 3 of parts of it, 5 for S and R.
 * Sums f32, operands of products bf16, r too. Bytes of a token and head at D = 128: 1024 of q, k, v,
 * do, 512 written, 1600 (3000) of states, their gradients and scratch. Limits: sm_90a, D = V = 64 or
 * 128. */
#ifndef RILL_OPS_CUDA_RECURRENCE_HOPPER_GRADIENTS_CUH_
#define RILL_OPS_CUDA_RECURRENCE_HOPPER_GRADIENTS_CUH_

#include "ops/cuda/recurrence/hopper_gates.cuh"
#include "ops/cuda/recurrence/hopper_pairs.cuh"
#include "ops/cuda/recurrence/hopper_writes.cuh"

#ifdef RILL_HOPPER
/* sums = scale x . tile by rows, x *= scale before */
template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_meet(const rilli_hopper_block<D, FITTED> &c,
                                                         int slot, rilli_square &x,
                                                         const float (&scale)[2],
                                                         const rilli_bf16 *tile) {
  rilli_packed y;
  float sum[2] = {0, 0};
  c.load(y, tile);
  rilli_each_value([&](int n, int e) {
    x[n][e] *= scale[e / 2];
    sum[e / 2] += x[n][e] * rilli_unpacked(y, n, e);
  });
  c.leave(slot + c.half, sum);
}

/* Puts dS in the place of the warpgroup's columns of S_0; returns the thread's share of <dS, S_0>.
 */
template <int D>
static __device__ __forceinline__ float rilli_hopper_replace(rilli_bf16 *tile,
                                                             const rilli_bf16 *from) {
  enum { ROWS_APART = 16, PIECES = D / ROWS_APART, BATCH = 4 };
  int thread = threadIdx.x % 128, first = thread / 8, piece = thread % 8;
  float sum = 0;
  auto two = [](uint32_t a, uint32_t b) {
    return rilli_low(a) * rilli_low(b) + rilli_high(a) * rilli_high(b);
  };
#pragma unroll
  for (int i = 0; i < PIECES; i += BATCH) {
    uint4 now[BATCH];
#pragma unroll
    for (int j = 0; j < BATCH; j++)
      now[j] = *(const uint4 *)(from + (first + ROWS_APART * (i + j)) * D + 8 * piece);
#pragma unroll
    for (int j = 0; j < BATCH; j++) {
      uint4 *at = (uint4 *)(tile + rilli_tile_at<64>(first + ROWS_APART * (i + j), 8 * piece));
      uint4 old = *at;
      *at = now[j];
      sum += (two(old.x, now[j].x) + two(old.y, now[j].y)) +
             (two(old.z, now[j].z) + two(old.w, now[j].w));
    }
  }
  return sum;
}

/* The thread's 32 elements through shared memory: from its partner of the other group. */
template <int GROUP>
static __device__ __forceinline__ void rilli_hopper_give(float4 *place, const rilli_square &x) {
#pragma unroll
  for (int n = 0; n < 8; n++)
    place[n * GROUP + threadIdx.x % GROUP] = make_float4(x[n][0], x[n][1], x[n][2], x[n][3]);
}
template <int GROUP>
static __device__ __forceinline__ void rilli_hopper_add(rilli_square &x, const float4 *place) {
#pragma unroll
  for (int n = 0; n < 8; n++) {
    float4 four = place[n * GROUP + threadIdx.x % GROUP];
    x[n][0] += four.x, x[n][1] += four.y, x[n][2] += four.z, x[n][3] += four.w;
  }
}

/* Writes the warpgroup's columns of a gradient [tokens, D]; a lane eight columns at once. */
template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_store(const rilli_hopper_block<D, FITTED> &c,
                                                          rilli_bf16 *to, int64_t apart, int tokens,
                                                          const rilli_square &x) {
#pragma unroll
  for (int upper = 0; upper < 2; upper++) {
    rilli_bf16 *line = to + c.token(upper) * apart + 64 * c.half + c.lane % 4 * 8;
#pragma unroll
    for (int n = 0; n < 8; n += 4) {
      uint32_t four[4];
#pragma unroll
      for (int i = 0; i < 4; i++)
        four[i] = rilli_pack(x[n + i][2 * upper], x[n + i][2 * upper + 1]);
      rilli_exchange(four);
      if (c.token(upper) < tokens)
        *(uint4 *)(line + 8 * n) = make_uint4(four[0], four[1], four[2], four[3]);
    }
  }
}

template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_chunk(const rilli_recur_chunked &p) {
  typedef rilli_hopper_block<D, FITTED> block;
  enum { STEPS = D / 16 };
  block c;
  int64_t item = blockIdx.x, head = item % p.H, apart = p.H * D;
  rilli_recur_span span = rilli_recur_span_of(p, item / p.H);
  int64_t at = span.first * p.H + head, state = (item * p.parts() + c.which) * D * D;
  int thread = threadIdx.x % block::GROUP;
  bool reads = c.which ? p.delta : p.reads();

  block::copy(c.k, p.k + at * D, apart, CHUNK, span.tokens, threadIdx.x, block::THREADS);
  block::copy(c.state, p.states + state, D, D, D, thread, block::GROUP);
  const rilli_bf16 *j = c.which ? p.solve_r : p.solve_s;
  if (reads)
    for (int i = thread; i < TILE / 8; i += block::GROUP)
      rilli_copy_async(c.solve + rilli_tile_at<64>(i / 8, i % 8 * 8), j + item * PAIRS + 8 * i,
                       true);
  if (c.which == 0) block::copy(c.w, p.v + at * D, apart, CHUNK, span.tokens, thread, block::GROUP);
  for (int i = threadIdx.x; i < NUMBERS * CHUNK / 4; i += block::THREADS)
    rilli_copy_async(c.numbers + 4 * i, p.numbers + item * NUMBERS * CHUNK + 4 * i, true);
  block::copy(c.go, p.go + at * D, apart, CHUNK, span.tokens, threadIdx.x, block::THREADS);
  rilli_copy_commit();
  rilli_copy_wait<0>();
  rilli_shared_fence();
  __syncthreads();

  rilli_hopper_writes<D, FITTED>(p, c, item, reads);
  rilli_shared_fence();
  c.meet_group();
  rilli_packed dn;
  if (c.half == 0) rilli_hopper_query_pairs<D, FITTED>(p, c, p.pairs + item * PAIRS);
  if (c.half == block::HALVES - 1) rilli_hopper_key_pairs<D, FITTED>(c, reads, dn);

  rilli_square dq, dk;
  float before[2] = {c.of(BEFORE, 0), c.of(BEFORE, 1)}, one[2] = {1, 1};
  const rilli_bf16 *columns = c.state + c.half * D * 64;
  if (reads) {
    rilli_wgmma_begin(dk);
    rilli_wgmma_product<ALONG, TURNED, STEPS>(dk, c.dz, TILE, columns, TILE, false);
    rilli_wgmma_commit();
    rilli_wgmma_wait(dk);
    rilli_hopper_meet(c, SUM_KEY, dk, before, c.k + c.half * TILE);
  } else {
    rilli_each_value([&](int n, int e) { dk[n][e] = 0; });
  }
  rilli_wgmma_begin(dq);
  rilli_wgmma_product<ALONG, TURNED, STEPS>(dq, c.go, TILE, columns, TILE, false);
  rilli_wgmma_commit();
  rilli_wgmma_wait(dq);
  rilli_each_value([&](int n, int e) { dq[n][e] *= before[e / 2]; });
  __syncthreads();

  /* do and S_0 are done with: q and dS take their places, dN that of dz. */
  block::copy(c.go, p.q + at * D, apart, CHUNK, span.tokens, threadIdx.x, block::THREADS);
  rilli_copy_commit();
  if (reads && c.half == block::HALVES - 1) c.store(c.dz, dn);
  float through =
      rilli_hopper_replace<D>(c.state + c.half * D * 64, p.dstates + state + 64 * c.half);
  for (int step = 16; step > 0; step /= 2) through += __shfl_xor_sync(~0u, through, step);
  if (c.lane == 0) c.warps[threadIdx.x / 32] = through;
  rilli_copy_wait<0>();
  rilli_shared_fence();
  __syncthreads();

  rilli_square late;
  rilli_wgmma_begin(late);
  rilli_wgmma_product<ALONG, TURNED, STEPS>(late, c.w, TILE, columns, TILE, false);
  rilli_wgmma_commit();
  rilli_hopper_meet(c, SUM_QUERY, dq, one, c.go + c.half * TILE);
  float read[2], tail[2] = {c.of(TAIL, 0), c.of(TAIL, 1)};
  for (int i = 0; i < 2; i++) read[i] = c.of(c.which ? READ_R : READ_S, i);
  rilli_each_value([&](int n, int e) { dq[n][e] *= read[e / 2]; });
  rilli_wgmma_wait(late);
  rilli_hopper_meet(c, SUM_LATE, late, tail, c.k + c.half * TILE);
  rilli_each_value([&](int n, int e) { dk[n][e] += late[n][e]; });

  const rilli_bf16 *k = c.k + c.half * TILE, *q = c.go + c.half * TILE;
  rilli_wgmma_begin(dq, dk);
  rilli_wgmma_product<ALONG, TURNED, 4>(dq, c.solve, 0, k, 0, true);
  rilli_wgmma_product<TURNED, TURNED, 4>(dk, c.solve, 0, q, 0, true);
  rilli_wgmma_commit();
  rilli_wgmma_wait(dq, dk);
  if (reads) {
    rilli_wgmma_begin(dk);
    rilli_wgmma_product<ALONG, TURNED, 4>(dk, c.dz, 0, k, 0, true);
    rilli_wgmma_product<TURNED, TURNED, 4>(dk, c.dz, 0, k, 0, true);
    rilli_wgmma_commit();
    rilli_wgmma_wait(dk);
  }
  if (FITTED) { /* S's group gets dk of both states, R's dq */
    c.meet_group();
    if (c.which == 0)
      rilli_hopper_give<block::GROUP>((float4 *)c.state, dq);
    else
      rilli_hopper_give<block::GROUP>((float4 *)c.state, dk);
  }
  __syncthreads();
  if (FITTED) {
    const float4 *other =
        (const float4 *)(c.which ? c.state - block::OF_STATE : c.state + block::OF_STATE);
    if (c.which == 0)
      rilli_hopper_add<block::GROUP>(dk, other);
    else
      rilli_hopper_add<block::GROUP>(dq, other);
  }
  if (threadIdx.x < 32) rilli_hopper_gates<D, FITTED>(p, c, at, span.tokens);
  if (!FITTED || c.which == 1) rilli_hopper_store(c, p.dq + at * D, apart, span.tokens, dq);
  if (c.which == 0) rilli_hopper_store(c, p.dk + at * D, apart, span.tokens, dk);
}
#endif /* RILL_HOPPER */

template <int D, bool FITTED>
static __global__ void __launch_bounds__(2 * D * (FITTED ? 2 : 1), 256 / D / (FITTED ? 2 : 1))
    gradients(rilli_recur_chunked p) {
#ifdef RILL_HOPPER
  rilli_hopper_chunk<D, FITTED>(p);
#else
  __trap();
#endif
}

#endif /* RILL_OPS_CUDA_RECURRENCE_HOPPER_GRADIENTS_CUH_ */
