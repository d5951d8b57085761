/* dropout: y = x / (1 - p) where draw counter + i of the seed's stream is at least p, else 0 x.
 *
 * Grid: blocks of 256 threads; a thread owns V = 8 neighbouring elements (16 bytes of bf16) and
 * makes the four Philox blocks of their draws, five when the counter is odd. Nothing is stored: the
 * derivative is the same kernel. Limits: 2^31 - 1 blocks. */
#include <math.h>

#include "ops/cuda/map.cuh"
#include "ops/attributes.h"
#include "tensor/random.h"

enum { THREADS = 256, V = 8 };

struct job {
  rill_random_state state;
  uint64_t threshold; /* of the upper 53 bits of a draw */
  int64_t count;
  double scale;
};

template <typename T>
static __global__ void __launch_bounds__(THREADS) drop(job j, const T *x, T *y, bool aligned) {
  typedef rilli_real<T> R;
  int64_t first = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
  if (first >= j.count) return;
  bool whole = aligned && first + V <= j.count;
  rilli_vector<T, V> v = {};
  if (whole)
    v = *(const rilli_vector<T, V> *)(x + first);
  else
    for (int e = 0; e < V && first + e < j.count; e++) v.at[e] = x[first + e];
  uint64_t draw = j.state.counter + (uint64_t)first;
  rill_philox_block block = rill_random_block(j.state.seed, draw / 2);
#pragma unroll
  for (int e = 0; e < V; e++, draw++) {
    if (e > 0 && draw % 2 == 0) block = rill_random_block(j.state.seed, draw / 2);
    bool kept = rill_random_half(block, (int)(draw % 2)) >> 11 >= j.threshold;
    v.at[e] = rilli_store<T>(rilli_load(v.at[e]) * (kept ? (R)j.scale : (R)0));
  }
  if (whole)
    *(rilli_vector<T, V> *)(y + first) = v;
  else
    for (int e = 0; e < V && first + e < j.count; e++) y[first + e] = v.at[e];
}

extern "C" bool rilli_cuda_dropout(const rill_call *call) {
  const rilli_dropout_attr *attr = (const rilli_dropout_attr *)call->attr;
  const rill_array *x = &call->in[0], *y = &call->out[0];
  job j = {attr->state, (uint64_t)ceil(attr->p * 9007199254740992.0), rill_array_count(x),
           1 / (1 - attr->p)};
  bool done = false;
  RILLI_DISPATCH_FLOAT(
      x->dtype, T, size_t bytes = V * sizeof(T);
      bool aligned = rilli_map_aligned(x->data, bytes) && rilli_map_aligned(y->data, bytes);
      done = rilli_launch(call->env, drop<T>, rilli_blocks(j.count, THREADS * V), THREADS, 0, j,
                          (const T *)x->data, (T *)y->data, aligned));
  return done;
}
