/* logsumexp: m + ln sum e^(x - m) along an axis, m the largest element (0 if that is infinite).
 *
 * Grid, block: lines.cuh. Two passes over a line: its largest element, then the sum, whose terms
 * are f32 (f64 for f64) and whose total is f64. Shared: 2 KiB. Limits: 2^31 - 1 blocks. */
#include <math_constants.h>

#include "ops/cuda/lines.cuh"

enum { THREADS = RILLI_LINES_THREADS };

/* The threads of every line put together in a fixed order; all get the result. `shared` is free
 * again after a barrier. */
template <class Combine>
static __device__ __forceinline__ double together(const rilli_lines &l, const rilli_line &line,
                                                  double *shared, double mine, Combine f) {
  int slot = line.slot(l);
  shared[slot] = mine;
  for (int half = l.rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (line.row < half) shared[slot] = mine = f(mine, shared[slot + half * l.lanes]);
  }
  __syncthreads();
  return shared[line.lane];
}

template <typename T>
static __global__ void __launch_bounds__(THREADS) logsumexp(rilli_lines l, const T *x, T *y) {
  typedef rilli_real<T> R;
  __shared__ double shared[THREADS];
  rilli_line line(l);
  bool inside = line.number < l.count;
  int64_t size = inside ? l.size : 0;
  x += line.at;
  R top = -(R)CUDART_INF;
#pragma unroll 4
  for (int64_t k = line.row; k < size; k += l.rows) {
    R now = rilli_load(x[k * l.inner]);
    top = now > top ? now : top; /* never NaN */
  }
  top = (R)together(l, line, shared, top, [](double a, double b) { return b > a ? b : a; });
  R shift = isinf(top) ? (R)0 : top;
  double total = 0;
#pragma unroll 4
  for (int64_t k = line.row; k < size; k += l.rows)
    total += (double)exp(rilli_load(x[k * l.inner]) - shift);
  __syncthreads();
  total = together(l, line, shared, total, [](double a, double b) { return a + b; });
  if (line.row == 0 && inside) y[line.number] = rilli_store<T>((double)shift + log(total));
}

extern "C" bool rilli_cuda_logsumexp(const rill_call *call) {
  const rill_array *x = &call->in[0];
  rilli_axis_fold f = rilli_lines_fold(x, ((const rilli_axis_attr *)call->attr)->axis);
  if (f.outer * f.inner == 0) return true;
  rilli_lines l = rilli_lines_of(f);
  bool done = false;
  RILLI_DISPATCH_FLOAT(x->dtype, T,
                       done = rilli_launch(call->env, logsumexp<T>, rilli_lines_grid(l), THREADS, 0,
                                           l, (const T *)x->data, (T *)call->out[0].data));
  return done;
}
