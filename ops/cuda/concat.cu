/* concat, and the derivative of slice: parts of an array that are written in their places.
 *
 * concat moves one operand a launch, as an elementwise identity (map.cuh) whose output is a part of
 * y. slice_backward writes zeros and the slice in one pass where both are runs of whole 16 bytes:
 * grid of blocks of 256 threads, a thread owns ITEMS pieces of dx, a block's width apart; elsewhere
 * it fills and copies. Limits: 2^31 - 1 blocks. */
#include "ops/cuda/map.cuh"
#include "ops/attributes.h"

enum { THREADS = 256, ITEMS = 4 };

struct same {
  template <typename T>
  __device__ T operator()(T x) const {
    return x;
  }
};

template <typename T>
static bool move_as(rill_env *env, const rill_array *to, const rill_array *from) {
  return rilli_map<1, T>(env, to, from, same{}, rilli_types<T>());
}

/* to = from, of one dtype. */
static bool move(rill_env *env, const rill_array *to, const rill_array *from) {
  switch (rill_dtype_size(to->dtype)) {
    case 1:
      return move_as<uint8_t>(env, to, from);
    case 2:
      return move_as<uint16_t>(env, to, from);
    case 4:
      return move_as<uint32_t>(env, to, from);
    default:
      return move_as<uint64_t>(env, to, from);
  }
}

extern "C" bool rilli_cuda_concat(const rill_call *call) {
  rill_array part = call->out[0];
  int a = rill_axis(*(const int *)call->attr, part.rank);
  int64_t bytes = part.stride[a] * (int64_t)rill_dtype_size(part.dtype);
  for (int i = 0; i < call->inputs; i++) {
    part.size[a] = call->in[i].size[a];
    if (!move(call->env, &part, &call->in[i])) return false;
    part.data = (char *)part.data + part.size[a] * bytes;
  }
  return true;
}

/* ---- slice_backward ---- */

/* Rows of dx and where the slice lies in them, in pieces of 16 bytes. */
struct rows {
  int64_t count, row, begin, end;
};

static __global__ void __launch_bounds__(THREADS) put_back(rows r, const uint4 *dy, uint4 *dx) {
  int64_t first = (int64_t)blockIdx.x * (THREADS * ITEMS) + threadIdx.x;
  uint4 value[ITEMS];
#pragma unroll
  for (int s = 0; s < ITEMS; s++) {
    int64_t i = first + s * THREADS, row = i / r.row, at = i - row * r.row;
    bool inside = i < r.count && at >= r.begin && at < r.end;
    value[s] = make_uint4(0, 0, 0, 0);
    if (inside) value[s] = dy[row * (r.end - r.begin) + at - r.begin];
  }
#pragma unroll
  for (int s = 0; s < ITEMS; s++)
    if (first + s * THREADS < r.count) dx[first + s * THREADS] = value[s];
}

extern "C" bool rilli_cuda_slice_backward(const rill_call *call) {
  const rilli_slice_attr *attr = &((const rilli_slice_backward_attr *)call->attr)->part;
  const rill_array *dy = &call->in[0], *dx = &call->out[0];
  rilli_device *dev = call->env->scratch->device;
  int a = rill_axis(attr->axis, dx->rank);
  int64_t first = attr->start < 0 ? attr->start + dx->size[a] : attr->start, n = dy->size[a];
  int64_t size = (int64_t)rill_dtype_size(dx->dtype), bytes = dx->stride[a] * size;
  bool runs = (n <= 1 || attr->step == 1) && rill_array_contiguous(dy);
  runs = runs && dx->size[a] * bytes % 16 == 0 && first * bytes % 16 == 0 && n * bytes % 16 == 0;
  runs = runs && rilli_map_aligned(dx->data, 16) && rilli_map_aligned(dy->data, 16);
  if (rill_array_count(dx) == 0) return true;
  if (runs) {
    rows r = {rill_array_count(dx) * size / 16, dx->size[a] * bytes / 16, first * bytes / 16,
              (first + n) * bytes / 16};
    return rilli_launch(call->env, put_back, rilli_blocks(r.count, THREADS * ITEMS), THREADS, 0, r,
                        (const uint4 *)dy->data, (uint4 *)dx->data);
  }
  rill_array part = *dx;
  part.size[a] = n;
  part.stride[a] *= attr->step;
  part.data = (char *)part.data + (n > 0 ? first * bytes : 0);
  return dev->fill(dev, dx, 0) && move(call->env, &part, dy);
}
