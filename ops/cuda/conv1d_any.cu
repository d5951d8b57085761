/* Causal depthwise convolution and its derivative for any number of taps; conv1d.cu has the
 * equations and the kernels for up to four.
 *
 * Forward: a thread owns one element of y. Backward: dz goes to scratch memory in f32 (f64 for
 * f64), one element a thread; then a thread owns one element of dx or of the state's gradient, and
 * another launch one tap of one channel (or its bias) of a piece of tokens, whose sum it leaves for
 * a second launch of conv1d.cu. Blocks of 128 threads, channels fastest. No shared memory. Limits:
 * 2^31 - 1 blocks. */
#include "ops/cuda/conv1d.cuh"

template <typename T>
static __device__ rilli_real<T> z_at(const rilli_conv<T> &a, int64_t b, int64_t t, int64_t c) {
  rilli_real<T> z = 0;
  for (int64_t k = 0; k < a.W; k++) {
    const T *row = a.row(b, t - a.W + 1 + k);
    if (row) z += rilli_load(a.weight[c * a.W + k]) * rilli_load(row[c]);
  }
  return z + (a.bias ? rilli_load(a.bias[c]) : 0);
}

/* dz NULL: y. */
template <typename T>
static __global__ void each(rilli_conv<T> a, rilli_real<T> *dz) {
  typedef rilli_real<T> R;
  int64_t i = (int64_t)blockIdx.x * RILLI_CONV_BLOCK + threadIdx.x;
  if (i >= a.B * a.T_ * a.C) return;
  int64_t row = i / a.C, c = i - row * a.C, b = row / a.T_, t = row - b * a.T_;
  if (!dz) {
    R z = z_at(a, b, t, c);
    a.y[i] = rilli_store<T>(a.silu ? z * rilli_sigmoid_of(z) : z);
  } else {
    R d = rilli_load(a.dy[i]);
    if (a.silu) {
      R z = z_at(a, b, t, c);
      d *= rilli_silu_slope(z, rilli_sigmoid_of(z));
    }
    dz[i] = d;
  }
}

/* Rows of a sequence: those of the state, if any, then those of x. */
template <typename T>
static __global__ void inputs(rilli_conv<T> a, const rilli_real<T> *dz) {
  int64_t before = a.dstate ? a.W - 1 : 0, rows = before + a.T_;
  int64_t i = (int64_t)blockIdx.x * RILLI_CONV_BLOCK + threadIdx.x;
  if (i >= a.B * rows * a.C) return;
  int64_t row = i / a.C, c = i - row * a.C, b = row / rows, t = row - b * rows - before;
  rilli_real<T> sum = 0;
  for (int64_t k = 0; k < a.W; k++) {
    int64_t from = t + a.W - 1 - k;
    if (from >= 0 && from < a.T_)
      sum += rilli_load(a.weight[c * a.W + k]) * dz[(b * a.T_ + from) * a.C + c];
  }
  a.drow(b, t)[c] = rilli_store<T>(sum);
}

/* Tap W is the bias. */
template <typename T>
static __global__ void taps(rilli_conv<T> a, const rilli_real<T> *dz) {
  int64_t i = (int64_t)blockIdx.x * RILLI_CONV_BLOCK + threadIdx.x;
  int64_t rest = i / a.C, c = i - rest * a.C, piece = rest / (a.W + 1);
  int64_t k = rest - piece * (a.W + 1), b = piece / a.pieces;
  if (piece >= a.B * a.pieces || (k == a.W && !a.dbias)) return;
  int64_t t0 = (piece - b * a.pieces) * a.piece, t1 = t0 + a.piece < a.T_ ? t0 + a.piece : a.T_;
  rilli_real<T> sum = 0;
  for (int64_t t = t0; t < t1; t++) {
    rilli_real<T> d = dz[(b * a.T_ + t) * a.C + c];
    const T *row = k < a.W ? a.row(b, t - a.W + 1 + k) : nullptr;
    if (k == a.W)
      sum += d;
    else if (row)
      sum += d * rilli_load(row[c]);
  }
  if (k == a.W)
    a.dbias[piece * a.C + c] = sum;
  else
    a.dweight[(piece * a.C + c) * a.W + k] = sum;
}

static rilli_grid blocks(int64_t n) { return rilli_blocks(n, RILLI_CONV_BLOCK); }

template <typename T>
bool rilli_conv_any(rill_env *env, const rilli_conv<T> &a) {
  return rilli_launch(env, each<T>, blocks(a.B * a.T_ * a.C), RILLI_CONV_BLOCK, 0, a,
                      (rilli_real<T> *)nullptr);
}

template <typename T>
bool rilli_conv_any_backward(rill_env *env, const rilli_conv<T> &a) {
  typedef rilli_real<T> R;
  int64_t count = a.B * a.T_ * a.C, all = count + (a.dstate ? a.B * (a.W - 1) * a.C : 0);
  int64_t sums = a.B * a.pieces * (a.W + 1) * a.C;
  R *dz = (R *)rill_env_alloc(env, (size_t)count * sizeof(R));
  return dz && rilli_launch(env, each<T>, blocks(count), RILLI_CONV_BLOCK, 0, a, dz) &&
         rilli_launch(env, inputs<T>, blocks(all), RILLI_CONV_BLOCK, 0, a, (const R *)dz) &&
         rilli_launch(env, taps<T>, blocks(sums), RILLI_CONV_BLOCK, 0, a, (const R *)dz);
}

template bool rilli_conv_any(rill_env *, const rilli_conv<float> &);
template bool rilli_conv_any(rill_env *, const rilli_conv<double> &);
template bool rilli_conv_any(rill_env *, const rilli_conv<__nv_bfloat16> &);
template bool rilli_conv_any_backward(rill_env *, const rilli_conv<float> &);
template bool rilli_conv_any_backward(rill_env *, const rilli_conv<double> &);
template bool rilli_conv_any_backward(rill_env *, const rilli_conv<__nv_bfloat16> &);
