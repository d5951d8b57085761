/* The pairs of tokens of hopper_gradients.cuh, [CHUNK, CHUNK]: a warpgroup has those of q and k,
 * and another, where there are two, those of k and k. They leave the gradients of the pairs, and of
 * the products with the pairs themselves the sums by rows and by columns. */
#ifndef RILL_OPS_CUDA_RECURRENCE_HOPPER_PAIRS_CUH_
#define RILL_OPS_CUDA_RECURRENCE_HOPPER_PAIRS_CUH_

#include "ops/cuda/recurrence/hopper_block.cuh"

#ifdef RILL_HOPPER
/* dB, in J's place. `forward`: the chunk's pairs (q_i . k_j) decay_ij. */
template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_query_pairs(
    const rilli_recur_chunked &p, const rilli_hopper_block<D, FITTED> &c,
    const rilli_bf16 *forward) {
  rilli_square by;
  rilli_wgmma_begin(by);
  rilli_wgmma_product<ALONG, ALONG, D / 16>(by, c.go, TILE, c.w, TILE, false);
  rilli_wgmma_commit();
  int t = c.lane % 4 * 2;
  uint32_t pairs[8][2];
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int upper = 0; upper < 2; upper++)
      pairs[n][upper] = *(const uint32_t *)(forward + c.token(upper) * CHUNK + 8 * n + t);
  float read[2], until[2], own_factor[2], rows[2] = {0, 0}, columns[16];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    read[i] = c.of(c.which ? READ_R : READ_S, i);
    until[i] = c.of(LOG_BEFORE, i);
    own_factor[i] = p.gated ? c.of(FIT, i) : 1.f;
    if (FITTED && c.which == 0) own_factor[i] = 0;
  }
  bool stateless = p.residual && !FITTED;
  rilli_packed d;
  rilli_wgmma_wait(by);
#pragma unroll
  for (int n = 0; n < 8; n++) {
    float2 after = *(const float2 *)(c.numbers + LOG_AFTER * CHUNK + 8 * n + t);
    columns[2 * n] = columns[2 * n + 1] = 0;
#pragma unroll
    for (int upper = 0; upper < 2; upper++) {
      int i = c.token(upper), j = 8 * n + t;
      float x[2];
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float raw = by[n][2 * upper + e],
              with = e ? rilli_high(pairs[n][upper]) : rilli_low(pairs[n][upper]);
        float decay = __expf(until[upper] - (e ? after.y : after.x));
        rows[upper] += raw * with;
        columns[2 * n + e] += read[upper] * (raw * with);
        x[e] = j + e < i ? read[upper] * raw * decay : 0.f;
        if (j + e == i) {
          float *sum = c.sums + SUM_OWN * CHUNK + i, own = stateless ? sum[0] : raw;
          if (stateless && D > 64) own += sum[CHUNK];
          x[e] = own_factor[upper] * own;
          sum[0] = own;
        }
      }
      d[n / 2][n % 2 * 2 + upper] = rilli_pack(x[0], x[1]);
    }
  }
  c.leave(SUM_PAIRS, rows);
  c.leave_columns(SUM_COLUMN, columns);
  c.store(c.solve, d);
}

/* dN, packed; its place is still in use. */
template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_key_pairs(
    const rilli_hopper_block<D, FITTED> &c, bool reads, rilli_packed &d) {
  float rows[2] = {0, 0}, columns[16];
#pragma unroll
  for (int i = 0; i < 16; i++) columns[i] = 0;
  if (reads) {
    rilli_square dn, kk;
    rilli_wgmma_begin(dn, kk);
    rilli_wgmma_product<ALONG, ALONG, D / 16>(dn, c.dz, TILE, c.w, TILE, false);
    rilli_wgmma_product<ALONG, ALONG, D / 16>(kk, c.k, TILE, c.k, TILE, false);
    rilli_wgmma_commit();
    int t = c.lane % 4 * 2;
    float until[2] = {c.of(LOG_BEFORE, 0), c.of(LOG_BEFORE, 1)};
    rilli_wgmma_wait(dn, kk);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      float2 after = *(const float2 *)(c.numbers + LOG_AFTER * CHUNK + 8 * n + t);
#pragma unroll
      for (int upper = 0; upper < 2; upper++) {
        float x[2];
#pragma unroll
        for (int e = 0; e < 2; e++) {
          float decay = __expf(until[upper] - (e ? after.y : after.x));
          x[e] = 8 * n + t + e < c.token(upper) ? dn[n][2 * upper + e] * decay : 0.f;
          float with = x[e] * kk[n][2 * upper + e];
          rows[upper] += with;
          columns[2 * n + e] += with;
        }
        d[n / 2][n % 2 * 2 + upper] = rilli_pack(x[0], x[1]);
      }
    }
  }
  c.leave(SUM_KEYS, rows);
  c.leave_columns(SUM_COLUMN + 4, columns);
}
#endif /* RILL_HOPPER */

#endif /* RILL_OPS_CUDA_RECURRENCE_HOPPER_PAIRS_CUH_ */
