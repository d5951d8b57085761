/* The values of chunk_gradients.cuh: a warp recomputes z, e, r (x, f) of 16 columns of V as the
 * forward did, takes the gradients of the writes from the backward sweep, and leaves for the block
 *   w = beta e, dz = -(d beta dE + du)        and of R        w = gamma f, dx = -d gamma dF
 * and the sums over V that gates need. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_VALUES_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_VALUES_CUH_

#include "ops/cuda/recurrence/chunk_gradients_block.cuh"

template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_recur_values_of_s(
    const rilli_recur_chunked &p, const rilli_recur_gradients_block<D> &c, int64_t item,
    rilli_values &r) {
  int warp = threadIdx.x / 32;
  rilli_packed v, go, dw, df, slope;
  rilli_values &z = r;
  const rilli_bf16 *dwrites = p.dwrites + (item * p.parts() * (D / 16) + warp) * PACKED_WARP;
  rilli_load_packed(dw, dwrites);
  if (FITTED) rilli_load_packed(df, dwrites + D / 16 * PACKED_WARP);
  if (p.residual) rilli_load_packed(slope, p.slopes + (item * (D / 16) + warp) * PACKED_WARP);
  rilli_load_values<CHUNK>(v, c.w + warp / 4 * PAIRS, warp % 4 * 16);
  rilli_load_values<D>(go, c.go, 16 * warp);
  rilli_zero(z);
  auto error = [&](int n, int e) {
    float value = rilli_unpacked(v, n, e);
    return p.delta ? value - c.of(ALPHA, n, e) * z[n][e] : value;
  };
  auto write = [&](int n, int e) { return c.of(WRITE, n, e) * error(n, e); };
  if (p.reads()) {
    rilli_packed a;
    c.read_state(z, 16 * warp);
    rilli_each_value([&](int n, int e) { z[n][e] *= c.of(BEFORE, n, e); });
    rilli_pack_values(a, write);
    rilli_mix_down(z, a, c.solve);
  }
  __syncthreads(); /* v is read; w takes its place */
  float bound = (float)p.bound;
  auto residual = [&](int n, int e) {
    return rilli_recur_clip(p.clip, bound, rilli_unpacked(v, n, e) - z[n][e]);
  };
  auto through_delta = [&](int n, int e) { /* d beta dE */
                                           if (!p.delta) return 0.f;
                                           return c.of(ALPHA, n, e) * c.of(WRITE, n, e) *
                                                  rilli_unpacked(dw, n, e);
  };
  auto du = [&](int n, int e) {
    if (!p.residual) return 0.f;
    float dr;
    if (FITTED) {
      dr = c.of(FIT, n, e) * rilli_unpacked(df, n, e);
    } else {
      float factor = p.gated ? c.of(FIT, n, e) : 1.f;
      dr = factor * c.of(OWN, n, e) * rilli_unpacked(go, n, e);
    }
    return rilli_unpacked(slope, n, e) * dr;
  };
  c.put(c.w, 16 * warp, write);
  if (p.reads())
    c.put(c.dz, 16 * warp, [&](int n, int e) { return -(through_delta(n, e) + du(n, e)); });
  c.sum(ERROR_SUM, [&](int n, int e) { return error(n, e) * rilli_unpacked(dw, n, e); });
  c.sum(READ_SUM, [&](int n, int e) { return -through_delta(n, e) * z[n][e]; });
  c.sum(OWN_SUM, [&](int n, int e) {
    if (FITTED) return 0.f;
    return rilli_unpacked(go, n, e) * (p.residual ? residual(n, e) : write(n, e));
  });
  if (FITTED) rilli_each_value([&](int n, int e) { r[n][e] = residual(n, e); });
}

template <int D>
static __device__ __forceinline__ void rilli_recur_values_of_r(
    const rilli_recur_chunked &p, const rilli_recur_gradients_block<D> &c, int64_t item,
    const rilli_values &r) {
  int warp = threadIdx.x / 32;
  rilli_packed go, dw;
  rilli_values x;
  rilli_load_packed(dw, p.dwrites + ((item * 2 + 1) * (D / 16) + warp) * PACKED_WARP);
  rilli_load_values<D>(go, c.go, 16 * warp);
  rilli_zero(x);
  auto error = [&](int n, int e) {
    return p.delta ? r[n][e] - c.of(ALPHA, n, e) * x[n][e] : r[n][e];
  };
  auto write = [&](int n, int e) { return c.of(FIT, n, e) * error(n, e); };
  auto dx = [&](int n, int e) {
    return -c.of(ALPHA, n, e) * c.of(FIT, n, e) * rilli_unpacked(dw, n, e);
  };
  if (p.delta) {
    rilli_packed a;
    c.read_state(x, 16 * warp);
    rilli_each_value([&](int n, int e) { x[n][e] *= c.of(BEFORE, n, e); });
    rilli_pack_values(a, write);
    rilli_mix_down(x, a, c.solve);
    c.put(c.dz, 16 * warp, dx);
  }
  c.put(c.w, 16 * warp, write);
  c.sum(ERROR_SUM, [&](int n, int e) { return error(n, e) * rilli_unpacked(dw, n, e); });
  c.sum(READ_SUM, [&](int n, int e) { return p.delta ? dx(n, e) * x[n][e] : 0.f; });
  c.sum(OWN_SUM, [&](int n, int e) { return rilli_unpacked(go, n, e) * write(n, e); });
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_VALUES_CUH_ */
