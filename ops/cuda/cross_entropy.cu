/* Mean negative log-likelihood of the targets, and its derivative.
 *
 *   forward   lse = log sum e^x per row (0 for ignored rows);  loss = sum(lse - x[target]) / count
 *   backward  dx = (scale + dlse) e^(x - lse), minus scale at the target;  scale = dloss / count;
 *             0 for ignored rows
 *
 * Forward: a block of 256 threads (a warp up to 512 classes) takes a row in one pass; a thread owns
 * every 256th vector of 16 bytes and keeps a largest value and a sum relative to it (elements one
 * by one where rows are not aligned). Row losses go to scratch memory; one block of 1024 threads
 * adds them and the count in f64 in a fixed order. Backward: that block counts, then a block owns
 * 4096 elements of a row. Statistics in f32 (f64 for f64). Shared: 24 bytes a warp, and 16 KiB for
 * the count. A target that is neither ignored nor in range is reported, and its row counts as
 * ignored. Limits: 2^31 - 1 blocks. */
#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

enum { ADD = 1024, STRIPE_BLOCK = 256, STRIPE = 4096 };

struct cross_entropy_targets {
  const void *data;
  bool wide; /* i64, else i32 */
  int64_t ignore, classes;
  rilli_fault *fault;
  const char *op;

  /* The target of a row, or -1 for rows that do not count. */
  __device__ int64_t of(int64_t row) const {
    int64_t t = wide ? ((const int64_t *)data)[row] : ((const int32_t *)data)[row];
    return t != ignore && t >= 0 && t < classes ? t : -1;
  }
  __device__ void check(int64_t row) const {
    int64_t t = wide ? ((const int64_t *)data)[row] : ((const int32_t *)data)[row];
    if (t != ignore) rilli_index_valid(fault, op, row, t, classes);
  }
};

/* A sum of e^(x - max), with the largest x so far. */
template <typename R>
struct running {
  R max, sum;
  __device__ __forceinline__ void take(R x) {
    if (x > max) {
      sum = sum * rilli_exp_of(max - x) + 1;
      max = x;
    } else {
      sum += x == max ? (R)1 : rilli_exp_of(x - max); /* also -infinity among -infinities */
    }
  }
  template <int N>
  __device__ __forceinline__ void take(const R (&x)[N]) {
    R most = x[0];
#pragma unroll
    for (int i = 1; i < N; i++) most = x[i] > most ? x[i] : most;
    if (most > max) {
      sum *= rilli_exp_of(max - most);
      max = most;
    }
#pragma unroll
    for (int i = 0; i < N; i++) sum += x[i] == max ? (R)1 : rilli_exp_of(x[i] - max);
  }
};

template <typename T, int GROUP, int V>
static __global__ void __launch_bounds__(rilli_group<GROUP>::BLOCK)
    forward(const T *x, cross_entropy_targets target, int64_t rows, rilli_real<T> *lse,
            rilli_real<T> *loss) {
  typedef rilli_real<T> R;
  typedef rilli_group<GROUP> G;
  int64_t row = (int64_t)blockIdx.x * G::GROUPS + G::number(), n = target.classes;
  if (row < rows && G::lane() == 0) target.check(row);
  int64_t t = row < rows ? target.of(row) : -1;
  if (t < 0) n = 0;
  const T *from = x + row * target.classes;
  running<R> r = {(R)-INFINITY, 0};
#pragma unroll 2
  for (int64_t i = (int64_t)G::lane() * V; i < n; i += GROUP * V) {
    rilli_vector<T, V> v = *(const rilli_vector<T, V> *)(from + i);
    R value[V];
#pragma unroll
    for (int k = 0; k < V; k++) value[k] = rilli_load(v.at[k]);
    r.take(value);
  }
  R max = G::max(r.max);
  R sum = G::sum(r.max == max ? r.sum : r.sum * rilli_exp_of(r.max - max));
  if (G::lane() != 0 || row >= rows) return;
  R all = n ? max + rilli_log_of(sum) : (R)0;
  lse[row] = all;
  loss[row] = n ? all - rilli_load(from[t]) : (R)0;
}

/* result = sum of loss / count; NULL loss: result = *dloss / count; 0 without a count. */
template <typename R>
static __global__ void __launch_bounds__(ADD)
    finish(const R *loss, const R *dloss, cross_entropy_targets target, int64_t rows, R *result) {
  __shared__ double sums[ADD];
  __shared__ long long counts[ADD];
  double sum = 0;
  long long count = 0;
  for (int64_t row = threadIdx.x; row < rows; row += ADD) {
    count += target.of(row) >= 0;
    if (loss)
      sum += (double)loss[row];
    else
      target.check(row);
  }
  sums[threadIdx.x] = sum;
  counts[threadIdx.x] = count;
  for (int half = ADD / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      sums[threadIdx.x] += sums[threadIdx.x + half];
      counts[threadIdx.x] += counts[threadIdx.x + half];
    }
  }
  if (threadIdx.x > 0) return;
  double value = loss ? sums[0] : dloss ? (double)*dloss : 0;
  *result = (R)(counts[0] ? value / (double)counts[0] : 0);
}

template <typename T, int V>
static __global__ void __launch_bounds__(STRIPE_BLOCK)
    backward(const T *x, cross_entropy_targets target, const rilli_real<T> *lse,
             const rilli_real<T> *dlse, const rilli_real<T> *scale, int64_t stripes, T *dx) {
  typedef rilli_real<T> R;
  int64_t row = blockIdx.x / stripes, n = target.classes;
  int64_t begin = blockIdx.x % stripes * STRIPE, end = begin + STRIPE < n ? begin + STRIPE : n;
  int64_t t = target.of(row);
  R one = *scale, all = one + (dlse ? dlse[row] : (R)0), l = lse[row];
  x += row * n, dx += row * n;
  for (int64_t i = begin + threadIdx.x * V; i < end; i += STRIPE_BLOCK * V) {
    rilli_vector<T, V> v;
    if (t >= 0) v = *(const rilli_vector<T, V> *)(x + i);
#pragma unroll
    for (int k = 0; k < V; k++) {
      R d = t < 0 ? (R)0 : all * rilli_exp_of(rilli_load(v.at[k]) - l);
      if (i + k == t) d -= one;
      v.at[k] = rilli_store<T>(d);
    }
    *(rilli_vector<T, V> *)(dx + i) = v;
  }
}

static cross_entropy_targets targets_of(const rill_call *call, const rill_array *x,
                                        const rill_array *target) {
  cross_entropy_targets t = {};
  t.data = target->data;
  t.wide = target->dtype == RILL_I64;
  t.ignore = ((const rilli_cross_entropy_attr *)call->attr)->ignore;
  t.classes = x->size[x->rank - 1];
  t.fault = rilli_cuda_of(call->env)->fault;
  t.op = call->op->name;
  return t;
}

template <typename T, int GROUP, int V>
static bool launch_forward(const rill_call *call, const cross_entropy_targets &target, int64_t rows,
                           rilli_real<T> *loss) {
  typedef rilli_group<GROUP> G;
  return rilli_launch(call->env, forward<T, GROUP, V>, rilli_blocks(rows, G::GROUPS), G::BLOCK, 0,
                      (const T *)call->in[0].data, target, rows, (rilli_real<T> *)call->out[1].data,
                      loss);
}

template <typename T>
static bool run_forward(const rill_call *call) {
  typedef rilli_real<T> R;
  constexpr int V = 16 / (int)sizeof(T);
  const rill_array *x = &call->in[0];
  int64_t rows = rilli_row_count(x);
  cross_entropy_targets target = targets_of(call, x, &call->in[1]);
  R *loss = (R *)rill_env_alloc(call->env, (size_t)rows * sizeof(R));
  if (!loss) return false;
  bool aligned = rilli_aligned(x->data) && target.classes % V == 0;
  bool done;
  if (target.classes <= 512)
    done = aligned ? launch_forward<T, 32, V>(call, target, rows, loss)
                   : launch_forward<T, 32, 1>(call, target, rows, loss);
  else
    done = aligned ? launch_forward<T, 256, V>(call, target, rows, loss)
                   : launch_forward<T, 256, 1>(call, target, rows, loss);
  return done && rilli_launch(call->env, finish<R>, rilli_grid_of(1), ADD, 0, (const R *)loss,
                              (const R *)nullptr, target, rows, (R *)call->out[0].data);
}

/* Inputs: dloss, dlse, logits, target, lse. */
template <typename T>
static bool run_backward(const rill_call *call) {
  typedef rilli_real<T> R;
  constexpr int V = 16 / (int)sizeof(T);
  const rill_array *in = call->in, *x = &in[2];
  int64_t rows = rilli_row_count(x);
  cross_entropy_targets target = targets_of(call, x, &in[3]);
  R *scale = (R *)rill_env_alloc(call->env, sizeof(R));
  if (!scale || !rilli_launch(call->env, finish<R>, rilli_grid_of(1), ADD, 0, (const R *)nullptr,
                              (const R *)rilli_data_of(&in[0]), target, rows, scale))
    return false;
  int64_t stripes = rilli_ceil_div(target.classes, STRIPE);
  bool aligned = rilli_aligned(x->data, call->out[0].data) && target.classes % V == 0;
  return rilli_launch(call->env, aligned ? backward<T, V> : backward<T, 1>,
                      rilli_grid_of(rows * stripes), STRIPE_BLOCK, 0, (const T *)x->data, target,
                      (const R *)in[4].data, (const R *)rilli_data_of(&in[1]), (const R *)scale,
                      stripes, (T *)call->out[0].data);
}

extern "C" bool rilli_cuda_cross_entropy(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run_forward<T>(call));
  return done;
}
extern "C" bool rilli_cuda_cross_entropy_backward(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[2].dtype, T, done = run_backward<T>(call));
  return done;
}
