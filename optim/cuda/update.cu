/* The parameter updates of the optimizers, each in one pass over a parameter and its state.
 * g is the gradient times `scale`.
 *
 *   adamw  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *          w = shrink w - lr m correct1 / (sqrt(v correct2) + eps)
 *   sgd    u = momentum u + g;  w = shrink w - lr (nesterov ? g + momentum u : u)
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
  R scale, lr, shrink, b1, b2, c1, c2, root, eps;

  __device__ void operator()(int64_t at, int count, bool whole) const {
    R x[E], d[E], mean[E], square[E];
    rilli_elements_load(wide, at, count, whole, x);
    rilli_elements_load(g, at, count, whole, d);
    rilli_elements_load(m, at, count, whole, mean);
    rilli_elements_load(v, at, count, whole, square);
#pragma unroll
    for (int i = 0; i < E; i++) {
      d[i] *= scale;
      mean[i] = b1 * mean[i] + c1 * d[i];
      square[i] = b2 * square[i] + c2 * (d[i] * d[i]);
      x[i] = shrink * x[i] - lr * mean[i] / (sqrt(square[i]) * root + eps);
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
  R scale, lr, shrink, momentum, of_g, of_u;

  __device__ void operator()(int64_t at, int count, bool whole) const {
    R x[E], d[E], speed[E];
    rilli_elements_load(wide, at, count, whole, x);
    rilli_elements_load(g, at, count, whole, d);
    rilli_elements_load(u, at, count, whole, speed);
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

/* Operands: w, g, m, v, master. */
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
  work.scale = (R)attr->scale;
  work.lr = (R)(attr->lr * attr->correct1), work.shrink = (R)attr->shrink;
  work.b1 = (R)attr->beta1, work.b2 = (R)attr->beta2;
  work.c1 = (R)(1 - attr->beta1), work.c2 = (R)(1 - attr->beta2);
  work.root = (R)sqrt(attr->correct2), work.eps = (R)attr->eps;
  return run(call, work);
}

/* Operands: w, g, u, master. */
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
  work.scale = (R)attr->scale;
  work.lr = (R)attr->lr, work.shrink = (R)attr->shrink, work.momentum = (R)attr->momentum;
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
