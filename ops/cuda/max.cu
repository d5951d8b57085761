/* max, min, argmax: the first largest (smallest) element along an axis, and where it is. NaN counts
 * as largest (smallest).
 *
 * Grid, block: lines.cuh. A thread keeps the winner of its elements, in order; then the threads of
 * a line are compared in pairs, the one with the smaller index counting as the earlier. Shared: 4
 * KiB. Limits: 2^31 - 1 blocks. */
#include "ops/cuda/lines.cuh"

enum { THREADS = RILLI_LINES_THREADS };

struct job {
  rilli_lines lines;
  const void *x;
  void *value; /* or NULL */
  int64_t *index;
};

/* Does `now` win against `best`, which came before it? (now != now: NaN) */
template <bool SMALLEST, typename R>
static __device__ __forceinline__ bool wins(R now, R best) {
  return (SMALLEST ? now < best : now > best) || (now != now && best == best);
}

template <typename T, bool SMALLEST>
static __global__ void __launch_bounds__(THREADS) find(job j) {
  typedef rilli_real<T> R;
  __shared__ R value[THREADS];
  __shared__ int64_t index[THREADS];
  const rilli_lines &l = j.lines;
  rilli_line line(l);
  const T *x = (const T *)j.x + line.at;
  bool inside = line.number < l.count;
  R best = 0;
  int64_t at = -1; /* none */
  if (inside && line.row < l.size) {
    at = line.row;
    best = rilli_load(x[at * l.inner]);
#pragma unroll 4
    for (int64_t k = at + l.rows; k < l.size; k += l.rows) {
      R now = rilli_load(x[k * l.inner]);
      if (wins<SMALLEST>(now, best)) {
        best = now;
        at = k;
      }
    }
  }
  int slot = line.slot(l);
  value[slot] = best;
  index[slot] = at;
  for (int half = l.rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (line.row >= half) continue;
    R other = value[slot + half * l.lanes];
    int64_t there = index[slot + half * l.lanes];
    bool earlier = there < at;
    bool takes = earlier ? !wins<SMALLEST>(best, other) : wins<SMALLEST>(other, best);
    if (there >= 0 && (at < 0 || takes)) {
      best = other;
      at = there;
    }
    value[slot] = best;
    index[slot] = at;
  }
  if (line.row > 0 || !inside) return;
  j.index[line.number] = at;
  if (j.value) ((T *)j.value)[line.number] = x[at * l.inner];
}

static bool run(const rill_call *call, void *value, int64_t *index) {
  const rilli_extreme_attr *attr = (const rilli_extreme_attr *)call->attr;
  const rill_array *x = &call->in[0];
  rilli_axis_fold f = rilli_lines_fold(x, attr->at.axis);
  if (f.outer * f.inner == 0) return true;
  job j = {rilli_lines_of(f), x->data, value, index};
  bool done = false;
  RILLI_DISPATCH_ANY(x->dtype, T,
                     done = rilli_launch(call->env, attr->smallest ? find<T, true> : find<T, false>,
                                         rilli_lines_grid(j.lines), THREADS, 0, j));
  return done;
}

extern "C" bool rilli_cuda_max(const rill_call *call) {
  return run(call, call->out[0].data, (int64_t *)call->out[1].data);
}
extern "C" bool rilli_cuda_argmax(const rill_call *call) {
  return run(call, nullptr, (int64_t *)call->out[0].data);
}
