/* softmax and log_softmax along any axis, and their derivatives.
 *
 *   softmax               y = e^(x - max) / sum e^(x - max)
 *   log_softmax           y = (x - max) - log sum e^(x - max)
 *   softmax_backward      dx = y (dy - sum y dy)
 *   log_softmax_backward  dx = dy - e^y sum dy
 *
 * Along the last axis: one group of threads a row (row.cuh: 8 threads to a block of 512), and rows
 * of up to 8192 elements of bf16 or 4096 of f32 are read once. Along another axis a thread of a
 * block of 256 owns a line and reads it up to three times; neighbouring threads read neighbouring
 * elements. Statistics in f32 (f64 for f64). Shared: a few bytes for sums over a block. Limits:
 * 2^31 - 1 blocks. */
#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

enum kind { SOFTMAX, LOG_SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD };
enum { LINES = 256 };

template <typename T>
struct softmax_lines {
  int64_t count, n, inner; /* elements of a line, and how far apart they are */
  const T *x, *dy;         /* x, or y for the derivatives */
  T *to;
};

template <kind KIND>
static constexpr bool is_backward() {
  return KIND == SOFTMAX_BACKWARD || KIND == LOG_SOFTMAX_BACKWARD;
}

/* What a derivative sums over a line. */
template <kind KIND, typename R>
static __device__ __forceinline__ R term(R y, R dy) {
  return KIND == SOFTMAX_BACKWARD ? y * dy : dy;
}
/* An element of the result; forward: a = max and b = 1 / sum or log sum; backward: a = the sum. */
template <kind KIND, typename R>
static __device__ __forceinline__ R result(R x, R dy, R a, R b) {
  switch (KIND) {
    case SOFTMAX:
      return rilli_exp_of(x - a) * b;
    case LOG_SOFTMAX:
      return (x - a) - b;
    case SOFTMAX_BACKWARD:
      return x * (dy - a);
    default:
      return dy - rilli_exp_of(x) * a;
  }
}
template <kind KIND, typename R>
static __device__ __forceinline__ R finish(R sum) {
  return KIND == SOFTMAX ? 1 / sum : rilli_log_of(sum);
}

template <typename T, kind KIND, class W>
static __global__ void __launch_bounds__(W::BLOCK) rows(softmax_lines<T> l) {
  typedef rilli_real<T> R;
  typename W::template in<T> x, dy;
  typename W::template out<T> y;
  int64_t row = (int64_t)blockIdx.x * W::GROUPS + W::number();
  int64_t n = row < l.count ? l.n : 0, at = row * l.n;
  x.load(l.x + at, n);
  dy.load(is_backward<KIND>() ? l.dy + at : nullptr, n);
  y.begin(l.to + at);
  R a, b = 0;
  if (is_backward<KIND>()) {
    R sum = 0;
    W::each(n, [&](int s, int64_t i) { sum += term<KIND>(x(s, i), dy(s, i)); });
    a = W::sum(sum);
  } else {
    R max = (R)-INFINITY, sum = 0;
    W::each(n, [&](int s, int64_t i) { max = x(s, i) > max ? x(s, i) : max; });
    a = W::max(max);
    W::each(n, [&](int s, int64_t i) { sum += rilli_exp_of(x(s, i) - a); });
    b = finish<KIND>(W::sum(sum));
  }
  W::each(n, [&](int s, int64_t i) {
    y.put(s, i, result<KIND>(x(s, i), is_backward<KIND>() ? dy(s, i) : (R)0, a, b));
  });
}

template <typename T, kind KIND>
static __global__ void __launch_bounds__(LINES) columns(softmax_lines<T> l) {
  typedef rilli_real<T> R;
  int64_t line = (int64_t)blockIdx.x * LINES + threadIdx.x;
  if (line >= l.count) return;
  int64_t outer = line / l.inner, at = outer * l.n * l.inner + line - outer * l.inner;
  const T *x = l.x + at, *dy = is_backward<KIND>() ? l.dy + at : nullptr;
  T *to = l.to + at;
  R a = is_backward<KIND>() ? (R)0 : (R)-INFINITY, b = 0;
  for (int64_t i = 0; i < l.n; i++) {
    R value = rilli_load(x[i * l.inner]);
    if (is_backward<KIND>())
      a += term<KIND>(value, rilli_load(dy[i * l.inner]));
    else
      a = value > a ? value : a;
  }
  if (!is_backward<KIND>()) {
    for (int64_t i = 0; i < l.n; i++) b += rilli_exp_of(rilli_load(x[i * l.inner]) - a);
    b = finish<KIND>(b);
  }
  for (int64_t i = 0; i < l.n; i++) {
    R d = is_backward<KIND>() ? rilli_load(dy[i * l.inner]) : (R)0;
    to[i * l.inner] = rilli_store<T>(result<KIND>(rilli_load(x[i * l.inner]), d, a, b));
  }
}

template <typename T, kind KIND>
static bool run_as(const rill_call *call) {
  const rill_array *x = &call->in[0];
  int axis = ((const rilli_softmax_attr *)call->attr)->axis;
  if (axis < 0) axis += x->rank;
  int64_t count = rill_array_count(x);
  if (count == 0) return true;
  softmax_lines<T> l = {};
  l.n = x->size[axis];
  l.count = count / l.n;
  l.inner = 1;
  for (int d = axis + 1; d < x->rank; d++) l.inner *= x->size[d];
  l.x = (const T *)x->data;
  l.dy = is_backward<KIND>() ? (const T *)call->in[1].data : nullptr;
  l.to = (T *)call->out[0].data;
  if (l.inner > 1)
    return rilli_launch(call->env, columns<T, KIND>, rilli_blocks(l.count, LINES), LINES, 0, l);
  return rilli_with_walk<T>(l.n, rilli_aligned(l.x, l.dy, l.to), [&](auto walk) {
    typedef decltype(walk) W;
    return rilli_launch(call->env, rows<T, KIND, W>, rilli_blocks(l.count, W::GROUPS), W::BLOCK, 0,
                        l);
  });
}

template <kind KIND>
static bool run(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_as<T, KIND>(call));
  return done;
}

extern "C" bool rilli_cuda_softmax(const rill_call *call) { return run<SOFTMAX>(call); }
extern "C" bool rilli_cuda_log_softmax(const rill_call *call) { return run<LOG_SOFTMAX>(call); }
extern "C" bool rilli_cuda_softmax_backward(const rill_call *call) {
  return run<SOFTMAX_BACKWARD>(call);
}
extern "C" bool rilli_cuda_log_softmax_backward(const rill_call *call) {
  return run<LOG_SOFTMAX_BACKWARD>(call);
}
