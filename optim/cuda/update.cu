/* The parameter updates of the optimizers, each in one pass over a parameter and its state.
 * g is the gradient times scale.
 *
 *   adamw  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *          w = shrink w - rate m / (sqrt(v) root + eps)
 *   sgd    u = momentum u + g;  w = shrink w - lr (nesterov ? g + momentum u : u)
 *
 * with shrink = 1 - lr decay; scale, lr, rate and root are in the plan (optim/attributes.h), which
 * also says whether to update at all.
 *
 * f32 and f64 in place; for bf16 the master copy in f32 is updated and w is the master rounded.
 * Grid, block, what a thread owns and limits: elements.cuh. AdamW moves 28 bytes an element of f32,
 * 30 of bf16. */
#include "optim/attributes.h"
#include "optim/cuda/elements.cuh"

enum { E = RILLI_ELEMENTS };

/* T is the dtype of w, R that of g and the state. `wide` is where the weights are kept: w itself or
 * the master copy; w is NULL in the first case. */
template <typename T, typename R>
struct adamw {
  T *w;
  R *wide;
  const R *g;
  R *m, *v;
  R b1, b2, c1, c2, eps;
  double decay;
  const double *plan;

  __device__ void operator()(int64_t at, int count, bool whole) const {
    R x[E], d[E], mean[E], square[E];
    rilli_elements_load(wide, at, count, whole, x);
    rilli_elements_load(g, at, count, whole, d);
    rilli_elements_load(m, at, count, whole, mean);
    rilli_elements_load(v, at, count, whole, square);
    if (plan[RILLI_GO] == 0) return;
    R scale = (R)plan[RILLI_SCALE], shrink = (R)(1 - plan[RILLI_LR] * decay);
    R rate = (R)plan[RILLI_RATE], root = (R)plan[RILLI_ROOT];
#pragma unroll
    for (int i = 0; i < E; i++) {
      d[i] *= scale;
      mean[i] = b1 * mean[i] + c1 * d[i];
      square[i] = b2 * square[i] + c2 * (d[i] * d[i]);
      x[i] = shrink * x[i] - rate * mean[i] / (sqrt(square[i]) * root + eps);
    }
    rilli_elements_store(m, at, count, whole, mean);
    rilli_elements_store(v, at, count, whole, square);
    rilli_elements_store(wide, at, count, whole, x);
    if (w) rilli_elements_store(w, at, count, whole, x);
  }
  bool aligned() const {
    return rilli_elements_aligned(w) && rilli_elements_aligned(wide) && rilli_elements_aligned(g) &&
           rilli_elements_aligned(m) && rilli_elements_aligned(v);
  }
};

template <typename T, typename R>
struct sgd {
  T *w;
  R *wide;
  const R *g;
  R *u;
  R momentum, of_g, of_u;
  double decay;
  const double *plan;

  __device__ void operator()(int64_t at, int count, bool whole) const {
    R x[E], d[E], speed[E];
    rilli_elements_load(wide, at, count, whole, x);
    rilli_elements_load(g, at, count, whole, d);
    rilli_elements_load(u, at, count, whole, speed);
    if (plan[RILLI_GO] == 0) return;
    R scale = (R)plan[RILLI_SCALE], lr = (R)plan[RILLI_LR];
    R shrink = (R)(1 - plan[RILLI_LR] * decay);
#pragma unroll
    for (int i = 0; i < E; i++) {
      d[i] *= scale;
      speed[i] = momentum * speed[i] + d[i];
      x[i] = shrink * x[i] - lr * (of_g * d[i] + of_u * speed[i]);
    }
    rilli_elements_store(u, at, count, whole, speed);
    rilli_elements_store(wide, at, count, whole, x);
    if (w) rilli_elements_store(w, at, count, whole, x);
  }
  bool aligned() const {
    return rilli_elements_aligned(w) && rilli_elements_aligned(wide) && rilli_elements_aligned(g) &&
           rilli_elements_aligned(u);
  }
};

template <typename Work>
static bool run(const rill_call *call, const Work &work) {
  return rilli_run_elements(call->env, rill_array_count(&call->in[0]), work.aligned(), work);
}

/* Operands: w, g, m, v, master, plan. */
template <typename T, typename R>
static bool run_adamw(const rill_call *call) {
  const rilli_adamw_attr *attr = (const rilli_adamw_attr *)call->attr;
  const rill_array *in = call->in;
  bool master = in[4].rank >= 0;
  adamw<T, R> work = {};
  work.w = master ? (T *)in[0].data : nullptr;
  work.wide = (R *)in[master ? 4 : 0].data;
  work.g = (const R *)in[1].data;
  work.m = (R *)in[2].data, work.v = (R *)in[3].data;
  work.decay = attr->decay, work.plan = (const double *)in[5].data;
  work.b1 = (R)attr->beta1, work.b2 = (R)attr->beta2;
  work.c1 = (R)(1 - attr->beta1), work.c2 = (R)(1 - attr->beta2);
  work.eps = (R)attr->eps;
  return run(call, work);
}

/* Operands: w, g, u, master, plan. */
template <typename T, typename R>
static bool run_sgd(const rill_call *call) {
  const rilli_sgd_attr *attr = (const rilli_sgd_attr *)call->attr;
  const rill_array *in = call->in;
  bool master = in[3].rank >= 0;
  sgd<T, R> work = {};
  work.w = master ? (T *)in[0].data : nullptr;
  work.wide = (R *)in[master ? 3 : 0].data;
  work.g = (const R *)in[1].data;
  work.u = (R *)in[2].data;
  work.decay = attr->decay, work.plan = (const double *)in[4].data;
  work.momentum = (R)attr->momentum;
  work.of_g = attr->nesterov ? 1 : 0;
  work.of_u = attr->nesterov ? work.momentum : (R)1;
  return run(call, work);
}

extern "C" bool rilli_cuda_adamw_update(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_adamw<T, rilli_real<T>>(call));
  return done;
}
extern "C" bool rilli_cuda_sgd_update(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_sgd<T, rilli_real<T>>(call));
  return done;
}
