/* Layer norm over the last axis, and its derivative.
 *
 *   forward   y = h weight + bias,  h = (x - mean) r,  r = (var + eps)^-1/2
 *   backward  u = dy weight;  dx = r (u - mean(u) - h mean(u h))
 *             dweight = sum over rows of dy h;  dbias = sum over rows of dy
 *
 * Grid: forward one group of threads a row (row.cuh: 8 threads to a block of 512, each of which
 * owns up to 32 bytes of the row); backward as many blocks as are resident, whose groups take rows
 * in turn and keep their parts of dweight and dbias in registers. Further launches add the blocks'
 * parts in order. The variance is the mean square of x - mean, from the row in registers (f32; f64
 * for f64). Shared: a few bytes for sums over a block; backward up to 16 KiB to add the groups of a
 * block. Every row is read once and written once up to 8192 elements of bf16 or 4096 of f32 in rows
 * of whole 16 bytes; other rows are read again from cache. Limits: 2^31 - 1 blocks, else none. */
#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

enum { RESIDENT = 512 }; /* threads of a multiprocessor in the backward: what registers allow */

template <typename T>
struct layernorm_rows {
  int64_t count, n;
  rilli_real<T> eps;
  const T *x, *weight, *bias, *dy; /* weight, bias: or NULL; dy: backward */
  T *y;                            /* y, or dx */
  rilli_real<T> *dweight, *dbias;  /* parts, [parts, n], or NULL */
};

/* Mean of a row and its inverse deviation. */
template <class W, class In, typename R>
static __device__ __forceinline__ void measure(const In &x, int64_t n, int64_t size, R eps, R *mean,
                                               R *r) {
  R sum = 0, squares = 0;
  W::each(n, [&](int s, int64_t i) { sum += x(s, i); });
  R m = W::sum(sum) / (R)size;
  W::each(n, [&](int s, int64_t i) { squares += (x(s, i) - m) * (x(s, i) - m); });
  *mean = m;
  *r = rilli_inverse_sqrt(W::sum(squares) / (R)size + eps);
}

template <typename T, class W>
static __global__ void __launch_bounds__(W::BLOCK) forward(layernorm_rows<T> a) {
  typedef rilli_real<T> R;
  typename W::template in<T> x, weight, bias;
  typename W::template out<T> y;
  int64_t row = (int64_t)blockIdx.x * W::GROUPS + W::number();
  int64_t n = row < a.count ? a.n : 0, at = row * a.n;
  x.load(a.x + at, n);
  weight.load(a.weight, n);
  bias.load(a.bias, n);
  y.begin(a.y + at);
  R mean, r;
  measure<W>(x, n, a.n, a.eps, &mean, &r);
  W::each(n, [&](int s, int64_t i) {
    R value = (x(s, i) - mean) * r;
    if (a.weight) value *= weight(s, i);
    if (a.bias) value += bias(s, i);
    y.put(s, i, value);
  });
}

template <typename T, class W>
static __global__ void __launch_bounds__(W::BLOCK, RESIDENT / W::BLOCK)
    backward(layernorm_rows<T> a) {
  typedef rilli_real<T> R;
  typename W::template in<T> weight;
  typename W::template sums<R> dweight, dbias;
  weight.load(a.weight, a.n);
  if (a.dweight) dweight.begin(a.dweight, a.n);
  if (a.dbias) dbias.begin(a.dbias, a.n);
  for (int64_t first = (int64_t)blockIdx.x * W::GROUPS; first < a.count;
       first += (int64_t)gridDim.x * W::GROUPS) {
    typename W::template in<T> x, dy;
    typename W::template out<T> dx;
    int64_t row = first + W::number(), n = row < a.count ? a.n : 0, at = row * a.n;
    x.load(a.x + at, n);
    dy.load(a.dy + at, n);
    dx.begin(a.y + at);
    R mean, r, total[2] = {0, 0}; /* u, u h */
    measure<W>(x, n, a.n, a.eps, &mean, &r);
    W::each(n, [&](int s, int64_t i) {
      R u = a.weight ? dy(s, i) * weight(s, i) : dy(s, i);
      total[0] += u;
      total[1] += u * ((x(s, i) - mean) * r);
    });
    W::sum(total);
    R level = total[0] / (R)a.n, along = total[1] / (R)a.n;
    W::each(n, [&](int s, int64_t i) {
      R d = dy(s, i), u = a.weight ? d * weight(s, i) : d, h = (x(s, i) - mean) * r;
      if (a.dweight) dweight.add(s, i, d * h);
      if (a.dbias) dbias.add(s, i, d);
      dx.put(s, i, r * (u - level - h * along));
    });
  }
  if (a.dweight) dweight.end(a.dweight, a.n);
  if (a.dbias) dbias.end(a.dbias, a.n);
}

template <typename T>
static layernorm_rows<T> rows_of(const rill_call *call, const rill_array *x,
                                 const rill_array *weight) {
  layernorm_rows<T> a = {};
  a.count = rilli_row_count(x);
  a.n = x->size[x->rank - 1];
  a.eps = (rilli_real<T>)((const rilli_layernorm_attr *)call->attr)->eps;
  a.x = (const T *)x->data;
  a.weight = (const T *)rilli_data_of(weight);
  a.y = (T *)call->out[0].data;
  return a;
}

/* Inputs: x, weight, bias. */
template <typename T>
static bool run(const rill_call *call) {
  layernorm_rows<T> a = rows_of<T>(call, &call->in[0], &call->in[1]);
  a.bias = (const T *)rilli_data_of(&call->in[2]);
  return rilli_with_walk<T>(a.n, rilli_aligned(a.x, a.weight, a.bias, a.y), [&](auto walk) {
    typedef decltype(walk) W;
    return rilli_launch(call->env, forward<T, W>, rilli_blocks(a.count, W::GROUPS), W::BLOCK, 0, a);
  });
}

/* Inputs: dy, x, weight. */
template <typename T>
static bool run_backward(const rill_call *call) {
  typedef rilli_real<T> R;
  layernorm_rows<T> a = rows_of<T>(call, &call->in[1], &call->in[2]);
  bool bias = ((const rilli_layernorm_attr *)call->attr)->bias;
  a.dy = (const T *)call->in[0].data;
  return rilli_with_walk<T>(a.n, rilli_aligned(a.x, a.weight, a.dy, a.y), [&](auto walk) {
    typedef decltype(walk) W;
    int64_t blocks = rilli_resident_blocks<W, RESIDENT>(call->env, a.count);
    int64_t parts = W::parts(blocks);
    size_t bytes = (size_t)(parts * a.n) * sizeof(R);
    if (a.weight && !(a.dweight = (R *)rill_env_alloc(call->env, bytes))) return false;
    if (bias && !(a.dbias = (R *)rill_env_alloc(call->env, bytes))) return false;
    return rilli_launch(call->env, backward<T, W>, rilli_grid_of(blocks), W::BLOCK, 0, a) &&
           (!a.weight || rilli_launch_add_parts(call->env, (const R *)a.dweight, parts, a.n,
                                                (T *)call->out[1].data)) &&
           (!bias || rilli_launch_add_parts(call->env, (const R *)a.dbias, parts, a.n,
                                            (T *)call->out[2].data));
  });
}

extern "C" bool rilli_cuda_layernorm(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run<T>(call));
  return done;
}
extern "C" bool rilli_cuda_layernorm_backward(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_backward<T>(call));
  return done;
}
