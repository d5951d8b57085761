/* gather and scatter_add: single elements picked, or added to, along an axis.
 *
 * gather: grid of blocks of 256 threads, a thread owns one element of y.
 * scatter_add, many or short columns of the index: one thread a column (the other axes' elements,
 * neighbours in a warp), which goes through it in order. Else: the entries are sorted by the
 * element of y that they point at (sort.h), and every element of y is x plus its sum (index.cuh).
 * Sums are in f32 (f64 for f64), in an order that depends on shapes and index alone.
 *
 * An entry out of range is left to the host to report: gather gives 0, scatter_add drops it.
 * Limits: 2^31 - 1 blocks. */
#include "ops/cuda/index.cuh"
#include "tensor/cuda/strided.cuh"

enum { X, INDEX, SRC };
enum { THREADS = 256, MANY = 8192 /* columns */, SHORT = 32 /* entries of a column */ };

/* x's offset of the columns of the index, element by element of the index. */
struct entries {
  rilli_indices index;
  rilli_layout<1> x;
  int64_t stride; /* of the axis in x */
};

static entries entries_of(const rill_call *call, int a) {
  const rill_array *x = &call->in[X];
  rill_array columns = call->in[INDEX];
  for (int d = 0; d < x->rank; d++) columns.stride[d] = d == a ? 0 : x->stride[d];
  const rill_array *const one[1] = {&columns};
  return {rilli_indices_of(call, &call->in[INDEX], x->size[a]), rilli_layout_of(one), x->stride[a]};
}

/* The element of x that entry i points at; false when there is none. */
static __device__ __forceinline__ bool find(const entries &q, int64_t i, int64_t *at) {
  int64_t column[1], row = q.index.at(i);
  if (!q.index.valid(i, row)) return false;
  rilli_offsets(q.x, i, column);
  *at = column[0] + row * q.stride;
  return true;
}

template <typename T>
static __global__ void __launch_bounds__(THREADS) pick(entries q, const T *x, T *y) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, at;
  if (i >= q.x.count) return;
  y[i] = find(q, i, &at) ? x[at] : (T)0;
}

template <typename T>
static bool pick_as(const rill_call *call, const entries &q) {
  return rilli_launch(call->env, pick<T>, rilli_blocks(q.x.count, THREADS), THREADS, 0, q,
                      (const T *)call->in[X].data, (T *)call->out[0].data);
}

extern "C" bool rilli_cuda_gather(const rill_call *call) {
  const rill_array *x = &call->in[X];
  entries q = entries_of(call, rill_axis(*(const int *)call->attr, x->rank));
  switch (rill_dtype_size(x->dtype)) {
    case 1:
      return pick_as<uint8_t>(call, q);
    case 2:
      return pick_as<uint16_t>(call, q);
    case 4:
      return pick_as<uint32_t>(call, q);
    default:
      return pick_as<uint64_t>(call, q);
  }
}

/* ---- scatter_add ---- */

/* Columns of the index (and src), and of y. */
struct columns {
  rilli_indices index;
  rilli_layout<2> at;
  int64_t n, index_stride, y_stride; /* along the axis */
};

template <typename T, typename Y>
static __global__ void __launch_bounds__(THREADS) add_columns(columns q, const T *src, Y *y) {
  int64_t column = (int64_t)blockIdx.x * THREADS + threadIdx.x, at[2];
  if (column >= q.at.count) return;
  rilli_offsets(q.at, column, at);
  for (int64_t k = 0; k < q.n; k++) {
    int64_t here = at[0] + k * q.index_stride, row = q.index.at(here);
    if (!q.index.valid(here, row)) continue;
    Y *to = y + at[1] + row * q.y_stride;
    *to = rilli_store<Y>(rilli_load(*to) + rilli_load(src[here]));
  }
}

/* y = x, then y += src column by column; bf16 through f32 unless every element gets one summand. */
static bool by_columns(const rill_call *call, int a, int64_t n) {
  rilli_device *dev = call->env->scratch->device;
  rill_array index = call->in[INDEX], y = call->out[0], to = y;
  columns q = {rilli_indices_of(call, &index, y.size[a]), {}, n, index.stride[a], y.stride[a]};
  bool widen = y.dtype == RILL_BF16 && n > 1;
  if (widen) {
    to.dtype = RILL_F32;
    to.data = rill_env_alloc(call->env, (size_t)rill_array_count(&y) * sizeof(float));
    if (!to.data) return false;
  }
  if (!dev->copy(dev, &to, &call->in[X])) return false;
  rill_array place = y;
  for (int d = 0; d < y.rank; d++) place.size[d] = index.size[d];
  index.size[a] = place.size[a] = 1;
  const rill_array *const both[2] = {&index, &place};
  q.at = rilli_layout_of(both);
  rilli_grid grid = rilli_blocks(q.at.count, THREADS);
  const void *src = call->in[SRC].data;
  bool done = false;
  if (widen)
    done = rilli_launch(call->env, add_columns<__nv_bfloat16, float>, grid, THREADS, 0, q,
                        (const __nv_bfloat16 *)src, (float *)to.data);
  else
    RILLI_DISPATCH_FLOAT(y.dtype, T,
                         (done = rilli_launch(call->env, add_columns<T, T>, grid, THREADS, 0, q,
                                              (const T *)src, (T *)to.data)));
  return done && (!widen || dev->copy(dev, &y, &to));
}

static __global__ void __launch_bounds__(THREADS) keys(entries q, uint32_t none, uint32_t *key) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, at;
  if (i < q.x.count) key[i] = find(q, i, &at) ? (uint32_t)at : none;
}

static bool by_sorting(const rill_call *call, int a, int64_t n) {
  const rill_array *y = &call->out[0];
  int64_t rows = rill_array_count(y);
  entries q = entries_of(call, a);
  uint32_t *key = (uint32_t *)rill_env_alloc(call->env, (size_t)n * sizeof *key);
  rilli_sorted sorted;
  if (!key ||
      !rilli_launch(call->env, keys, rilli_blocks(n, THREADS), THREADS, 0, q, (uint32_t)rows,
                    key) ||
      !rilli_cuda_sort(call->env, key, n, rows, &sorted))
    return false;
  bool done = false;
  RILLI_DISPATCH_FLOAT(
      y->dtype, T,
      done = rilli_add_rows<T>(call->env, sorted, 1, n, rows, 1, (const T *)call->in[SRC].data,
                               (const T *)call->in[X].data, (T *)y->data));
  return done;
}

extern "C" bool rilli_cuda_scatter_add(const rill_call *call) {
  const rill_array *index = &call->in[INDEX], *y = &call->out[0];
  int a = rill_axis(*(const int *)call->attr, y->rank);
  int64_t n = index->size[a], count = rill_array_count(index), rows = rill_array_count(y);
  if (rows == 0) return true;
  bool small = count < INT32_MAX && rows < INT32_MAX;
  if (!small || n <= SHORT || count / n >= MANY) return by_columns(call, a, n);
  return by_sorting(call, a, count);
}
