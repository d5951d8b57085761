/* Lines along an axis: how blocks of 256 threads share out the lines of x seen as
 * [outer, size, inner].
 *
 * A block takes `lanes` lines; line l is walked by `rows` = 256 / lanes threads, thread r of it at
 * r, r + rows, ... Threads that are neighbours in a warp read neighbours in memory: neighbouring
 * lines when inner > 1, else neighbouring elements of one line. Both numbers are powers of two. */
#ifndef RILL_OPS_CUDA_LINES_CUH_
#define RILL_OPS_CUDA_LINES_CUH_

#include "autograd/op.h"
#include "ops/attributes.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"

enum { RILLI_LINES_THREADS = 256 };

/* x seen as [outer, size, inner] around the axis; all axes: [1, count, 1]. */
static inline rilli_axis_fold rilli_lines_fold(const rill_array *x, int axis) {
  rilli_axis_fold f = {1, 1, 1};
  if (axis == RILL_ALL_AXES) {
    f.size = rill_array_count(x);
    return f;
  }
  int a = rill_axis(axis, x->rank);
  for (int d = 0; d < x->rank; d++) *(d < a ? &f.outer : d == a ? &f.size : &f.inner) *= x->size[d];
  return f;
}

struct rilli_lines {
  int64_t count, size, inner;
  int lanes, rows;
};

/* The smallest power of two that is at least n, from 1 to most. */
static inline int rilli_lines_power(int64_t n, int most) {
  int p = 1;
  while (p < n && p < most) p *= 2;
  return p;
}

static inline rilli_lines rilli_lines_of(rilli_axis_fold f) {
  rilli_lines l = {f.outer * f.inner, f.size, f.inner, 1, 1};
  if (f.inner == 1)
    l.lanes = RILLI_LINES_THREADS / rilli_lines_power(f.size, RILLI_LINES_THREADS);
  else if (l.count >= 65536 || f.size <= 8)
    l.lanes = RILLI_LINES_THREADS;
  else
    l.lanes = rilli_lines_power(l.count, 32);
  l.rows = RILLI_LINES_THREADS / l.lanes;
  return l;
}

static inline rilli_grid rilli_lines_grid(const rilli_lines &l) {
  return rilli_blocks(l.count, l.lanes);
}

/* Where a thread stands. */
struct rilli_line {
  int lane, row;
  int64_t number; /* of the line; may lie behind the last */
  int64_t at;     /* of the line's first element */
  __device__ explicit rilli_line(const rilli_lines &l) {
    bool along = l.inner == 1;
    row = (int)threadIdx.x & (l.rows - 1);
    lane = (int)threadIdx.x / l.rows;
    if (!along) {
      lane = (int)threadIdx.x & (l.lanes - 1);
      row = (int)threadIdx.x / l.lanes;
    }
    number = (int64_t)blockIdx.x * l.lanes + lane;
    at = number / l.inner * l.size * l.inner + number % l.inner;
  }
  /* The thread's place in an array [rows, lanes] of shared memory. */
  __device__ int slot(const rilli_lines &l) const { return row * l.lanes + lane; }
};

#endif /* RILL_OPS_CUDA_LINES_CUH_ */
