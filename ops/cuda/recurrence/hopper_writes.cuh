/* The first stage of hopper_gradients.cuh: z, e and r (x and f) as the forward had them, and with
 * the gradients of the writes from the backward sweep
 *
 *   w = beta e, dz = -(d beta dE + du)        and of R        w = gamma f, dx = -d gamma dF
 *
 * as tiles, and the sums over V that gates need. S's group leaves r, as bf16, for R's. */
#ifndef RILL_OPS_CUDA_RECURRENCE_HOPPER_WRITES_CUH_
#define RILL_OPS_CUDA_RECURRENCE_HOPPER_WRITES_CUH_

#include "ops/cuda/recurrence/hopper_block.cuh"

#ifdef RILL_HOPPER
enum rilli_hopper_residual { NO_RESIDUAL, HARD_CLIP, SMOOTH_CLIP };

/* What becomes of the source and z: w, dz, and with a residual r. `df`: the gradient of r, from R's
 * writes or, stateless, do. In place: source becomes w, dw becomes dz, df becomes r. */
template <rilli_hopper_residual RESIDUAL, int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_finish(const rilli_recur_chunked &p,
                                                           const rilli_hopper_block<D, FITTED> &c,
                                                           const rilli_square &z,
                                                           rilli_packed &source, rilli_packed &dw,
                                                           rilli_packed &df) {
  float decayed[2], gate[2], of_r[2], error_sum[2] = {0, 0}, read_sum[2] = {0, 0}, own[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < 2; i++) {
    decayed[i] = c.of(DECAYED, i);
    gate[i] = c.of(c.which ? FIT : WRITE, i);
    of_r[i] = c.of(FITTED ? FIT : OWN_OUT, i);
  }
  float most = p.most, inverse = p.inverse;
#pragma unroll
  for (int k = 0; k < PACKS; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int n = 2 * k + i / 2, upper = i % 2;
      float w[2], dz[2], r[2];
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float x = e ? rilli_high(source[k][i]) : rilli_low(source[k][i]);
        float d = e ? rilli_high(dw[k][i]) : rilli_low(dw[k][i]);
        float read = z[n][2 * upper + e], error = x - decayed[upper] * read;
        float through = decayed[upper] * gate[upper] * d;
        w[e] = gate[upper] * error;
        error_sum[upper] += error * d;
        read_sum[upper] -= through * read;
        dz[e] = -through;
        if (RESIDUAL == NO_RESIDUAL) continue;
        float u = x - read, slope, go = e ? rilli_high(df[k][i]) : rilli_low(df[k][i]);
        if (RESIDUAL == SMOOTH_CLIP) {
          u = 1.f - __fdividef(2.f, 1.f + __expf(2.f * inverse * u));
          slope = 1.f - u * u;
          r[e] = most * u;
        } else {
          slope = u <= most && u >= -most ? 1.f : 0.f;
          r[e] = u > most ? most : u < -most ? -most : u;
        }
        dz[e] -= of_r[upper] * go * slope;
        if (!FITTED) own[upper] += go * r[e];
      }
      source[k][i] = rilli_pack(w[0], w[1]);
      dw[k][i] = rilli_pack(dz[0], dz[1]);
      if (RESIDUAL != NO_RESIDUAL) df[k][i] = rilli_pack(r[0], r[1]);
    }
  c.leave(SUM_ERROR + c.half, error_sum);
  c.leave(SUM_READ + c.half, read_sum);
  if (RESIDUAL != NO_RESIDUAL && !FITTED) c.leave(SUM_OWN + c.half, own);
}

template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_writes(const rilli_recur_chunked &p,
                                                           const rilli_hopper_block<D, FITTED> &c,
                                                           int64_t item, bool reads) {
  typedef rilli_hopper_block<D, FITTED> block;
  enum { STEPS = D / 16, SWEPT = D / 16 * PACKED_WARP };
  rilli_square z;
  rilli_packed source, dw, df;
  rilli_bf16 *tile = c.w + c.half * TILE;
  const rilli_bf16 *swept = p.dwrites + item * p.parts() * SWEPT;
  bool residual = p.residual && c.which == 0;
  auto load_source = [&]() {
    if (c.which == 1) rilli_barrier(block::HANDOVER, block::THREADS);
    c.load(source, tile);
  };
  auto load_gradients = [&]() {
    c.load_swept(dw, swept + c.which * SWEPT);
    if (!residual) return;
    if (FITTED)
      c.load_swept(df, swept + SWEPT);
    else
      c.load(df, c.go + c.half * TILE);
  };
  if (reads) {
    rilli_wgmma_begin(z);
    rilli_wgmma_product<ALONG, ALONG, STEPS>(z, c.k, TILE, c.state + c.half * TILE, D * 64, false);
    rilli_wgmma_commit();
    load_source();
    float before[2], decayed[2], gate[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      before[i] = c.of(BEFORE, i);
      decayed[i] = c.of(DECAYED, i);
      gate[i] = c.of(c.which ? FIT : WRITE, i);
    }
    rilli_packed x;
    rilli_wgmma_wait(z);
    rilli_each_value([&](int n, int e) { z[n][e] *= before[e / 2]; });
    rilli_pack_values(x, [&](int n, int e) {
      return gate[e / 2] * (rilli_unpacked(source, n, e) - decayed[e / 2] * z[n][e]);
    });
    c.store(tile, x);
    rilli_shared_fence();
    c.meet_half();
    rilli_wgmma_begin(z);
    rilli_wgmma_product<ALONG, TURNED, 4>(z, c.solve, 0, tile, 0, true);
    rilli_wgmma_commit();
    load_gradients();
    rilli_wgmma_wait(z);
    c.meet_half();
  } else {
    rilli_each_value([&](int n, int e) { z[n][e] = 0; });
    load_source();
    load_gradients();
  }
  if (!residual)
    rilli_hopper_finish<NO_RESIDUAL>(p, c, z, source, dw, df);
  else if (p.smooth)
    rilli_hopper_finish<SMOOTH_CLIP>(p, c, z, source, dw, df);
  else
    rilli_hopper_finish<HARD_CLIP>(p, c, z, source, dw, df);
  if (FITTED && c.which == 0) {
    c.store(c.second_w + c.half * TILE, df);
    rilli_barrier_arrive(block::HANDOVER, block::THREADS);
  }
  c.store(tile, source);
  if (reads) c.store(c.dz + c.half * TILE, dw);
}
#endif /* RILL_HOPPER */

#endif /* RILL_OPS_CUDA_RECURRENCE_HOPPER_WRITES_CUH_ */
