/* The recurrence token by token, forward: every rule, dtype and size; the specification on CUDA.
 *
 *   u = v - S k,  r = clip(u),  S' = a S + beta (v - [delta] a S k) k^T,
 *   R' = a R + gamma (r - [delta] a R k) k^T,  o = S' q, or [a] S q + [gamma] R' q
 *
 * Grid: a block for ROWS rows of V, of one sequence and head; a warp a row, a lane every 32nd of
 * its D elements. Shared: the token's five arrays [D] and the rows' states; states that do not fit
 * run in the final states' memory. Barriers: two a token. State and sums: f32 (f64). A token moves
 * its q, k once a block; a state is read once and written once. */
#include "ops/cuda/recurrence/reference_token.cuh"
#include "ops/cuda/recurrence/step.cuh"

enum { ROWS = 8 };

template <typename T>
struct reference_out {
  T *o;
  rilli_real<T> *s, *r, *states; /* r: NULL unless fitted; states: NULL when not training */
  bool shared;                   /* do states fit into shared memory? */
};

template <typename real>
static __device__ void copy_row(int64_t D, real *to, const real *from) {
  for (int64_t j = threadIdx.x % 32; j < D; j += 32) to[j] = from ? from[j] : (real)0;
}

template <typename T>
static __global__ void __launch_bounds__(32 * ROWS)
    forward(rilli_recur_problem<T> p, reference_out<T> out) {
  typedef rilli_real<T> real;
  int64_t D = p.D, W = p.V, slices = (W + ROWS - 1) / ROWS, warp = threadIdx.x / 32;
  int64_t item = blockIdx.x / slices, i = blockIdx.x % slices * ROWS + warp;
  int64_t sequence = item / p.H, head = item % p.H, row = (item * W + i) * D;
  bool active = i < W;
  real *keys = (real *)rilli_recur_memory, *own = keys + RILLI_RECUR_KEYS * D + warp * 2 * D;
  real *S = out.shared ? own : out.s + row, *R = out.shared ? own + D : out.r + row;
  if (active) {
    copy_row(D, S, p.s0 ? p.s0 + row : nullptr);
    if (p.fitted) copy_row(D, R, p.r0 ? p.r0 + row : nullptr);
  }
  int64_t first = p.first_token(sequence), end = p.first_token(sequence + 1);
  int64_t chunk = p.first_chunk(sequence), parts = p.fitted ? 2 : 1;
  for (int64_t token = first; token < end; token++) {
    int64_t at = token * p.H + head;
    if (out.states && active && (token - first) % p.C == 0) {
      int64_t saved = (((chunk + (token - first) / p.C) * p.H + head) * parts * W + i) * D;
      copy_row(D, out.states + saved, S);
      if (p.fitted) copy_row(D, out.states + saved + W * D, R);
    }
    __syncthreads();
    rilli_recur_read_keys(p, at, keys);
    __syncthreads();
    if (!active) continue;
    rilli_recur_token<real> t = rilli_recur_token_at(p, at, keys);
    rilli_recur_row<real> y = rilli_recur_read_row(p, t, (real)rilli_load(p.v[at * W + i]), S, R);
    real o = 0, factor = p.gated ? t.gamma : (real)1;
    if (p.residual) o = rilli_recur_sum<real>(D, [&](int64_t j) { return S[j] * t.aq[j]; });
    rilli_recur_write_row(D, t, S, S, t.beta * y.e);
    if (p.fitted) rilli_recur_write_row(D, t, R, R, t.gamma * y.f);
    const real *last = p.fitted ? R : S;
    real read = p.residual && !p.fitted
                    ? y.r * t.own
                    : rilli_recur_sum<real>(D, [&](int64_t j) { return last[j] * t.q[j]; });
    o = p.residual ? o + factor * read : read;
    if (threadIdx.x % 32 == 0) out.o[at * W + i] = rilli_store<T>(o);
  }
  if (!active || !out.shared) return;
  copy_row(D, out.s + row, S);
  if (p.fitted) copy_row(D, out.r + row, R);
}

template <typename T>
static bool run(const rill_call *call) {
  typedef rilli_real<T> real;
  enum { MOST = 96 * 1024 };
  rilli_recur_problem<T> p;
  if (!rilli_recur_problem_of(call, &p)) return false;
  size_t keys = (size_t)(RILLI_RECUR_KEYS * p.D) * sizeof(real);
  size_t states = (size_t)(ROWS * 2 * p.D) * sizeof(real);
  reference_out<T> out = {};
  out.o = (T *)call->out[OUT_O].data;
  out.s = (real *)call->out[OUT_S].data;
  out.r = p.fitted ? (real *)call->out[OUT_R].data : nullptr;
  out.states =
      rill_array_count(&call->out[OUT_STATES]) > 0 ? (real *)call->out[OUT_STATES].data : nullptr;
  out.shared = keys + states <= MOST;
  rilli_grid grid = rilli_grid_of(p.N * p.H * rilli_ceil_div(p.V, ROWS));
  return rilli_launch(call->env, forward<T>, grid, 32 * ROWS, keys + (out.shared ? states : 0), p,
                      out);
}

extern "C" bool rilli_cuda_recur_reference(const rill_call *call) {
  if (rilli_recur_step_fits(call)) return rilli_recur_step_run(call);
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[Q].dtype, T, done = run<T>(call));
  return done;
}
