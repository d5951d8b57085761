/* cumsum: running sums along an axis, from either end, in f64; integers wrap around.
 *
 * Grid, block: lines.cuh, but the threads of a line take ITEMS elements each that lie one after the
 * other: a step covers rows x ITEMS elements of the line. A thread adds up its own, the threads of
 * the line are summed in log2(rows) rounds through shared memory, and the last total is carried to
 * the next step. With one thread a line no barrier is met. Shared: 4 KiB. Limits: 2^31 - 1 blocks.
 */
#include "ops/cuda/lines.cuh"

enum { THREADS = RILLI_LINES_THREADS, ITEMS = 4 };

template <typename T>
struct total_of {
  typedef uint64_t type;
};
template <>
struct total_of<float> {
  typedef double type;
};
template <>
struct total_of<double> {
  typedef double type;
};
template <>
struct total_of<__nv_bfloat16> {
  typedef double type;
};

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    scan(rilli_lines l, bool reverse, const T *x, T *y) {
  typedef typename total_of<T>::type Total;
  __shared__ Total shared[2][THREADS];
  rilli_line line(l);
  int slot = line.slot(l), last = (l.rows - 1) * l.lanes + line.lane;
  int64_t size = line.number < l.count ? l.size : 0, step = reverse ? -l.inner : l.inner;
  if (reverse) line.at += (l.size - 1) * l.inner;
  x += line.at;
  y += line.at;
  Total carry = 0;
  for (int64_t begin = 0; begin < l.size; begin += (int64_t)l.rows * ITEMS) {
    int64_t first = begin + (int64_t)line.row * ITEMS;
    Total sum[ITEMS];
#pragma unroll
    for (int e = 0; e < ITEMS; e++)
      sum[e] = first + e < size ? (Total)rilli_load(x[(first + e) * step]) : (Total)0;
#pragma unroll
    for (int e = 1; e < ITEMS; e++) sum[e] += sum[e - 1];
    Total before = carry, upto = sum[ITEMS - 1];
    if (l.rows > 1) {
      int now = 0;
      shared[now][slot] = upto;
      __syncthreads();
      for (int reach = 1; reach < l.rows; reach *= 2, now = 1 - now) {
        if (line.row >= reach) upto += shared[now][slot - reach * l.lanes];
        shared[1 - now][slot] = upto;
        __syncthreads();
      }
      if (line.row > 0) before += shared[now][slot - l.lanes];
      carry += shared[now][last];
      __syncthreads();
    } else {
      carry += upto;
    }
#pragma unroll
    for (int e = 0; e < ITEMS; e++)
      if (first + e < size) y[(first + e) * step] = rilli_store<T>(before + sum[e]);
  }
}

extern "C" bool rilli_cuda_cumsum(const rill_call *call) {
  const rilli_cumsum_attr *attr = (const rilli_cumsum_attr *)call->attr;
  const rill_array *x = &call->in[0];
  if (rill_array_count(x) == 0) return true;
  rilli_lines l = rilli_lines_of(rilli_lines_fold(x, attr->axis));
  bool done = false;
  RILLI_DISPATCH_ANY(
      x->dtype, T,
      done = rilli_launch(call->env, scan<T>, rilli_lines_grid(l), THREADS, 0, l, attr->reverse,
                          (const T *)x->data, (T *)call->out[0].data));
  return done;
}
