/* What happens to queries and keys before the recurrence, l2norm, and their derivative.
 *
 *   forward   s = silu ? x sigmoid(x) : x,  y = norm ? s r : s,  r = (sum s^2 + eps)^-1/2
 *   backward  ds = norm ? r dy - s r^3 (s . dy) : dy,  dx = silu ? ds silu'(x) : ds
 *
 * Grid: one group of threads a row (row.cuh): 8 or 16 threads, each with 16 bytes, for the rows of
 * 64 or 128 elements that heads have, so that a block of 256 does 16 to 32 rows; a block for long
 * rows. Shared: a few bytes for sums over a block. Statistics in f32 (f64 for f64). Every element
 * is read once and written once up to 8192 elements of bf16 or 4096 of f32. Limits: 2^31 - 1
 * blocks, else none. */
#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

template <typename T>
struct qk_rows {
  int64_t count, n;
  rilli_real<T> eps;
  bool silu, norm;
  const T *x, *dy;
  T *y; /* y, or dx */
};

template <typename T, class W>
static __global__ void __launch_bounds__(W::BLOCK) forward(qk_rows<T> a) {
  typedef rilli_real<T> R;
  typename W::template in<T> x;
  typename W::template out<T> y;
  int64_t row = (int64_t)blockIdx.x * W::GROUPS + W::number();
  int64_t n = row < a.count ? a.n : 0, at = row * a.n;
  x.load(a.x + at, n);
  y.begin(a.y + at);
  R squares = 0, r = 1;
  if (a.norm) {
    W::each(n, [&](int s, int64_t i) {
      R value = x(s, i);
      if (a.silu) value *= rilli_sigmoid_of(value);
      squares += value * value;
    });
    r = rilli_inverse_sqrt(W::sum(squares) + a.eps);
  }
  W::each(n, [&](int s, int64_t i) {
    R value = x(s, i);
    if (a.silu) value *= rilli_sigmoid_of(value);
    y.put(s, i, value * r);
  });
}

template <typename T, class W>
static __global__ void __launch_bounds__(W::BLOCK) backward(qk_rows<T> a) {
  typedef rilli_real<T> R;
  typename W::template in<T> x, dy;
  typename W::template out<T> dx;
  int64_t row = (int64_t)blockIdx.x * W::GROUPS + W::number();
  int64_t n = row < a.count ? a.n : 0, at = row * a.n;
  x.load(a.x + at, n);
  dy.load(a.dy + at, n);
  dx.begin(a.y + at);
  R total[2] = {0, 0}, r = 1, c = 0; /* s^2, s dy */
  if (a.norm) {
    W::each(n, [&](int s, int64_t i) {
      R value = x(s, i);
      if (a.silu) value *= rilli_sigmoid_of(value);
      total[0] += value * value;
      total[1] += value * dy(s, i);
    });
    W::sum(total);
    r = rilli_inverse_sqrt(total[0] + a.eps);
    c = total[1] * r * r * r;
  }
  W::each(n, [&](int s, int64_t i) {
    R value = x(s, i), opened = a.silu ? rilli_sigmoid_of(value) : (R)1;
    R d = dy(s, i);
    if (a.norm) d = r * d - value * opened * c;
    if (a.silu) d *= rilli_silu_slope(value, opened);
    dx.put(s, i, d);
  });
}

template <typename T>
static bool run_as(const rill_call *call, const rill_array *x, const rill_array *dy) {
  const rilli_qk_prepare_attr *attr = (const rilli_qk_prepare_attr *)call->attr;
  qk_rows<T> a = {};
  a.count = rilli_row_count(x);
  a.n = x->size[x->rank - 1];
  a.eps = (rilli_real<T>)attr->eps;
  a.silu = attr->silu;
  a.norm = attr->norm;
  a.x = (const T *)x->data;
  a.dy = dy ? (const T *)dy->data : nullptr;
  a.y = (T *)call->out[0].data;
  return rilli_with_walk<T>(a.n, rilli_aligned(a.x, a.dy, a.y), [&](auto walk) {
    typedef decltype(walk) W;
    rilli_grid grid = rilli_blocks(a.count, W::GROUPS);
    return dy ? rilli_launch(call->env, backward<T, W>, grid, W::BLOCK, 0, a)
              : rilli_launch(call->env, forward<T, W>, grid, W::BLOCK, 0, a);
  });
}

static bool run(const rill_call *call, const rill_array *x, const rill_array *dy) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(x->dtype, T, done = run_as<T>(call, x, dy));
  return done;
}

extern "C" bool rilli_cuda_qk_prepare(const rill_call *call) {
  return run(call, &call->in[0], nullptr);
}
extern "C" bool rilli_cuda_qk_prepare_backward(const rill_call *call) {
  return run(call, &call->in[1], &call->in[0]);
}
