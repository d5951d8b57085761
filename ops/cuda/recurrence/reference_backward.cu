/* The recurrence token by token, backward: the adjoint of reference_forward.cu, derived by hand.
 *
 *   dR += gbar do q^T;  df = gamma dR k;  dx = -[delta] df;  du = clip'(u) df
 *   dS += abar do q^T;  de = beta dS k;   dz = -[delta] de alpha - du;  dv = de + du
 *   dR' = a dR + a dx k^T,  dS' = a dS + dz k^T
 * dS and dR are the gradients of S_t and R_t as later tokens and the final states see them.
 *
 * Grid: a block for a sequence and head at a time, as many blocks as scratch allows; a warp takes
 * every WARPS-th row of V, a lane every 32nd element of D. The states before each token of a chunk
 * are recomputed from those saved at its start and lie in scratch, (C + 1) [V, D] a block. Shared:
 * the token's arrays, and dq, dk, da of each warp, which are added warp after warp: the same bits
 * every time. Barriers: two a token forward, four backward. State and sums: f32 (f64). */
#include "ops/cuda/recurrence/reference_token.cuh"

enum { WARPS = 8, SUMS = 3 /* dq dk da */, SINGLES = 3 /* dbeta dgamma down */ };

template <typename T>
struct reference_gradients {
  const rilli_real<T> *states, *ds_end, *dr_end; /* the latter may be NULL */
  const T *go;
  T *dq, *dk, *dv;
  rilli_real<T> *dg, *dbeta, *dgamma, *ds0, *dr0; /* may be NULL */
  rilli_real<T> *scratch;                         /* per_block of each block */
  int64_t per_block, longest;                     /* longest: tokens of the longest chunk */
  bool shared;                                    /* do the arrays fit into shared memory? */
};

/* A block's work on a sequence and head. */
template <typename T>
struct reference_pass {
  typedef rilli_real<T> real;
  const rilli_recur_problem<T> &p;
  const reference_gradients<T> &out;
  real *keys, *sums, *singles; /* [5, D] [WARPS, SUMS, D] [WARPS, SINGLES] */
  real *dS, *dR, *S, *R;       /* [V, D] [V, D] [C + 1, V, D] [C + 1, V, D] */
  int64_t sequence, head, size;

  __device__ int lane() const { return threadIdx.x % 32; }
  __device__ int warp() const { return threadIdx.x / 32; }

  __device__ void copy(real *to, const real *from) const {
    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) to[i] = from ? from[i] : (real)0;
  }

  /* The states before each token of the chunk, and after its last. */
  __device__ void replay(int64_t first, int64_t tokens, int64_t chunk) const {
    int64_t D = p.D, parts = p.fitted ? 2 : 1;
    const real *saved = out.states + (chunk * p.H + head) * parts * size;
    copy(S, saved);
    if (p.fitted) copy(R, saved + size);
    for (int64_t n = 0; n < tokens; n++) {
      int64_t at = (first + n) * p.H + head;
      __syncthreads();
      rilli_recur_read_keys(p, at, keys);
      __syncthreads();
      rilli_recur_token<real> t = rilli_recur_token_at(p, at, keys);
      for (int64_t i = warp(); i < p.V; i += WARPS) {
        real *s = S + n * size + i * D, *r = R + n * size + i * D;
        rilli_recur_row<real> y =
            rilli_recur_read_row(p, t, (real)rilli_load(p.v[at * p.V + i]), s, r);
        rilli_recur_write_row(D, t, s + size, s, t.beta * y.e);
        if (p.fitted) rilli_recur_write_row(D, t, r + size, r, t.gamma * y.f);
      }
    }
  }

  /* R's part of a row; the gradient of r. */
  __device__ real row_of_r(const rilli_recur_token<real> &t, const rilli_recur_row<real> &y,
                           real go, real *dr, const real *r, const real *next, real *sum,
                           real *single) const {
    int64_t D = p.D;
    real read = (p.gated ? t.gamma : (real)1) * go;
    if (p.gated)
      single[1] += go * rilli_recur_sum<real>(D, [&](int64_t j) { return next[j] * t.q[j]; });
    for (int64_t j = lane(); j < D; j += 32) {
      sum[j] += read * next[j];
      dr[j] += read * t.q[j];
    }
    real write = rilli_recur_sum<real>(D, [&](int64_t j) { return dr[j] * t.k[j]; });
    real df = t.gamma * write, dx = p.delta ? -df : (real)0, put = t.gamma * y.f;
    single[1] += y.f * write;
    for (int64_t j = lane(); j < D; j += 32) {
      sum[D + j] += put * dr[j] + dx * t.a[j] * r[j];
      sum[2 * D + j] += (dr[j] + dx * t.k[j]) * r[j];
      dr[j] = t.a[j] * dr[j] + dx * t.ak[j];
    }
    return df;
  }

  /* S's part of a row; the gradient of v. */
  __device__ real row_of_s(const rilli_recur_token<real> &t, const rilli_recur_row<real> &y,
                           real go, real du, real *ds, const real *s, const real *next, real *sum,
                           real *single) const {
    int64_t D = p.D;
    if (!p.residual) {
      for (int64_t j = lane(); j < D; j += 32) {
        sum[j] += go * next[j];
        ds[j] += go * t.q[j];
      }
    }
    real write = rilli_recur_sum<real>(D, [&](int64_t j) { return ds[j] * t.k[j]; });
    real de = t.beta * write, dx = p.delta ? -de : (real)0, put = t.beta * y.e;
    single[0] += y.e * write;
    real read = p.residual ? go : (real)0, gated = p.gated ? go : (real)0, plain = read - gated;
    for (int64_t j = lane(); j < D; j += 32) {
      real a = t.a[j];
      sum[j] += (gated * a + plain) * s[j];
      sum[D + j] += put * ds[j] + (dx * a - du) * s[j];
      sum[2 * D + j] += (ds[j] + dx * t.k[j] + gated * t.q[j]) * s[j];
      ds[j] = a * ds[j] + dx * t.ak[j] - du * t.k[j] + read * t.aq[j];
    }
    return de + du;
  }

  __device__ void rows(const rilli_recur_token<real> &t, int64_t at, int64_t n) const {
    int64_t D = p.D;
    real *sum = sums + warp() * SUMS * D, single[SINGLES] = {0, 0, 0};
    for (int64_t j = lane(); j < SUMS * D; j += 32) sum[j] = 0;
    __syncwarp();
    for (int64_t i = warp(); i < p.V; i += WARPS) {
      const real *s = S + n * size + i * D, *r = R + n * size + i * D;
      real go = rilli_load(out.go[at * p.V + i]), factor = p.gated ? t.gamma : (real)1, dr = 0;
      rilli_recur_row<real> y =
          rilli_recur_read_row(p, t, (real)rilli_load(p.v[at * p.V + i]), s, r);
      if (p.fitted) {
        dr = row_of_r(t, y, go, dR + i * D, r, r + size, sum, single);
      } else if (p.residual) {
        dr = factor * t.own * go;
        if (p.gated) single[1] += go * y.r * t.own;
        single[2] += factor * go * y.r;
      }
      real du = p.residual ? rilli_recur_slope(p.clip, (real)p.bound, y.u, y.r) * dr : (real)0;
      real dv = row_of_s(t, y, go, du, dS + i * D, s, s + size, sum, single);
      if (lane() == 0) out.dv[at * p.V + i] = rilli_store<T>(dv);
    }
    if (lane() == 0)
      for (int i = 0; i < SINGLES; i++) singles[warp() * SINGLES + i] = single[i];
  }

  __device__ real total(const real *x, int64_t stride) const {
    real sum = 0;
    for (int w = 0; w < WARPS; w++) sum += x[w * stride];
    return sum;
  }

  /* Adds the warps and writes the token's gradients. */
  __device__ void write(const rilli_recur_token<real> &t, int64_t at) const {
    int64_t D = p.D;
    real dbeta = total(singles, SINGLES), dgamma = total(singles + 1, SINGLES);
    real down = total(singles + 2, SINGLES);
    for (int64_t j = threadIdx.x; j < D; j += blockDim.x) {
      out.dq[at * D + j] = rilli_store<T>(total(sums + j, SUMS * D) + down * t.k[j]);
      out.dk[at * D + j] = rilli_store<T>(total(sums + D + j, SUMS * D) + down * t.q[j]);
      if (out.dg && p.channel) out.dg[at * D + j] = t.a[j] * total(sums + 2 * D + j, SUMS * D);
    }
    if (out.dg && !p.channel && warp() == 0) {
      real dg = rilli_recur_sum<real>(
          D, [&](int64_t j) { return t.a[j] * total(sums + 2 * D + j, SUMS * D); });
      if (lane() == 0) out.dg[at] = dg;
    }
    if (threadIdx.x != 0) return;
    if (out.dbeta) out.dbeta[at] = dbeta + (p.tied ? dgamma : (real)0);
    if (out.dgamma && !p.tied) out.dgamma[at] = dgamma;
  }

  __device__ void run() const {
    int64_t from = p.first_token(sequence), end = p.first_token(sequence + 1);
    int64_t chunks = (end - from + p.C - 1) / p.C, state = (sequence * p.H + head) * size;
    copy(dS, out.ds_end ? out.ds_end + state : nullptr);
    if (p.fitted) copy(dR, out.dr_end ? out.dr_end + state : nullptr);
    for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
      int64_t first = from + chunk * p.C, tokens = end - first < p.C ? end - first : p.C;
      __syncthreads();
      replay(first, tokens, p.first_chunk(sequence) + chunk);
      for (int64_t n = tokens - 1; n >= 0; n--) {
        int64_t at = (first + n) * p.H + head;
        __syncthreads();
        rilli_recur_read_keys(p, at, keys);
        __syncthreads();
        rilli_recur_token<real> t = rilli_recur_token_at(p, at, keys);
        rows(t, at, n);
        __syncthreads();
        write(t, at);
      }
    }
    __syncthreads();
    if (out.ds0) copy(out.ds0 + state, dS);
    if (p.fitted && out.dr0) copy(out.dr0 + state, dR);
    __syncthreads();
  }
};

template <typename T>
static __global__ void __launch_bounds__(32 * WARPS)
    backward(rilli_recur_problem<T> p, reference_gradients<T> out) {
  typedef rilli_real<T> real;
  real *block = out.scratch + blockIdx.x * out.per_block;
  int64_t size = p.V * p.D, states = (out.longest + 1) * size;
  reference_pass<T> x = {p, out};
  x.size = size;
  x.dS = block, x.dR = x.dS + size, x.S = x.dR + size, x.R = x.S + states;
  x.keys = out.shared ? (real *)rilli_recur_memory : x.R + (p.fitted ? states : 0);
  x.sums = x.keys + RILLI_RECUR_KEYS * p.D;
  x.singles = x.sums + WARPS * SUMS * p.D;
  for (int64_t item = blockIdx.x; item < p.N * p.H; item += gridDim.x) {
    x.sequence = item / p.H, x.head = item % p.H;
    x.run();
  }
}

template <typename T>
static bool run(const rill_call *call) {
  typedef rilli_real<T> real;
  enum { MOST_SHARED = 96 * 1024, MOST_SCRATCH = 512 << 20, MOST_BLOCKS = 1024 };
  const rill_array *in = call->in;
  rilli_recur_problem<T> p;
  if (!rilli_recur_problem_of(call, &p)) return false;
  reference_gradients<T> out = {};
  out.states = rilli_recur_operand<const real>(&in[STATES]);
  out.go = rilli_recur_operand<const T>(&in[DO]);
  out.ds_end = rilli_recur_operand<const real>(&in[DS]);
  out.dr_end = rilli_recur_operand<const real>(&in[DR]);
  void *to[R0 + 1];
  for (int i = Q; i <= R0; i++) to[i] = rill_present(&in[i]) ? call->out[i].data : nullptr;
  out.dq = (T *)to[Q], out.dk = (T *)to[K], out.dv = (T *)to[V];
  out.dg = (real *)to[G], out.dbeta = (real *)to[BETA], out.dgamma = (real *)to[GAMMA];
  out.ds0 = (real *)to[S0], out.dr0 = (real *)to[R0];
  out.longest = p.length < p.C ? p.length : p.C;
  int64_t arrays = (RILLI_RECUR_KEYS + WARPS * SUMS) * p.D + WARPS * SINGLES;
  out.shared = arrays * (int64_t)sizeof(real) <= MOST_SHARED;
  out.per_block =
      p.V * p.D * (2 + (p.fitted ? 2 : 1) * (out.longest + 1)) + (out.shared ? 0 : arrays);
  int64_t bytes = out.per_block * (int64_t)sizeof(real), items = p.N * p.H;
  int64_t blocks = bytes > 0 ? MOST_SCRATCH / bytes : MOST_BLOCKS;
  if (blocks > MOST_BLOCKS) blocks = MOST_BLOCKS;
  if (blocks < 1) blocks = 1;
  if (blocks > items) blocks = items;
  if (blocks == 0) return true;
  out.scratch = (real *)rill_env_alloc(call->env, (size_t)(blocks * bytes));
  if (!out.scratch) return false;
  return rilli_launch(call->env, backward<T>, rilli_grid_of(blocks), 32 * WARPS,
                      out.shared ? (size_t)arrays * sizeof(real) : 0, p, out);
}

extern "C" bool rilli_cuda_recur_reference_backward(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[Q].dtype, T, done = run<T>(call));
  return done;
}
