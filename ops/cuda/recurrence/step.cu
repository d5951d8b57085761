/* One token a sequence, forward only: each state is read once and written once.
 *
 *   z = S k, y = S (a q), x = R (a k), p = R (a q), s = k . q       from the states before the
 * token e = v - [delta] S (a k),  r = clip(v - z),  f = r - [delta] x o = y + beta s e,  or  y +
 * gbar s r (stateless),  or  y + gbar (p + gamma s f) S' = a S + beta e k^T,  R' = a R + gamma f
 * k^T (y = S q where o is a plain sum of reads.)
 *
 * Grid: blocks of 256 threads for ROWS * 256 / LANES rows of V of a sequence and head. LANES
 * threads (8, 16 or 32) share a row, 4 or 8 of its elements each, and take ROWS rows at once, so
 * that a thread has up to 128 bytes of states under way. No shared memory, no barrier. States and
 * sums f32. Bytes of a row: 8 D (16 D with R). Limits: f32 or bf16, D <= 256 and a multiple of 4,
 * states at multiples of 16 bytes, not training, not packed. */
#include "ops/cuda/recurrence/step.cuh"

enum { BLOCK = 256, ROWS = 4, LARGEST = 256 };

template <int LANES>
static __device__ __forceinline__ float lanes_sum(float x) {
#pragma unroll
  for (int step = LANES / 2; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

/* FOURS groups of four elements of a row that a thread holds: 4 (lane + LANES i) + 0 .. 3. */
template <int LANES, int FOURS>
struct piece {
  float x[4 * FOURS];

  template <typename F>
  __device__ __forceinline__ void each(int64_t D, F &&f) {
#pragma unroll
    for (int i = 0; i < 4 * FOURS; i++) {
      int64_t j = 4 * (threadIdx.x % LANES + LANES * (i / 4)) + i % 4;
      x[i] = j < D ? f(i, j) : 0.f;
    }
  }
  __device__ __forceinline__ void load(int64_t D, const float *row) {
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
      int64_t j = 4 * (threadIdx.x % LANES + LANES * i);
      float4 four = make_float4(0, 0, 0, 0);
      if (row && j < D) four = *(const float4 *)(row + j);
      x[4 * i] = four.x, x[4 * i + 1] = four.y, x[4 * i + 2] = four.z, x[4 * i + 3] = four.w;
    }
  }
  __device__ __forceinline__ void store(int64_t D, float *row) const {
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
      int64_t j = 4 * (threadIdx.x % LANES + LANES * i);
      if (j < D)
        *(float4 *)(row + j) = make_float4(x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]);
    }
  }
  __device__ __forceinline__ float dot(const piece &y) const {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4 * FOURS; i++) sum += x[i] * y.x[i];
    return lanes_sum<LANES>(sum);
  }
  /* x = a x + write k */
  __device__ __forceinline__ void advance(const piece &a, float write, const piece &k) {
#pragma unroll
    for (int i = 0; i < 4 * FOURS; i++) x[i] = a.x[i] * x[i] + write * k.x[i];
  }
};

template <typename T>
struct step_out {
  T *o;
  float *s, *r;
};

template <typename T, int LANES, int FOURS>
static __global__ void __launch_bounds__(BLOCK) step(rilli_recur_problem<T> p, step_out<T> out) {
  typedef piece<LANES, FOURS> row_piece;
  enum { GROUPS = BLOCK / LANES };
  int64_t D = p.D, W = p.V, blocks = (W + GROUPS * ROWS - 1) / (GROUPS * ROWS);
  int64_t item = blockIdx.x / blocks; /* token and head, and state */
  int64_t first = blockIdx.x % blocks * GROUPS * ROWS + threadIdx.x / LANES;
  row_piece S[ROWS], R[ROWS], k, q, a, ak, read;
#pragma unroll
  for (int n = 0; n < ROWS; n++) {
    int64_t i = first + n * GROUPS, at = (item * W + i) * D;
    S[n].load(D, p.s0 && i < W ? p.s0 + at : nullptr);
    if (p.fitted) R[n].load(D, p.r0 && i < W ? p.r0 + at : nullptr);
  }
  float alpha = p.g && !p.channel ? expf(p.g[item]) : 1.f;
  float beta = p.beta ? p.beta[item] : 1.f, gamma = p.gamma ? p.gamma[item] : 1.f;
  float factor = p.gated ? gamma : 1.f;
  k.each(D, [&](int, int64_t j) { return (float)rilli_load(p.k[item * D + j]); });
  q.each(D, [&](int, int64_t j) { return (float)rilli_load(p.q[item * D + j]); });
  a.each(D, [&](int, int64_t j) { return p.g && p.channel ? expf(p.g[item * D + j]) : alpha; });
  ak.each(D, [&](int i, int64_t) { return a.x[i] * k.x[i]; });
  float own = k.dot(q);
  bool plain = p.residual && !p.gated;
  row_piece aq;
  aq.each(D, [&](int i, int64_t) { return a.x[i] * q.x[i]; });
  read.each(D, [&](int i, int64_t) { return plain ? q.x[i] : aq.x[i]; });
#pragma unroll
  for (int n = 0; n < ROWS; n++) {
    int64_t i = first + n * GROUPS, at = (item * W + i) * D;
    bool there = i < W;
    float v = there ? (float)rilli_load(p.v[item * W + i]) : 0.f, error = v;
    if (p.delta) error -= S[n].dot(ak);
    float o = S[n].dot(read), r = 0;
    if (p.residual) r = rilli_recur_clip(p.clip, (float)p.bound, v - S[n].dot(k));
    S[n].advance(a, beta * error, k);
    if (there) S[n].store(D, out.s + at);
    if (!p.residual) {
      o += beta * own * error;
    } else if (!p.fitted) {
      o += factor * own * r;
    } else {
      float f = p.delta ? r - R[n].dot(ak) : r;
      o += factor * (R[n].dot(aq) + gamma * own * f);
      R[n].advance(a, gamma * f, k);
      if (there) R[n].store(D, out.r + at);
    }
    if (there && threadIdx.x % LANES == 0) out.o[item * W + i] = rilli_store<T>(o);
  }
}

bool rilli_recur_step_fits(const rill_call *call) {
  const rilli_recur_attributes *attr = (const rilli_recur_attributes *)call->attr;
  const rill_array *in = call->in;
  int64_t D = in[Q].size[3];
  uintptr_t places = (uintptr_t)in[S0].data | (uintptr_t)in[R0].data;
  return in[Q].dtype != RILL_F64 && in[Q].size[1] == 1 && !attr->packed && D % 4 == 0 &&
         D <= LARGEST && places % 16 == 0 && rill_array_count(&call->out[OUT_STATES]) == 0;
}

template <typename T, int LANES, int FOURS>
static bool run_as(const rill_call *call, const rilli_recur_problem<T> &p) {
  step_out<T> out = {};
  out.o = (T *)call->out[OUT_O].data;
  out.s = (float *)call->out[OUT_S].data;
  out.r = p.fitted ? (float *)call->out[OUT_R].data : nullptr;
  int64_t blocks = rilli_ceil_div(p.V, BLOCK / LANES * ROWS);
  return rilli_launch(call->env, step<T, LANES, FOURS>, rilli_grid_of(p.N * p.H * blocks), BLOCK, 0,
                      p, out);
}

template <typename T>
static bool run(const rill_call *call) {
  rilli_recur_problem<T> p;
  if (!rilli_recur_problem_of(call, &p)) return false;
  if (p.D <= 32) return run_as<T, 8, 1>(call, p);
  if (p.D <= 64) return run_as<T, 16, 1>(call, p);
  if (p.D <= 128) return run_as<T, 32, 1>(call, p);
  return run_as<T, 32, 2>(call, p);
}

bool rilli_recur_step_run(const rill_call *call) {
  return call->in[Q].dtype == RILL_BF16 ? run<__nv_bfloat16>(call) : run<float>(call);
}
