/* RMS norm, with or without the output gate of a mixer, and its derivative.
 *
 *   forward   y = x r weight silu(gate),  r = (mean x^2 + eps)^-1/2
 *   backward  d = dy silu(gate),  u = d weight
 *             dx = r u - x r^3 mean(u x)
 *             dgate = dy x r weight silu'(gate)
 *             dweight = sum over rows of d x r
 *
 * Grid: forward one group of threads a row (row.cuh: 8 threads to a block of 512, each of which
 * owns up to 32 bytes of the row); backward as many blocks as are resident, whose groups take rows
 * in turn and keep dweight's part in registers. A second launch adds the blocks' parts in order.
 * Shared: a few bytes for sums over a block; backward up to 16 KiB to add the groups of a block.
 * Statistics and sums in f32 (f64 for f64). Every row is read once and written once up to 8192
 * elements of bf16 or 4096 of f32 in rows of whole 16 bytes; other rows are read again from cache.
 * Limits: 2^31 - 1 blocks, else none. */
#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

template <typename T>
struct rmsnorm_rows {
  int64_t count, n;
  rilli_real<T> eps;
  const T *x, *gate, *weight, *dy; /* gate, weight: or NULL; dy: backward */
  T *y, *dgate;                    /* y, or dx */
  rilli_real<T> *part;             /* [parts, n] of dweight, or NULL */
};

template <typename T, bool GATED, class W>
static __global__ void __launch_bounds__(W::BLOCK) forward(rmsnorm_rows<T> a) {
  typedef rilli_real<T> R;
  typename W::template in<T> x, gate, weight;
  typename W::template out<T> y;
  int64_t row = (int64_t)blockIdx.x * W::GROUPS + W::number();
  int64_t n = row < a.count ? a.n : 0, at = row * a.n;
  x.load(a.x + at, n);
  gate.load(GATED ? a.gate + at : nullptr, n);
  weight.load(a.weight, n);
  y.begin(a.y + at);
  R squares = 0;
  W::each(n, [&](int s, int64_t i) { squares += x(s, i) * x(s, i); });
  R r = rilli_inverse_sqrt(W::sum(squares) / (R)a.n + a.eps);
  W::each(n, [&](int s, int64_t i) {
    R value = x(s, i) * r;
    if (a.weight) value *= weight(s, i);
    if (GATED) value *= gate(s, i) * rilli_sigmoid_of(gate(s, i));
    y.put(s, i, value);
  });
}

/* Threads of a multiprocessor in the backward: what registers allow. */
template <bool GATED>
static constexpr int resident() {
  return GATED ? 512 : 768;
}

template <typename T, bool GATED, class W>
static __global__ void __launch_bounds__(W::BLOCK, resident<GATED>() / W::BLOCK)
    backward(rmsnorm_rows<T> a) {
  typedef rilli_real<T> R;
  typename W::template in<T> weight;
  typename W::template sums<R> dweight;
  weight.load(a.weight, a.n);
  if (a.part) dweight.begin(a.part, a.n);
  for (int64_t first = (int64_t)blockIdx.x * W::GROUPS; first < a.count;
       first += (int64_t)gridDim.x * W::GROUPS) {
    typename W::template in<T> x, gate, dy;
    typename W::template out<T> dx, dgate;
    int64_t row = first + W::number(), n = row < a.count ? a.n : 0, at = row * a.n;
    x.load(a.x + at, n);
    gate.load(GATED ? a.gate + at : nullptr, n);
    dy.load(a.dy + at, n);
    dx.begin(a.y + at);
    dgate.begin(GATED ? a.dgate + at : nullptr);
    R total[2] = {0, 0}; /* x^2, u x */
    W::each(n, [&](int s, int64_t i) {
      R u = dy(s, i);
      if (GATED) u *= gate(s, i) * rilli_sigmoid_of(gate(s, i));
      if (a.weight) u *= weight(s, i);
      total[0] += x(s, i) * x(s, i);
      total[1] += u * x(s, i);
    });
    W::sum(total);
    R r = rilli_inverse_sqrt(total[0] / (R)a.n + a.eps), c = total[1] / (R)a.n * r * r * r;
    W::each(n, [&](int s, int64_t i) {
      R d = dy(s, i), w = a.weight ? weight(s, i) : (R)1, normed = x(s, i) * r;
      if (GATED) {
        R g = gate(s, i), opened = rilli_sigmoid_of(g);
        dgate.put(s, i, d * normed * w * rilli_silu_slope(g, opened));
        d *= g * opened;
      }
      if (a.part) dweight.add(s, i, d * normed);
      dx.put(s, i, r * (d * w) - x(s, i) * c);
    });
  }
  if (a.part) dweight.end(a.part, a.n);
}

template <typename T>
static rmsnorm_rows<T> rows_of(const rill_call *call, const rill_array *x, const rill_array *gate,
                               const rill_array *weight) {
  rmsnorm_rows<T> a = {};
  a.count = rilli_row_count(x);
  a.n = x->size[x->rank - 1];
  a.eps = (rilli_real<T>)((const rilli_rmsnorm_attr *)call->attr)->eps;
  a.x = (const T *)x->data;
  a.gate = gate ? (const T *)gate->data : nullptr;
  a.weight = (const T *)rilli_data_of(weight);
  a.y = (T *)call->out[0].data;
  return a;
}

template <typename T, bool GATED>
static bool run_forward(const rill_call *call, rmsnorm_rows<T> a) {
  return rilli_with_walk<T>(a.n, rilli_aligned(a.x, a.gate, a.weight, a.y), [&](auto walk) {
    typedef decltype(walk) W;
    return rilli_launch(call->env, forward<T, GATED, W>, rilli_blocks(a.count, W::GROUPS), W::BLOCK,
                        0, a);
  });
}

template <typename T, bool GATED>
static bool run_backward(const rill_call *call, rmsnorm_rows<T> a, const rill_array *dweight) {
  typedef rilli_real<T> R;
  bool aligned = rilli_aligned(a.x, a.gate, a.weight, a.dy, a.y, a.dgate);
  return rilli_with_walk<T>(a.n, aligned, [&](auto walk) {
    typedef decltype(walk) W;
    int64_t blocks = rilli_resident_blocks<W, resident<GATED>()>(call->env, a.count);
    int64_t parts = W::parts(blocks);
    if (a.weight) {
      a.part = (R *)rill_env_alloc(call->env, (size_t)(parts * a.n) * sizeof(R));
      if (!a.part) return false;
    }
    if (!rilli_launch(call->env, backward<T, GATED, W>, rilli_grid_of(blocks), W::BLOCK, 0, a))
      return false;
    return !a.weight ||
           rilli_launch_add_parts(call->env, (const R *)a.part, parts, a.n, (T *)dweight->data);
  });
}

/* Inputs: [dy,] x, [gate,] weight. */
template <typename T, bool GATED>
static bool run_as(const rill_call *call, bool back) {
  const rill_array *x = &call->in[back ? 1 : 0];
  rmsnorm_rows<T> a = rows_of<T>(call, x, GATED ? x + 1 : nullptr, GATED ? x + 2 : x + 1);
  if (!back) return run_forward<T, GATED>(call, a);
  a.dy = (const T *)call->in[0].data;
  a.dgate = GATED ? (T *)call->out[1].data : nullptr;
  return run_backward<T, GATED>(call, a, &call->out[GATED ? 2 : 1]);
}

template <bool GATED>
static bool run(const rill_call *call, bool back) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_as<T, GATED>(call, back));
  return done;
}

extern "C" bool rilli_cuda_rmsnorm(const rill_call *call) { return run<false>(call, false); }
extern "C" bool rilli_cuda_rmsnorm_gated(const rill_call *call) { return run<true>(call, false); }
extern "C" bool rilli_cuda_rmsnorm_backward(const rill_call *call) {
  return run<false>(call, true);
}
extern "C" bool rilli_cuda_rmsnorm_gated_backward(const rill_call *call) {
  return run<true>(call, true);
}
