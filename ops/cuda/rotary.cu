/* Rotary positions: the pair (i, i + D/2) of token t turns by (t + offset) / base^(2i/D).
 *
 * Launch 1 fills a table [T, 2, D/2] of cosines and sines in scratch memory, a pair a thread, from
 * angles in f64 (far tokens have large ones). Launch 2 turns: a thread of a block of 256 owns V
 * neighbouring pairs of one head, 16 bytes of each half when these are aligned, else V = 1; the
 * table is read from cache. Products in f32 (f64 for f64). No shared memory. Every element is read
 * once and written once. Limits: 2^31 - 1 blocks. */
#include "ops/attributes.h"
#include "ops/cuda/row.cuh"

enum { THREADS = 256 };

template <typename R>
static __global__ void fill(R *table, int64_t T, int64_t half, rilli_rotary_attr attr) {
  int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (at >= T * half) return;
  int64_t t = at / half, i = at % half;
  double turn = pow(attr.base, -(double)i / (double)half);
  double angle = ((double)t + (double)attr.offset) * turn, c, s;
  sincos(angle, &s, &c);
  table[2 * t * half + i] = (R)c;
  table[(2 * t + 1) * half + i] = (R)(attr.reversed ? -s : s);
}

template <typename T, int V>
static __global__ void __launch_bounds__(THREADS)
    turn(const T *x, const rilli_real<T> *table, T *y, int64_t count, int64_t tokens, int64_t heads,
         int64_t half) {
  typedef rilli_real<T> R;
  int64_t item = (int64_t)blockIdx.x * THREADS + threadIdx.x, row, t, i, per = half / V;
  if (item >= count) return;
  if (count < ((int64_t)1 << 31)) { /* divisions of 32 bits are cheaper */
    uint32_t r = (uint32_t)item / (uint32_t)per;
    row = r;
    i = ((uint32_t)item - r * (uint32_t)per) * (int64_t)V;
    t = r / (uint32_t)heads % (uint32_t)tokens;
  } else {
    row = item / per;
    i = (item - row * per) * V;
    t = row / heads % tokens;
  }
  const T *from = x + 2 * row * half + i;
  T *to = y + 2 * row * half + i;
  const R *angles = table + 2 * t * half + i;
  rilli_vector<T, V> a = *(const rilli_vector<T, V> *)from;
  rilli_vector<T, V> b = *(const rilli_vector<T, V> *)(from + half);
#pragma unroll
  for (int k = 0; k < V; k++) {
    R c = angles[k], s = angles[half + k], p = rilli_load(a.at[k]), q = rilli_load(b.at[k]);
    a.at[k] = rilli_store<T>(p * c - q * s);
    b.at[k] = rilli_store<T>(p * s + q * c);
  }
  *(rilli_vector<T, V> *)to = a;
  *(rilli_vector<T, V> *)(to + half) = b;
}

template <typename T>
static bool run(const rill_call *call) {
  typedef rilli_real<T> R;
  constexpr int V = 16 / (int)sizeof(T);
  const rill_array *x = &call->in[0];
  int64_t tokens = x->size[1], heads = x->size[2], half = x->size[3] / 2;
  int64_t rows = rilli_row_count(x);
  if (rows == 0) return true;
  R *table = (R *)rill_env_alloc(call->env, (size_t)(2 * tokens * half) * sizeof(R));
  if (!table || !rilli_launch(call->env, fill<R>, rilli_blocks(tokens * half, THREADS), THREADS, 0,
                              table, tokens, half, *(const rilli_rotary_attr *)call->attr))
    return false;
  bool whole = half % V == 0 && rilli_aligned(x->data, call->out[0].data);
  int64_t count = rows * (whole ? half / V : half);
  return rilli_launch(call->env, whole ? turn<T, V> : turn<T, 1>, rilli_blocks(count, THREADS),
                      THREADS, 0, (const T *)x->data, (const R *)table, (T *)call->out[0].data,
                      count, tokens, heads, half);
}

extern "C" bool rilli_cuda_rotary(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = run<T>(call));
  return done;
}
