/* index_select (embedding lookup) and its derivative, x seen as [outer, size, inner].
 *
 * Forward: rows are copied in units of up to 16 bytes. Grid of blocks of 256 threads; a thread owns
 * ITEMS units of y, a block's width apart.
 *
 * Backward: the positions of the index are sorted by row (sort.h), and every row of dx is the sum
 * of its rows of dy, in f32 (f64 for f64), in an order that depends on the index alone; every row
 * of dy is read once, dx written once (index.cuh).
 *
 * An entry out of range is left to the host to report; its row of y is 0, and its row of dy is
 * dropped. Limits: backward fewer than 2^31 rows and entries. */
#include "ops/cuda/index.cuh"

enum { THREADS = 256, ITEMS = 4 };

struct rows {
  rilli_indices index;
  int64_t n, units; /* entries, units of a row */
  int64_t count;    /* units of y */
};

template <typename Unit>
static __global__ void __launch_bounds__(THREADS) pick(rows r, const Unit *x, Unit *y) {
  int64_t first = (int64_t)blockIdx.x * (THREADS * ITEMS) + threadIdx.x;
  Unit value[ITEMS];
#pragma unroll
  for (int s = 0; s < ITEMS; s++) {
    int64_t i = first + s * THREADS;
    value[s] = Unit{};
    if (i >= r.count) break;
    int64_t line = i / r.units, outer = line / r.n, entry = line - outer * r.n;
    int64_t row = r.index.at(entry);
    if (r.index.valid(entry, row))
      value[s] = x[(outer * r.index.limit + row) * r.units + i - line * r.units];
  }
#pragma unroll
  for (int s = 0; s < ITEMS; s++)
    if (first + s * THREADS < r.count) y[first + s * THREADS] = value[s];
}

template <typename Unit>
static bool pick_units(const rill_call *call, rows r, int64_t outer, size_t row_bytes) {
  r.units = (int64_t)(row_bytes / sizeof(Unit));
  r.count = outer * r.n * r.units;
  return rilli_launch(call->env, pick<Unit>, rilli_blocks(r.count, THREADS * ITEMS), THREADS, 0, r,
                      (const Unit *)call->in[0].data, (Unit *)call->out[0].data);
}

extern "C" bool rilli_cuda_index_select(const rill_call *call) {
  const rill_array *x = &call->in[0], *index = &call->in[1], *y = &call->out[0];
  rilli_axis_fold f = rilli_lines_fold(x, ((const rilli_index_select_attr *)call->attr)->axis);
  size_t bytes = (size_t)f.inner * rill_dtype_size(x->dtype);
  uintptr_t all = (uintptr_t)x->data | (uintptr_t)y->data | bytes;
  rows r = {rilli_indices_of(call, index, f.size), index->size[0], 0, 0};
  if (f.outer * r.n * f.inner == 0) return true;
  if (all % 16 == 0) return pick_units<uint4>(call, r, f.outer, bytes);
  if (all % 8 == 0) return pick_units<uint64_t>(call, r, f.outer, bytes);
  if (all % 4 == 0) return pick_units<uint32_t>(call, r, f.outer, bytes);
  if (all % 2 == 0) return pick_units<uint16_t>(call, r, f.outer, bytes);
  return pick_units<uint8_t>(call, r, f.outer, bytes);
}

/* ---- the derivative ---- */

static __global__ void __launch_bounds__(THREADS)
    keys(rilli_indices index, int64_t n, uint32_t *key) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= n) return;
  int64_t row = index.at(i);
  key[i] = (uint32_t)(index.valid(i, row) ? row : index.limit);
}

extern "C" bool rilli_cuda_index_select_backward(const rill_call *call) {
  const rill_array *dy = &call->in[0], *index = &call->in[1], *dx = &call->out[0];
  rilli_axis_fold f = rilli_lines_fold(dx, ((const rilli_index_select_attr *)call->attr)->axis);
  int64_t n = index->size[0];
  if (f.outer * f.inner == 0) return true;
  if (n >= INT32_MAX || f.size >= INT32_MAX)
    return rill_kernel_fail(call, "%lld entries into %lld rows are more than 2^31 - 2",
                            (long long)n, (long long)f.size);
  uint32_t *key = (uint32_t *)rill_env_alloc(call->env, (size_t)(n > 0 ? n : 1) * sizeof *key);
  rilli_sorted sorted;
  if (!key ||
      !rilli_launch(call->env, keys, rilli_blocks(n, THREADS), THREADS, 0,
                    rilli_indices_of(call, index, f.size), n, key) ||
      !rilli_cuda_sort(call->env, key, n, f.size, &sorted))
    return false;
  bool done = false;
  RILLI_DISPATCH_FLOAT(dx->dtype, T,
                       done = rilli_add_rows<T>(call->env, sorted, f.outer, n, f.size, f.inner,
                                                (const T *)dy->data, nullptr, (T *)dx->data));
  return done;
}
