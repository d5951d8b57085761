/* The values of chunk_gradients.cuh: a warp recomputes z, e, r (x, f) of 16 columns of V as the
 * forward did, takes the gradients of the writes from the backward sweep, and leaves for the block
 *   w = beta e, dz = -(d beta dE + du)        and of R        w = gamma f, dx = -d gamma dF
 * and the sums over V that gates need. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_VALUES_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_VALUES_CUH_

#include "ops/cuda/recurrence/chunk_gradients_block.cuh"

/* The gradient of the residual before the clip. */
template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_recur_values_du(
    const rilli_recur_chunked &p, const rilli_recur_gradients_block<D> &c, const rilli_packed &go,
    const rilli_packed &slope, const rilli_packed &df, rilli_values &du) {
  if (FITTED) {
    rilli_each_value([&](int n, int e) { du[n][e] = c.of(FIT, n, e) * rilli_unpacked(df, n, e); });
  } else {
    rilli_each_value(
        [&](int n, int e) { du[n][e] = c.of(OWN_OUT, n, e) * rilli_unpacked(go, n, e); });
  }
  rilli_each_value([&](int n, int e) { du[n][e] *= rilli_unpacked(slope, n, e); });
}

/* State `which`, 0 for S: source is v; 1 for R: source is r, which S leaves there. Waits for the
 * copies that it reads; a barrier of the block lies between reading v and J and writing w and sums
 * in their places. */
template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_recur_values(const rilli_recur_chunked &p,
                                                          const rilli_recur_gradients_block<D> &c,
                                                          int64_t item, int which,
                                                          rilli_values &source) {
  int warp = threadIdx.x / 32, gate = which ? FIT : WRITE;
  bool reads = which ? p.delta : p.reads();
  rilli_packed go, dw;
  rilli_values z, du;
  const rilli_bf16 *dwrites = p.dwrites + (item * p.parts() * (D / 16) + warp) * PACKED_WARP;
  rilli_load_packed(dw, dwrites + which * (D / 16) * PACKED_WARP);
  rilli_zero(du);
  rilli_packed slope, df;
  if (which == 0 && p.residual) {
    rilli_load_packed(slope, p.slopes + (item * (D / 16) + warp) * PACKED_WARP);
    if (FITTED) rilli_load_packed(df, dwrites + D / 16 * PACKED_WARP);
  }
  rilli_copy_wait<1>();
  __syncthreads();
  rilli_load_values<D>(go, c.go, 16 * warp);
  if (which == 0) {
    rilli_packed v;
    rilli_load_values<CHUNK>(v, c.w + warp / 4 * PAIRS, warp % 4 * 16);
    rilli_each_value([&](int n, int e) { source[n][e] = rilli_unpacked(v, n, e); });
    if (p.residual) rilli_recur_values_du<D, FITTED>(p, c, go, slope, df, du);
  }
  rilli_zero(z);
  auto error = [&](int n, int e) { return source[n][e] - c.of(DECAYED, n, e) * z[n][e]; };
  auto write = [&](int n, int e) { return c.of(gate, n, e) * error(n, e); };
  auto through_delta = [&](int n, int e) {
    return c.of(DECAYED, n, e) * c.of(gate, n, e) * rilli_unpacked(dw, n, e);
  };
  if (reads) {
    rilli_packed a;
    c.read_state(z, 16 * warp);
    rilli_each_value([&](int n, int e) { z[n][e] *= c.of(BEFORE, n, e); });
    rilli_pack_values(a, write);
    rilli_mix_down(z, a, c.solve);
  }
  __syncthreads();
  c.put(c.w, 16 * warp, write);
  if (reads)
    c.put(c.dz, 16 * warp, [&](int n, int e) { return -(through_delta(n, e) + du[n][e]); });
  c.sum(ERROR_SUM, [&](int n, int e) { return error(n, e) * rilli_unpacked(dw, n, e); });
  if (p.delta) c.sum(READ_SUM, [&](int n, int e) { return -through_delta(n, e) * z[n][e]; });
  if (p.residual && which == 0) {
    rilli_each_value([&](int n, int e) { source[n][e] -= z[n][e]; });
    rilli_packed none;
    rilli_clip(p, source, false, none);
    if (!FITTED)
      c.sum(OWN_SUM, [&](int n, int e) { return rilli_unpacked(go, n, e) * source[n][e]; });
  } else {
    c.sum(OWN_SUM, [&](int n, int e) { return rilli_unpacked(go, n, e) * write(n, e); });
  }
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_VALUES_CUH_ */
