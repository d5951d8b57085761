/* The forward sweep over chunks, bf16 on tensor cores. In a chunk (chunk.cuh):
 *
 *   z = am (S_0 k) + J beta (v - d am S_0 k),  e = v - d z,  r = clip(v - z)
 *   x = am (R_0 k) + J_R gamma (r - d am R_0 k),  f = r - d x
 *   o = s (am (S_0 q) + pairs (beta e)) + gbar alpha (am (R_0 q) + pairs (gamma f)) + own terms
 *   S_C = whole S_0 + (tail beta e)^T k,  R_C = whole R_0 + (tail gamma f)^T k
 * with s = alpha, gbar = gamma, or 1 and 1 where o is a plain sum; own terms: (q . k) beta e
 * without a residual, gbar (q . k) gamma f with a fitted one, gbar (q . k) r with a stateless one.
 *
 * Grid: a block for `slice` columns of V of a segment and head; a warp 16 columns, which never
 * meet another's: it holds 16 rows of S in f32 registers (D / 2 a thread), of R too
 * (chunk_second.cuh), and its values of the chunk (chunk_values.cuh). Shared: 67 to 75 kB a stage
 * at D = 128 (chunk_stage.cuh), two stages where they fit, and 64 kB for R. Barriers: one a chunk
 * (two with one stage). States, z, e, r, f and the clip f32; operands of products bf16. Bytes of a
 * token and head at D = 128: 1024 of q, k, v, o, 300 to 430 of scratch, and for training 512 to
 * 1280 of states and slopes. Limits: D = V = 64 or 128.
 */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_SWEEP_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_SWEEP_CUH_

#include "ops/cuda/recurrence/chunk_segment.cuh"
#include "ops/cuda/recurrence/chunk_stage.cuh"

template <int D, bool FITTED>
struct rilli_recur_sweep_warp {
  const rilli_recur_chunked &p;
  rilli_state<D> S;
  typename rilli_second_state<D>::type R;
  rilli_values o, x; /* x: z, and then r */

  /* S over a chunk: o, and r in x. v is loaded anew where it is used: that takes fewer registers
   * than to keep it. */
  __device__ __forceinline__ void pass_s(const rilli_recur_stage<D> &c, rilli_bf16 *slopes) {
    rilli_packed v, w, late;
    rilli_zero(x);
    rilli_zero(o);
    auto write = [&](int n, int e) {
      float error = rilli_unpacked(v, n, e) - c.of(DECAYED, n, e) * x[n][e];
      return c.of(WRITE, n, e) * error;
    };
    if (FITTED) {
      rilli_read_state<D>(x, S, c.k);
    } else if (p.reads()) {
      rilli_read_state_twice<D>(x, o, S, c.k, c.q);
    } else {
      rilli_read_state<D>(o, S, c.q);
    }
    c.load_values(v);
    if (p.reads()) {
      rilli_each_value([&](int n, int e) { x[n][e] *= c.of(BEFORE, n, e); });
      rilli_pack_values(w, write);
      rilli_mix_down(x, w, c.solve_s);
      c.load_values(v);
    }
    rilli_pack_writes(w, late, c.numbers + TAIL * CHUNK, write);
    if (p.residual) clip(v, slopes);
    if (FITTED) rilli_read_state<D>(o, S, c.q);
    rilli_each_value([&](int n, int e) { o[n][e] *= c.of(BEFORE, n, e); });
    rilli_mix_down(o, w, c.pairs);
    if (!FITTED && !p.residual) {
      c.load_values(v);
      rilli_each_value([&](int n, int e) { x[n][e] = write(n, e); });
    }
    rilli_each_value([&](int n, int e) { /* with the own write, of e or r */
                                         o[n][e] *= c.of(READ_S, n, e);
                                         if (!FITTED) o[n][e] += c.of(OWN_OUT, n, e) * x[n][e];
    });
    rilli_fade_state<D>(S, c.whole());
    rilli_write_state<D>(S, late, c.k);
  }

  /* x becomes r. */
  __device__ __forceinline__ void clip(const rilli_packed &v, rilli_bf16 *slopes) {
    rilli_each_value([&](int n, int e) { x[n][e] = rilli_unpacked(v, n, e) - x[n][e]; });
    rilli_packed slope;
    rilli_clip(p, x, slopes, slope);
    if (slopes) rilli_store_packed(slopes, slope);
  }

  /* R over a chunk: its part of o. */
  __device__ __forceinline__ void pass_r(const rilli_recur_stage<D> &c) {
    rilli_packed w, late;
    rilli_values y;
    rilli_zero(y);
    auto write = [&](int n, int e) {
      return c.of(FIT, n, e) * (x[n][e] - c.of(DECAYED, n, e) * y[n][e]);
    };
    if (p.delta) {
      rilli_read_state<D>(y, R, c.k);
      rilli_each_value([&](int n, int e) { y[n][e] *= c.of(BEFORE, n, e); });
      rilli_pack_values(w, write);
      rilli_mix_down(y, w, c.solve_r);
    }
    rilli_each_value([&](int n, int e) {
      x[n][e] = write(n, e);
      o[n][e] += c.of(OWN_OUT, n, e) * x[n][e];
    });
    rilli_pack_writes(w, late, c.numbers + TAIL * CHUNK, [&](int n, int e) { return x[n][e]; });
    rilli_zero(x);
    rilli_read_state<D>(x, R, c.q);
    rilli_advance_state<D>(R, c.whole(), late, c.k);
    rilli_each_value([&](int n, int e) { x[n][e] *= c.of(BEFORE, n, e); });
    rilli_mix_down(x, w, c.pairs);
    rilli_each_value([&](int n, int e) { o[n][e] += c.of(READ_R, n, e) * x[n][e]; });
  }
};

template <int D, bool FITTED>
static __global__ void __launch_bounds__(2 * D) sweep(rilli_recur_chunked p) {
  int slices = D / p.slice, warp = threadIdx.x / 32;
  rilli_recur_segment at = rilli_recur_segment_of(p, blockIdx.x / slices);
  if (at.empty()) return;
  int block_column = blockIdx.x % slices * p.slice, column = block_column + 16 * warp;
  int64_t row = ((at.sequence * p.H + at.head) * D + column) * D;
  if (!p.carried) at.start -= rilli_recur_far(p, at.head, at.first - 1, -1, at.first - at.from);
  bool whole = at.start == at.from;
  rilli_recur_sweep_warp<D, FITTED> w = {p};
  if (p.carried && !whole) {
    rilli_load_state<D>(w.S, p.carried + at.place(p) + column * D);
  } else {
    rilli_load_state<D>(w.S, p.s0 && whole ? p.s0 + row : nullptr);
  }
  if (FITTED) rilli_place_state<D>(w.R, rilli_recur_stage<D>::behind(p));
  if (FITTED) rilli_load_state<D>(w.R, p.r0 && whole ? p.r0 + row : nullptr);
  auto copy = [&](int64_t chunk) {
    if (chunk >= at.end) return;
    rilli_recur_stage<D>(p, (chunk - at.start) % p.stages)
        .copy(p, p.v, chunk, at.head, rilli_recur_span_at(p, at.sequence, chunk), block_column);
  };
  copy(at.start);
  for (int64_t chunk = at.start; chunk < at.end; chunk++) {
    rilli_recur_stage<D> c(p, (chunk - at.start) % p.stages);
    rilli_recur_span span = rilli_recur_span_at(p, at.sequence, chunk);
    int64_t index = chunk * p.H + at.head;
    bool kept = chunk >= at.first;
    rilli_copy_wait<0>();
    __syncthreads();
    if (p.stages > 1) copy(chunk + 1);
    rilli_bf16 *slopes = nullptr;
    if (p.states && kept) {
      int64_t saved = (index * p.parts() * D + column) * D;
      rilli_store_state<D>(p.states + saved, w.S);
      if (FITTED) rilli_store_state<D>(p.states + saved + D * D, w.R);
      slopes = p.slopes + (index * (D / 16) + column / 16) * PACKED_WARP;
    }
    w.pass_s(c, slopes);
    if (FITTED) w.pass_r(c);
    if (kept)
      rilli_store_values(p.o + (span.first * p.H + at.head) * D + column, p.H * D, span.tokens,
                         w.o);
    if (p.stages > 1) continue;
    __syncthreads();
    copy(chunk + 1);
  }
  if (!at.is_last()) return;
  rilli_store_state<D>(p.s + row, w.S);
  if (FITTED) rilli_store_state<D>(p.r + row, w.R);
}

/* What a segment adds to a state that is a plain sum, at the place where the next one begins. */
template <int D>
static __global__ void __launch_bounds__(2 * D) sweep_local(rilli_recur_chunked p) {
  rilli_recur_segment at = rilli_recur_segment_of(p, blockIdx.x);
  if (at.empty() || at.is_last()) return;
  int column = threadIdx.x / 32 * 16;
  int64_t row = ((at.sequence * p.H + at.head) * D + column) * D;
  rilli_state<D> S;
  rilli_load_state<D>(S, p.s0 && at.is_first() ? p.s0 + row : nullptr);
  for (int64_t chunk = at.first; chunk < at.end; chunk++) {
    rilli_recur_stage<D> c(p, (chunk - at.first) % p.stages);
    auto copy = [&](int64_t next) {
      if (next >= at.end) return;
      rilli_recur_stage<D>(p, (next - at.first) % p.stages)
          .copy_writes(p, p.v, p.k, next, at.head, rilli_recur_span_at(p, at.sequence, next));
    };
    if (chunk == at.first) copy(chunk);
    rilli_copy_wait<0>();
    __syncthreads();
    copy(chunk + 1);
    rilli_packed v, late;
    c.load_values(v);
    rilli_pack_values(late, [&](int n, int e) {
      return c.of(TAIL, n, e) * (c.of(WRITE, n, e) * rilli_unpacked(v, n, e));
    });
    rilli_fade_state<D>(S, c.whole());
    rilli_write_state<D>(S, late, c.k);
  }
  rilli_store_state<D>(p.carried + at.place(p) + p.H * D * D + column * D, S);
}

template <int D, bool FITTED>
static bool rilli_recur_sweep_run(rill_env *env, rilli_recur_chunked p) {
  if (p.carried) {
    rilli_recur_chunked all = p;
    all.slice = D;
    if (!rilli_launch(env, sweep_local<D>, rilli_grid_of(p.N * p.segments * p.H), 2 * D,
                      rilli_recur_stage<D>::shared(all), all) ||
        !rilli_recur_carry(env, p, false))
      return false;
  }
  if (rilli_recur_stage<D>::shared(p) > p.most_shared) p.stages = 1;
  return rilli_launch(env, sweep<D, FITTED>, rilli_grid_of(p.N * p.segments * p.H * (D / p.slice)),
                      2 * p.slice, rilli_recur_stage<D>::shared(p), p);
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_SWEEP_CUH_ */
