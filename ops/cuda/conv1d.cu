/* Causal depthwise convolution over time and its derivative, for up to four taps.
 *
 *   forward   z[t] = bias + sum_k weight[k] x[t - W + 1 + k];  y = silu ? z sigmoid(z) : z
 *   backward  dz = silu ? dy silu'(z) : dy, with z computed again
 *             dx[t] = sum_k weight[k] dz[t + W - 1 - k], also for t < 0 (the state)
 *             dweight[k] = sum dz[t] x[t - W + 1 + k];  dbias = sum dz
 *
 * Grid: flat over (sequence, piece of tokens, V channels), channels fastest, so that accesses
 * coalesce; blocks of 128 threads. A thread owns V = 4 channels (1 when C is no multiple of 4, rows
 * are not aligned, or in f64) of a piece, and walks its tokens with the last W rows of x, and of
 * dz, in registers: memory is read once, but for W - 1 rows at the ends of a piece. Pieces are of
 * 32 tokens forward; backward of so many that there are about 256, each of which leaves its sums
 * for dweight and dbias in scratch memory. A second launch adds these in order. Sums in f32 (f64
 * for f64). No shared memory in the first launch. More taps: conv1d_any.cu. Limits: 2^31 - 1
 * blocks. */
#include "ops/cuda/conv1d.cuh"

enum { FORWARD_PIECE = 32, LEAST_PIECE = 32, PARTS = 256 };

template <int V, typename T>
static __device__ __forceinline__ void load(const T *row, int64_t c, rilli_real<T> (&to)[V]) {
  if (!row) {
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = 0;
    return;
  }
  rilli_vector<T, V> vector = *(const rilli_vector<T, V> *)(row + c);
#pragma unroll
  for (int v = 0; v < V; v++) to[v] = rilli_load(vector.at[v]);
}
template <int V, typename T>
static __device__ __forceinline__ void store(T *row, int64_t c, const rilli_real<T> (&from)[V]) {
  rilli_vector<T, V> vector;
#pragma unroll
  for (int v = 0; v < V; v++) vector.at[v] = rilli_store<T>(from[v]);
  *(rilli_vector<T, V> *)(row + c) = vector;
}

/* The channels, the tokens and the taps of a thread. */
template <typename T, int V, int W>
struct place {
  typedef rilli_real<T> R;
  int64_t c, b, piece, t0, t1;
  R weight[W][V], bias[V];

  __device__ __forceinline__ bool find(const rilli_conv<T> &a) {
    int64_t item = (int64_t)blockIdx.x * RILLI_CONV_BLOCK + threadIdx.x, per = a.C / V;
    piece = item / per;
    if (piece >= a.B * a.pieces) return false;
    c = (item - piece * per) * V;
    b = piece / a.pieces;
    t0 = (piece - b * a.pieces) * a.piece;
    t1 = t0 + a.piece < a.T_ ? t0 + a.piece : a.T_;
#pragma unroll
    for (int v = 0; v < V; v++)
#pragma unroll
      for (int k = 0; k < W; k++) weight[k][v] = rilli_load(a.weight[(c + v) * W + k]);
#pragma unroll
    for (int v = 0; v < V; v++) bias[v] = a.bias ? rilli_load(a.bias[c + v]) : (R)0;
    return true;
  }
  /* Rows t0 - W + 1 ... t0 - 1 of x, as the last of a window. */
  __device__ __forceinline__ void begin(const rilli_conv<T> &a, R (&x)[W][V]) const {
#pragma unroll
    for (int k = 1; k < W; k++) load<V>(a.row(b, t0 - W + k), c, x[k]);
  }
  static __device__ __forceinline__ void shift(R (&window)[W][V]) {
#pragma unroll
    for (int k = 0; k + 1 < W; k++)
#pragma unroll
      for (int v = 0; v < V; v++) window[k][v] = window[k + 1][v];
  }
  __device__ __forceinline__ R z(const R (&x)[W][V], int v) const {
    R sum = weight[0][v] * x[0][v];
#pragma unroll
    for (int k = 1; k < W; k++) sum += weight[k][v] * x[k][v];
    return sum + bias[v];
  }
};

template <typename T, int V, int W>
static __global__ void __launch_bounds__(RILLI_CONV_BLOCK) forward(rilli_conv<T> a) {
  typedef rilli_real<T> R;
  place<T, V, W> p;
  if (!p.find(a)) return;
  R x[W][V], y[V];
  p.begin(a, x);
  const T *__restrict__ from = a.x + (p.b * a.T_ + p.t0) * a.C;
  T *__restrict__ to = a.y + (p.b * a.T_ + p.t0) * a.C;
#pragma unroll 4
  for (int64_t t = p.t0; t < p.t1; t++, from += a.C, to += a.C) {
    p.shift(x);
    load<V>(from, p.c, x[W - 1]);
#pragma unroll
    for (int v = 0; v < V; v++) {
      R z = p.z(x, v);
      y[v] = a.silu ? z * rilli_sigmoid_of(z) : z;
    }
    store<V>(to, p.c, y);
  }
}

/* Token u of the walk: dz[u], which gives dx[u - W + 1]. */
template <typename T, int V, int W>
static __global__ void __launch_bounds__(RILLI_CONV_BLOCK) backward(rilli_conv<T> a) {
  typedef rilli_real<T> R;
  place<T, V, W> p;
  if (!p.find(a)) return;
  R x[W][V], dz[W][V] = {}, dweight[W][V] = {}, dbias[V] = {};
  p.begin(a, x);
#pragma unroll 2
  for (int64_t u = p.t0; u < p.t1 + W - 1; u++) {
    p.shift(x);
    p.shift(dz);
#pragma unroll
    for (int v = 0; v < V; v++) dz[W - 1][v] = 0;
    if (u < a.T_) {
      load<V>(a.x + (p.b * a.T_ + u) * a.C, p.c, x[W - 1]);
      load<V>(a.dy + (p.b * a.T_ + u) * a.C, p.c, dz[W - 1]);
      if (a.silu) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          R z = p.z(x, v);
          dz[W - 1][v] *= rilli_silu_slope(z, rilli_sigmoid_of(z));
        }
      }
    }
    if (u < p.t1) {
#pragma unroll
      for (int v = 0; v < V; v++) {
#pragma unroll
        for (int k = 0; k < W; k++) dweight[k][v] += dz[W - 1][v] * x[k][v];
        dbias[v] += dz[W - 1][v];
      }
    }
    int64_t t = u - W + 1;
    T *to = t >= p.t0 || p.t0 == 0 ? a.drow(p.b, t) : nullptr;
    if (!to) continue;
    R dx[V];
#pragma unroll
    for (int v = 0; v < V; v++) {
      dx[v] = p.weight[0][v] * dz[W - 1][v];
#pragma unroll
      for (int k = 1; k < W; k++) dx[v] += p.weight[k][v] * dz[W - 1 - k][v];
    }
    store<V>(to, p.c, dx);
  }
#pragma unroll
  for (int v = 0; v < V; v++) {
#pragma unroll
    for (int k = 0; k < W; k++) a.dweight[(p.piece * a.C + p.c + v) * W + k] = dweight[k][v];
    if (a.dbias) a.dbias[p.piece * a.C + p.c + v] = dbias[v];
  }
}

template <typename T, int V, int W>
static bool launch(const rill_env *env, const rilli_conv<T> &a) {
  rilli_grid grid = rilli_blocks(a.B * a.pieces * (a.C / V), RILLI_CONV_BLOCK);
  return a.dy ? rilli_launch(env, backward<T, V, W>, grid, RILLI_CONV_BLOCK, 0, a)
              : rilli_launch(env, forward<T, V, W>, grid, RILLI_CONV_BLOCK, 0, a);
}
template <typename T, int V>
static bool launch_taps(rill_env *env, const rilli_conv<T> &a) {
  switch (a.W) {
    case 1:
      return launch<T, V, 1>(env, a);
    case 2:
      return launch<T, V, 2>(env, a);
    case 3:
      return launch<T, V, 3>(env, a);
    case 4:
      return launch<T, V, 4>(env, a);
    default:
      return a.dy ? rilli_conv_any_backward(env, a) : rilli_conv_any(env, a);
  }
}
template <typename T>
static bool launch_all(rill_env *env, const rilli_conv<T> &a) {
  constexpr int V = sizeof(T) < 8 ? 4 : 1;
  bool aligned = a.C % 4 == 0 && rilli_aligned(a.x, a.state, a.y, a.dy, a.dx, a.dstate);
  return aligned ? launch_taps<T, V>(env, a) : launch_taps<T, 1>(env, a);
}

/* Operands of call->in[at ...]: x, weight, bias, state. */
template <typename T>
static rilli_conv<T> conv_of(const rill_call *call, int at) {
  const rill_array *in = call->in + at;
  rilli_conv<T> a = {};
  a.B = in[0].size[0], a.T_ = in[0].size[1], a.C = in[0].size[2], a.W = in[1].size[1];
  a.silu = ((const rilli_conv1d_attr *)call->attr)->silu;
  a.x = (const T *)in[0].data;
  a.weight = (const T *)in[1].data;
  a.bias = (const T *)rilli_data_of(&in[2]);
  a.state = (const T *)rilli_data_of(&in[3]);
  return a;
}

template <typename T>
static bool run(const rill_call *call) {
  rilli_conv<T> a = conv_of<T>(call, 0);
  a.y = (T *)call->out[0].data;
  a.piece = FORWARD_PIECE;
  a.pieces = rilli_ceil_div(a.T_, a.piece);
  return a.C == 0 || launch_all(call->env, a);
}

template <typename T>
static bool run_backward(const rill_call *call) {
  typedef rilli_real<T> R;
  rilli_conv<T> a = conv_of<T>(call, 1);
  if (a.C == 0) return true;
  a.dy = (const T *)call->in[0].data;
  a.dx = (T *)call->out[0].data;
  a.dstate = a.state ? (T *)call->out[3].data : nullptr;
  a.piece = rilli_ceil_div(a.B * a.T_, PARTS);
  if (a.piece < LEAST_PIECE) a.piece = LEAST_PIECE;
  a.pieces = rilli_ceil_div(a.T_, a.piece);
  if (a.pieces == 0) a.pieces = 1; /* the gradient of the state is written there */
  int64_t parts = a.B * a.pieces;
  a.dweight = (R *)rill_env_alloc(call->env, (size_t)(parts * a.C * a.W) * sizeof(R));
  if (a.bias) a.dbias = (R *)rill_env_alloc(call->env, (size_t)(parts * a.C) * sizeof(R));
  if (!a.dweight || (a.bias && !a.dbias) || !launch_all(call->env, a)) return false;
  return rilli_launch_add_parts(call->env, (const R *)a.dweight, parts, a.C * a.W,
                                (T *)call->out[1].data) &&
         (!a.bias || rilli_launch_add_parts(call->env, (const R *)a.dbias, parts, a.C,
                                            (T *)call->out[2].data));
}

extern "C" bool rilli_cuda_conv1d_causal(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run<T>(call));
  return done;
}
extern "C" bool rilli_cuda_conv1d_causal_backward(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_backward<T>(call));
  return done;
}
