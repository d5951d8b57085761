/* The backward sweep, from a sequence's last chunk to its first, bf16 on tensor cores. With dS, dR
 * the gradients of the states at the chunk's end (names of chunk_sweep.cuh):
 *
 *   X = tail (dR k) + pairs^T (gbar alpha do) + gbar (q . k) do        what reaches gamma f
 *   dF = X - J_R^T (alpha gamma X) or, for a plain sum, X;  dr = gamma dF;  dx = -d dr
 *   dR_0 = whole dR + (am gbar alpha do)^T q + (am dx)^T k
 *   du = clip'(u) dr                                   (stateless: dr = gbar (q . k) do)
 *   X = tail (dS k) + pairs^T (s do) + [no residual] (q . k) do        what reaches beta e
 *   dE = X - J^T (d beta X + du);  dv = beta dE + du;  dz = -(d beta dE + du)
 *   dS_0 = whole dS + (am s do)^T q + (am dz)^T k
 * It leaves dS, dR at the end of each chunk and dE, dF for chunk_gradients.cuh, and writes dv. The
 * slope of the clip is the forward's.
 *
 * Grid, registers, shared memory and barriers: as in the forward sweep. dS, dR, dE, dF, du are f32,
 * operands of products bf16. Bytes of a token and head at D = 128: 1024 of q, k, do, dv, 400 of
 * scratch read, 768 to 1536 of scratch written, 256 of slopes. Limits: D = V = 64 or 128. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_REVERSE_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_REVERSE_CUH_

#include "ops/cuda/recurrence/chunk_segment.cuh"
#include "ops/cuda/recurrence/chunk_stage.cuh"

template <int D, bool FITTED>
struct rilli_recur_reverse_warp {
  const rilli_recur_chunked &p;
  rilli_state<D> dS;
  typename rilli_second_state<D>::type dR;
  rilli_values du; /* and then dv */

  /* R over a chunk; leaves dr in du. do is loaded anew where it is used: that takes fewer registers
   * than to keep it. */
  __device__ __forceinline__ void pass_r(const rilli_recur_stage<D> &c, rilli_bf16 *dwrites) {
    rilli_packed go, a;
    rilli_zero(du);
    rilli_read_state<D>(du, dR, c.k);
    c.load_values(go);
    rilli_each_value([&](int n, int e) {
      du[n][e] = c.of(TAIL, n, e) * du[n][e] + c.of(OWN_OUT, n, e) * rilli_unpacked(go, n, e);
    });
    rilli_pack_values(a,
                      [&](int n, int e) { return c.of(READ_R, n, e) * rilli_unpacked(go, n, e); });
    rilli_mix_up(du, a, c.pairs);
    if (p.delta) {
      rilli_pack_values(
          a, [&](int n, int e) { return -c.of(ALPHA, n, e) * c.of(FIT, n, e) * du[n][e]; });
      rilli_mix_up(du, a, c.solve_r);
    }
    rilli_pack_values(a, [&](int n, int e) { return du[n][e]; });
    if (dwrites) rilli_store_packed(dwrites, a);
    c.load_values(go);
    rilli_pack_values(a, [&](int n, int e) {
      return c.of(BEFORE, n, e) * c.of(READ_R, n, e) * rilli_unpacked(go, n, e);
    });
    rilli_each_value([&](int n, int e) { du[n][e] *= c.of(FIT, n, e); });
    rilli_advance_state<D>(dR, c.whole(), a, c.q);
    if (!p.delta) return;
    rilli_pack_values(
        a, [&](int n, int e) { return -c.of(BEFORE, n, e) * c.of(ALPHA, n, e) * du[n][e]; });
    rilli_advance_state<D>(dR, 1, a, c.k);
  }

  /* From the gradient of r to that of the residual before the clip. */
  __device__ __forceinline__ void unclip(const rilli_recur_stage<D> &c, const rilli_packed &slope) {
    if (!FITTED) {
      rilli_packed go;
      c.load_values(go);
      rilli_each_value(
          [&](int n, int e) { du[n][e] = c.of(OWN_OUT, n, e) * rilli_unpacked(go, n, e); });
    }
    rilli_each_value([&](int n, int e) { du[n][e] *= rilli_unpacked(slope, n, e); });
  }

  /* S over a chunk; leaves dv in du. */
  __device__ __forceinline__ void pass_s(const rilli_recur_stage<D> &c, rilli_bf16 *dwrites) {
    rilli_packed go, a;
    rilli_values x;
    rilli_zero(x);
    auto back = [&](int n, int e) {
      return -(c.of(DECAYED, n, e) * c.of(WRITE, n, e) * x[n][e] + du[n][e]);
    };
    rilli_read_state<D>(x, dS, c.k);
    c.load_values(go);
    rilli_each_value([&](int n, int e) {
      x[n][e] *= c.of(TAIL, n, e);
      if (!p.residual) x[n][e] += c.of(OWN_OUT, n, e) * rilli_unpacked(go, n, e);
    });
    rilli_pack_values(a,
                      [&](int n, int e) { return c.of(READ_S, n, e) * rilli_unpacked(go, n, e); });
    rilli_mix_up(x, a, c.pairs);
    if (p.reads()) {
      rilli_pack_values(a, back);
      rilli_mix_up(x, a, c.solve_s);
    }
    rilli_pack_values(a, [&](int n, int e) { return x[n][e]; });
    if (dwrites) rilli_store_packed(dwrites, a);
    c.load_values(go);
    rilli_pack_values(a, [&](int n, int e) {
      return c.of(BEFORE, n, e) * c.of(READ_S, n, e) * rilli_unpacked(go, n, e);
    });
    rilli_fade_state<D>(dS, c.whole());
    rilli_write_state<D>(dS, a, c.q);
    if (p.reads()) {
      rilli_pack_values(a, [&](int n, int e) { return c.of(BEFORE, n, e) * back(n, e); });
      rilli_write_state<D>(dS, a, c.k);
    }
    rilli_each_value([&](int n, int e) { du[n][e] += c.of(WRITE, n, e) * x[n][e]; });
  }
};

template <int D, bool FITTED>
static __global__ void __launch_bounds__(2 * D) reverse(rilli_recur_chunked p) {
  int slices = D / p.slice, warp = threadIdx.x / 32;
  rilli_recur_segment at = rilli_recur_segment_of(p, blockIdx.x / slices);
  if (at.empty()) return;
  int block_column = blockIdx.x % slices * p.slice, column = block_column + 16 * warp;
  int64_t row = ((at.sequence * p.H + at.head) * D + column) * D;
  at.start = at.end - 1;
  if (!p.carried) at.start += rilli_recur_far(p, at.head, at.end, 1, at.until - at.end);
  bool whole = at.start == at.until - 1;
  rilli_recur_reverse_warp<D, FITTED> w = {p};
  if (p.carried && !whole) {
    rilli_load_state<D>(w.dS, p.carried + at.place(p) + column * D);
  } else {
    rilli_load_state<D>(w.dS, p.ds_end && whole ? p.ds_end + row : nullptr);
  }
  if (FITTED) rilli_place_state<D>(w.dR, rilli_recur_stage<D>::behind(p));
  if (FITTED) rilli_load_state<D>(w.dR, p.dr_end && whole ? p.dr_end + row : nullptr);
  auto copy = [&](int64_t chunk) {
    if (chunk < at.first) return;
    rilli_recur_stage<D>(p, (at.start - chunk) % p.stages)
        .copy(p, p.go, chunk, at.head, rilli_recur_span_at(p, at.sequence, chunk), block_column);
  };
  copy(at.start);
  for (int64_t chunk = at.start; chunk >= at.first; chunk--) {
    rilli_recur_stage<D> c(p, (at.start - chunk) % p.stages);
    rilli_recur_span span = rilli_recur_span_at(p, at.sequence, chunk);
    int64_t index = chunk * p.H + at.head, part = index * p.parts();
    bool kept = chunk < at.end;
    rilli_copy_wait<0>();
    __syncthreads();
    if (p.stages > 1) copy(chunk - 1);
    rilli_bf16 *dstates = p.dstates + (part * D + column) * D;
    rilli_bf16 *dwrites =
        kept ? p.dwrites + (part * (D / 16) + column / 16) * PACKED_WARP : nullptr;
    if (kept) rilli_store_state<D>(dstates, w.dS);
    if (FITTED && kept) rilli_store_state<D>(dstates + D * D, w.dR);
    rilli_packed slope;
    if (p.residual)
      rilli_load_packed(slope, p.slopes + (index * (D / 16) + column / 16) * PACKED_WARP);
    rilli_zero(w.du);
    if (FITTED) w.pass_r(c, dwrites ? dwrites + D / 16 * PACKED_WARP : nullptr);
    if (p.residual) w.unclip(c, slope);
    w.pass_s(c, dwrites);
    if (kept)
      rilli_store_values(p.dv + (span.first * p.H + at.head) * D + column, p.H * D, span.tokens,
                         w.du);
    if (p.stages > 1) continue;
    __syncthreads();
    copy(chunk - 1);
  }
  if (!at.is_first()) return;
  if (p.ds0) rilli_store_state<D>(p.ds0 + row, w.dS);
  if (FITTED && p.dr0) rilli_store_state<D>(p.dr0 + row, w.dR);
}

/* What a segment adds to the gradient of a state that is a plain sum, at the place of the one
 * before it. */
template <int D>
static __global__ void __launch_bounds__(2 * D) reverse_local(rilli_recur_chunked p) {
  rilli_recur_segment at = rilli_recur_segment_of(p, blockIdx.x);
  if (at.empty() || at.is_first()) return;
  int column = threadIdx.x / 32 * 16;
  int64_t row = ((at.sequence * p.H + at.head) * D + column) * D;
  rilli_state<D> dS;
  rilli_load_state<D>(dS, p.ds_end && at.is_last() ? p.ds_end + row : nullptr);
  for (int64_t chunk = at.end - 1; chunk >= at.first; chunk--) {
    rilli_recur_stage<D> c(p, (at.end - 1 - chunk) % p.stages);
    auto copy = [&](int64_t next) {
      if (next < at.first) return;
      rilli_recur_stage<D>(p, (at.end - 1 - next) % p.stages)
          .copy_writes(p, p.go, p.q, next, at.head, rilli_recur_span_at(p, at.sequence, next));
    };
    if (chunk == at.end - 1) copy(chunk);
    rilli_copy_wait<0>();
    __syncthreads();
    copy(chunk - 1);
    rilli_packed go, a;
    c.load_values(go);
    rilli_pack_values(a, [&](int n, int e) {
      return c.of(BEFORE, n, e) * c.of(READ_S, n, e) * rilli_unpacked(go, n, e);
    });
    rilli_fade_state<D>(dS, c.whole());
    rilli_write_state<D>(dS, a, c.k);
  }
  rilli_store_state<D>(p.carried + at.place(p) - p.H * D * D + column * D, dS);
}

template <int D, bool FITTED>
static bool rilli_recur_reverse_run(rill_env *env, rilli_recur_chunked p) {
  if (p.carried) {
    rilli_recur_chunked all = p;
    all.slice = D;
    if (!rilli_launch(env, reverse_local<D>, rilli_grid_of(p.N * p.segments * p.H), 2 * D,
                      rilli_recur_stage<D>::shared(all), all) ||
        !rilli_recur_carry(env, p, true))
      return false;
  }
  if (rilli_recur_stage<D>::shared(p) > p.most_shared) p.stages = 1;
  return rilli_launch(env, reverse<D, FITTED>,
                      rilli_grid_of(p.N * p.segments * p.H * (D / p.slice)), 2 * p.slice,
                      rilli_recur_stage<D>::shared(p), p);
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_REVERSE_CUH_ */
