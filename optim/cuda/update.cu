/* The updates of the optimizers: all parameters and their states in one launch. g is the gradient
 * times scale.
 *
 *   adamw  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *          w = shrink w - rate m / (sqrt(v) root + eps)
 *   sgd    u = momentum u + g;  w = shrink w - lr (nesterov ? g + momentum u : u)
 *
 * with shrink = 1 - lr decay; scale, lr, rate and root are in the plan (optim/attributes.h), which
 * also says whether to update at all. f32 and f64 in place; for bf16 the master copy in f32 is
 * updated and w is the master rounded.
 *
 * Grid: a block of 256 threads for every PIECE elements of a parameter, which it finds by halving
 * in a table in scratch memory. A thread owns 4 neighbours of every 1024, loaded and stored as
 * vectors (16 bytes of f32) when all operands are aligned to them. No shared memory. AdamW moves 28
 * bytes an element of f32, 30 of bf16. Limit: 2^31 - 1 blocks. */
#include "optim/attributes.h"
#include "optim/cuda/elements.cuh"

enum { E = RILLI_ELEMENTS, THREADS = RILLI_ELEMENTS_BLOCK, PIECE = 4 * THREADS * E, STATES = 2 };

/* wide: where the weights are kept, w itself or the master copy; w is NULL in the first case. */
struct parameter {
  void *w, *wide, *state[STATES];
  const void *g;
  int64_t count, first; /* elements; number of its first piece */
  int dtype;
  bool aligned;
};

template <typename R>
struct adamw_numbers {
  R scale, shrink, rate, root, b1, b2, c1, c2, eps;
  __device__ adamw_numbers(const rilli_adamw_attr &a, const double *plan)
      : scale((R)plan[RILLI_SCALE]),
        shrink((R)(1 - plan[RILLI_LR] * a.decay)),
        rate((R)plan[RILLI_RATE]),
        root((R)plan[RILLI_ROOT]),
        b1((R)a.beta1),
        b2((R)a.beta2),
        c1((R)(1 - a.beta1)),
        c2((R)(1 - a.beta2)),
        eps((R)a.eps) {}
  __device__ R next(R x, R g, R *mean, R *square) const {
    g *= scale;
    *mean = b1 * *mean + c1 * g;
    *square = b2 * *square + c2 * (g * g);
    return shrink * x - rate * *mean / (sqrt(*square) * root + eps);
  }
};
struct adamw {
  rilli_adamw_attr attr;
  static const int COUNT = 2; /* of states */
  template <typename R>
  using numbers = adamw_numbers<R>;
};

template <typename R>
struct sgd_numbers {
  R scale, lr, shrink, momentum, of_g, of_u;
  __device__ sgd_numbers(const rilli_sgd_attr &a, const double *plan)
      : scale((R)plan[RILLI_SCALE]),
        lr((R)plan[RILLI_LR]),
        shrink((R)(1 - plan[RILLI_LR] * a.decay)),
        momentum((R)a.momentum),
        of_g((R)(a.nesterov ? 1 : 0)),
        of_u(a.nesterov ? momentum : (R)1) {}
  __device__ R next(R x, R g, R *speed, R *) const {
    g *= scale;
    *speed = momentum * *speed + g;
    return shrink * x - lr * (of_g * g + of_u * *speed);
  }
};
struct sgd {
  rilli_sgd_attr attr;
  static const int COUNT = 1;
  template <typename R>
  using numbers = sgd_numbers<R>;
};

/* Elements [begin, end) of a parameter. T is the dtype of w, R that of g and the states. */
template <typename T, class Rule>
static __device__ __forceinline__ void piece(const parameter &p, int64_t begin, int64_t end,
                                             const Rule &rule, const double *plan) {
  typedef rilli_real<T> R;
  typename Rule::template numbers<R> numbers(rule.attr, plan);
  for (int64_t at = begin + threadIdx.x * E; at < end; at += THREADS * E) {
    int count = end - at < E ? (int)(end - at) : (int)E;
    bool whole = p.aligned && count == E;
    R x[E], g[E], state[STATES][E] = {};
    rilli_elements_load((const R *)p.wide, at, count, whole, x);
    rilli_elements_load((const R *)p.g, at, count, whole, g);
#pragma unroll
    for (int j = 0; j < Rule::COUNT; j++)
      rilli_elements_load((const R *)p.state[j], at, count, whole, state[j]);
#pragma unroll
    for (int i = 0; i < E; i++) x[i] = numbers.next(x[i], g[i], &state[0][i], &state[1][i]);
#pragma unroll
    for (int j = 0; j < Rule::COUNT; j++)
      rilli_elements_store((R *)p.state[j], at, count, whole, state[j]);
    rilli_elements_store((R *)p.wide, at, count, whole, x);
    if (p.w) rilli_elements_store((T *)p.w, at, count, whole, x);
  }
}

template <class Rule>
static __global__ void __launch_bounds__(THREADS)
    update_all(const parameter *table, int parameters, Rule rule, const double *plan) {
  if (plan[RILLI_GO] == 0) return;
  int low = 0, high = parameters; /* first of low <= this block < first of high */
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (table[middle].first <= (int64_t)blockIdx.x)
      low = middle;
    else
      high = middle;
  }
  parameter p = table[low];
  int64_t begin = ((int64_t)blockIdx.x - p.first) * PIECE;
  int64_t end = begin + PIECE < p.count ? begin + PIECE : p.count;
  if (p.dtype == RILL_F64)
    piece<double>(p, begin, end, rule, plan);
  else if (p.dtype == RILL_BF16)
    piece<__nv_bfloat16>(p, begin, end, rule, plan);
  else
    piece<float>(p, begin, end, rule, plan);
}

/* in: w, g, states, master */
static parameter parameter_of(const rill_array *in, int states, int64_t first) {
  parameter p = {};
  bool master = in[0].dtype == RILL_BF16;
  size_t real = in[0].dtype == RILL_F64 ? sizeof(double) : sizeof(float);
  uintptr_t places = 0;
  p.w = master ? in[0].data : nullptr;
  p.wide = in[master ? 2 + states : 0].data;
  p.g = in[1].data;
  for (int j = 0; j < states; j++) p.state[j] = in[2 + j].data;
  for (int j = master; j < rilli_update_operands(master, states); j++)
    places |= (uintptr_t)in[j].data;
  p.aligned = places % (E * real) == 0 && (uintptr_t)p.w % (E * sizeof(rill_bf16)) == 0;
  p.count = rill_array_count(&in[0]);
  p.first = first;
  p.dtype = (int)in[0].dtype;
  return p;
}

template <class Rule>
static bool run(const rill_call *call, const Rule &rule) {
  const rill_allocator *memory = &rilli_cuda_of(call->env)->allocator;
  size_t room = (size_t)call->inputs * sizeof(parameter);
  parameter *table = (parameter *)memory->alloc(memory->user, room);
  if (!table) return false;
  int parameters = 0;
  int64_t pieces = 0;
  for (int i = 1; i < call->inputs; parameters++) {
    parameter p = parameter_of(call->in + i, Rule::COUNT, pieces);
    table[parameters] = p;
    pieces += rilli_ceil_div(p.count, PIECE);
    i += rilli_update_operands(p.dtype == RILL_BF16, Rule::COUNT);
  }
  const void *there = rilli_upload(call->env, table, (size_t)parameters * sizeof(parameter));
  memory->free(memory->user, table, room);
  return there &&
         rilli_launch(call->env, update_all<Rule>, rilli_grid_of(pieces), THREADS, 0,
                      (const parameter *)there, parameters, rule, (const double *)call->in[0].data);
}

extern "C" bool rilli_cuda_adamw_update(const rill_call *call) {
  return run(call, adamw{*(const rilli_adamw_attr *)call->attr});
}
extern "C" bool rilli_cuda_sgd_update(const rill_call *call) {
  return run(call, sgd{*(const rilli_sgd_attr *)call->attr});
}
