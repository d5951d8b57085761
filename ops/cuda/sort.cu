/* A stable radix sort of 32-bit keys with their positions, and where every row's run begins.
 *
 *   for every digit of up to 8 bits, the lowest first:
 *     count    the digits in every warp's stretch of the keys      counts [digits, warps]
 *     add_up   counts -> how many keys come before, exclusive sum
 *     move     every key to its place
 *
 * count, move: blocks of 256 threads; a warp owns a stretch of neighbouring keys, 32 a step. Lanes
 * with equal digits find each other by votes and queue up in lane order, so that the sort is stable
 * and its result unique. Shared: one counter a digit and warp, 8 KiB. add_up: one block of 1024
 * threads. starts: one thread a row, a binary search. Limits: 2^31 - 1 keys and rows. */
#include "ops/cuda/sort.h"

#include "tensor/cuda/launch.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, DIGITS = 256, MOST_WARPS = 512, SCAN = 1024 };

struct pass {
  int64_t n, stretch; /* keys of a warp, a multiple of 32 */
  int warps, shift, digits;
};

struct step {
  bool inside;
  uint32_t digit, peers; /* peers: lanes with this digit */
  int before;            /* of the peers */
};

/* The votes of one step; `key` is looked at where inside. */
static __device__ __forceinline__ step vote(const pass &p, bool inside, uint32_t key) {
  step s;
  s.inside = inside;
  s.digit = inside ? (key >> p.shift) & (uint32_t)(p.digits - 1) : DIGITS;
  s.peers = __match_any_sync(0xffffffffu, s.digit);
  s.before = __popc(s.peers & ((1u << (threadIdx.x % 32)) - 1));
  return s;
}

static __global__ void __launch_bounds__(THREADS)
    count(pass p, const uint32_t *key, uint32_t *counts) {
  __shared__ uint32_t counter[WARPS][DIGITS];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t number = (int64_t)blockIdx.x * WARPS + warp;
  int64_t begin = number * p.stretch, end = begin + p.stretch < p.n ? begin + p.stretch : p.n;
  for (int d = lane; d < p.digits; d += 32) counter[warp][d] = 0;
  __syncwarp();
  for (int64_t first = begin; first < end; first += 32) {
    bool inside = first + lane < end;
    step s = vote(p, inside, inside ? key[first + lane] : 0);
    if (inside && s.before == 0) counter[warp][s.digit] += __popc(s.peers);
    __syncwarp();
  }
  if (number >= p.warps) return;
  for (int d = lane; d < p.digits; d += 32)
    counts[(int64_t)d * p.warps + number] = counter[warp][d];
}

/* counts [n]: each becomes the sum of those before it. */
static __global__ void __launch_bounds__(SCAN) add_up(uint32_t *counts, int64_t n) {
  __shared__ uint32_t total[SCAN / 32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t carry = 0;
  for (int64_t first = 0; first < n; first += SCAN) {
    int64_t i = first + threadIdx.x;
    uint32_t own = i < n ? counts[i] : 0, sum = own;
#pragma unroll
    for (int reach = 1; reach < 32; reach *= 2) {
      uint32_t other = __shfl_up_sync(0xffffffffu, sum, reach);
      if (lane >= reach) sum += other;
    }
    if (lane == 31) total[warp] = sum;
    __syncthreads();
    uint32_t before = carry;
#pragma unroll
    for (int w = 0; w < SCAN / 32; w++) {
      uint32_t all = total[w];
      if (w < warp) before += all;
      carry += all;
    }
    if (i < n) counts[i] = before + sum - own;
    __syncthreads();
  }
}

/* from_at NULL: the positions themselves. */
static __global__ void __launch_bounds__(THREADS)
    move(pass p, const uint32_t *before, const uint32_t *key, const uint32_t *from_at,
         uint32_t *to_key, uint32_t *to_at) {
  __shared__ uint32_t next[WARPS][DIGITS];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t number = (int64_t)blockIdx.x * WARPS + warp;
  int64_t begin = number * p.stretch, end = begin + p.stretch < p.n ? begin + p.stretch : p.n;
  for (int d = lane; number < p.warps && d < p.digits; d += 32)
    next[warp][d] = before[(int64_t)d * p.warps + number];
  __syncwarp();
  for (int64_t first = begin; first < end; first += 32) {
    int64_t i = first + lane;
    bool inside = i < end;
    uint32_t k = inside ? key[i] : 0;
    step s = vote(p, inside, k);
    uint32_t place = inside ? next[warp][s.digit] + s.before : 0;
    __syncwarp();
    if (inside && s.before == 0) next[warp][s.digit] += __popc(s.peers);
    __syncwarp();
    if (inside) {
      to_key[place] = k;
      to_at[place] = from_at ? from_at[i] : (uint32_t)i;
    }
  }
}

/* start[r] = how many keys are below r, r <= rows. */
static __global__ void __launch_bounds__(THREADS)
    starts(const uint32_t *key, int64_t n, int64_t rows, uint32_t *start) {
  int64_t row = (int64_t)blockIdx.x * THREADS + threadIdx.x, low = 0, high = n;
  if (row > rows) return;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (key[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  start[row] = (uint32_t)low;
}

bool rilli_cuda_sort(rill_env *env, uint32_t *keys, int64_t n, int64_t rows, rilli_sorted *sorted) {
  size_t bytes = (size_t)(n > 0 ? n : 1) * sizeof(uint32_t);
  int bits = 1;
  while ((rows >> bits) != 0) bits++; /* `rows` is a key, too: of no row */
  int passes = (bits + 7) / 8, width = (bits + passes - 1) / passes;
  int64_t stretch = rilli_ceil_div(rilli_ceil_div(n, MOST_WARPS), 32) * 32;
  if (stretch < 256) stretch = 256;
  pass p = {n, stretch, (int)rilli_ceil_div(n, stretch), 0, 1 << width};
  uint32_t *key[2] = {keys, (uint32_t *)rill_env_alloc(env, bytes)};
  uint32_t *at[2] = {(uint32_t *)rill_env_alloc(env, bytes),
                     (uint32_t *)rill_env_alloc(env, bytes)};
  int64_t entries = (int64_t)p.warps << width;
  uint32_t *counts =
      (uint32_t *)rill_env_alloc(env, (size_t)(entries > 0 ? entries : 1) * sizeof *counts);
  uint32_t *start = (uint32_t *)rill_env_alloc(env, (size_t)(rows + 1) * sizeof *start);
  if (!key[1] || !at[0] || !at[1] || !counts || !start) return false;
  rilli_grid grid = rilli_blocks(p.warps, WARPS);
  int from = 0;
  for (int i = 0; i < passes; i++, from = 1 - from) {
    p.shift = i * width;
    if (!rilli_launch(env, count, grid, THREADS, 0, p, key[from], counts) ||
        !rilli_launch(env, add_up, rilli_grid_of(entries > 0), SCAN, 0, counts, entries) ||
        !rilli_launch(env, move, grid, THREADS, 0, p, counts, key[from], i > 0 ? at[from] : nullptr,
                      key[1 - from], at[1 - from]))
      return false;
  }
  *sorted = {key[from], at[from], start};
  return rilli_launch(env, starts, rilli_blocks(rows + 1, THREADS), THREADS, 0, key[from], n, rows,
                      start);
}
