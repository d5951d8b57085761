/* The block of hopper_gradients.cuh: who holds what.
 *
 * A state, S or R, has a group of D / 64 warpgroups. Shared memory, tiles [rows, 64] as wgmma.cuh
 * reads them, D / 64 of them side by side where the columns are V or D:
 *
 *   all      k [CHUNK, D] | do [CHUNK, D], later q
 *   a group  state [V, D], later dstate | J [CHUNK, CHUNK], later dB
 *            v or r [CHUNK, V], later w | dz [CHUNK, V], later dN [CHUNK, CHUNK]
 *   all      numbers [NUMBERS, CHUNK] | sums of a group [SUMS, CHUNK] | a float a warp
 *
 * A thread has two tokens, rows 16 warp + g and + 8 of its warpgroup's products, and of V or D the
 * warpgroup's 64 columns: factors of tokens are registers, and sums over columns stay in four
 * lanes. */
#ifndef RILL_OPS_CUDA_RECURRENCE_HOPPER_BLOCK_CUH_
#define RILL_OPS_CUDA_RECURRENCE_HOPPER_BLOCK_CUH_

#include "ops/cuda/recurrence/chunk_values.cuh"
#include "ops/cuda/wgmma.cuh"

enum { TILE = CHUNK * 64 };
/* Sums that a token has, each of CHUNK floats: over V or D in two halves, over pairs of tokens. */
enum {
  SUM_ERROR = 0,  /* error . d write */
  SUM_READ = 2,   /* what alpha gets from the read in the delta rule */
  SUM_QUERY = 4,  /* q with what it reads from the chunk's first state, without its factor */
  SUM_KEY = 6,    /* k with the same */
  SUM_LATE = 8,   /* k with what it writes to the last state */
  SUM_OWN = 10,   /* do . own write, complete in the first half */
  SUM_PAIRS = 12, /* of row i: do_i . w_j with (q_i . k_j) decay_ij */
  SUM_KEYS,       /* of row i: dz_i . w_j with (k_i . k_j) decay_ij */
  SUM_COLUMN,     /* of column j: both, of each warp that has rows: 2 x 4 */
  SUMS = SUM_COLUMN + 8
};

template <int D, bool FITTED>
struct rilli_hopper_block {
  enum {
    HALVES = D / 64,
    GROUP = 128 * HALVES,
    GROUPS = FITTED ? 2 : 1,
    THREADS = GROUP * GROUPS,
    OF_STATE = D * D + TILE + 2 * CHUNK * D /* elements of a group */
  };
  rilli_bf16 *k, *go, *state, *solve, *w, *dz, *second_w; /* of this thread's group; R's w */
  float *numbers, *sums, *all_sums, *warps;
  int which, half, warp, row, lane; /* which: 0 of S, 1 of R; row: the thread's first token */

  static constexpr size_t bytes() {
    return (2 * CHUNK * D + GROUPS * OF_STATE) * sizeof(rilli_bf16) +
           ((NUMBERS + GROUPS * SUMS) * CHUNK + THREADS / 32) * sizeof(float);
  }

  __device__ rilli_hopper_block() {
    int number = __shfl_sync(~0u, threadIdx.x / 32, 0); /* the compiler sees one path a warp */
    which = FITTED ? number / (GROUP / 32) : 0;
    half = number / 4 % HALVES;
    warp = number % 4;
    lane = threadIdx.x % 32;
    row = 16 * warp + lane / 4;
    k = (rilli_bf16 *)rilli_recur_memory;
    go = k + CHUNK * D;
    rilli_bf16 *groups = go + CHUNK * D;
    state = groups + which * OF_STATE;
    solve = state + D * D;
    w = solve + TILE;
    dz = w + CHUNK * D;
    second_w = FITTED ? groups + OF_STATE + D * D + TILE : nullptr;
    numbers = (float *)(groups + GROUPS * OF_STATE);
    all_sums = numbers + NUMBERS * CHUNK;
    sums = all_sums + which * SUMS * CHUNK;
    warps = all_sums + GROUPS * SUMS * CHUNK;
  }

  __device__ int token(int upper) const { return row + 8 * upper; }
  __device__ float of(int number, int upper) const {
    return numbers[number * CHUNK + token(upper)];
  }
  __device__ float whole() const {
    return numbers[BEFORE * CHUNK + CHUNK - 1] * numbers[ALPHA * CHUNK + CHUNK - 1];
  }

  /* Barriers of a warpgroup, of a group, and from S to R. */
  __device__ void meet_half() const { rilli_barrier(1 + threadIdx.x / 128, 128); }
  __device__ void meet_group() const { rilli_barrier(5 + which, GROUP); }
  enum { HANDOVER = 7 };

  /* Begins to copy [rows, D] to tiles side by side, by `threads` threads of which this is one. */
  static __device__ __forceinline__ void copy(rilli_bf16 *tiles, const rilli_bf16 *from,
                                              int64_t apart, int rows, int valid, int thread,
                                              int threads) {
#pragma unroll 4
    for (int i = thread; i < rows * D / 8; i += threads) {
      int line = i / (D / 8), column = i % (D / 8) * 8;
      bool there = line < valid;
      rilli_copy_async(tiles + column / 64 * rows * 64 + rilli_tile_at<64>(line, column % 64),
                       from + (there ? line * apart : 0) + column, there);
    }
  }

  /* The thread's elements of a tile [CHUNK, 64], packed. */
  __device__ __forceinline__ void load(rilli_packed &x, const rilli_bf16 *tile) const {
    uint32_t place = rilli_straight<64>(tile + warp * 16 * 64);
#pragma unroll
    for (int i = 0; i < PACKS; i++) rilli_ldmatrix_at(x[i], rilli_block_at<64>(place, 0, 16 * i));
  }
#ifdef RILL_HOPPER
  __device__ __forceinline__ void store(rilli_bf16 *tile, const rilli_packed &x) const {
    uint32_t place = rilli_straight<64>(tile + warp * 16 * 64);
#pragma unroll
    for (int i = 0; i < PACKS; i++) rilli_stmatrix_at(rilli_block_at<64>(place, 0, 16 * i), x[i]);
  }
#endif

  /* The thread's elements of what a sweep left in its packed order (chunk_values.cuh). */
  __device__ __forceinline__ void load_swept(rilli_packed &x, const rilli_bf16 *from) const {
    const uint4 *at = (const uint4 *)(from + half * 4 * PACKED_WARP) + warp * 32 + lane;
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
      uint4 four = at[i * (PACKED_WARP / 8)];
      x[i][0] = rilli_turn(four.x), x[i][2] = rilli_turn(four.y);
      x[i][1] = rilli_turn(four.z), x[i][3] = rilli_turn(four.w);
    }
  }

  /* Leaves the sum over the four lanes of a row: sums[slot][token]. */
  __device__ __forceinline__ void leave(int slot, const float (&x)[2]) const {
#pragma unroll
    for (int upper = 0; upper < 2; upper++) {
      float y = x[upper];
      y += __shfl_xor_sync(~0u, y, 1);
      y += __shfl_xor_sync(~0u, y, 2);
      if (lane % 4 == 0) sums[slot * CHUNK + token(upper)] = y;
    }
  }
  template <int COUNT>
  __device__ __forceinline__ void fold(float (&x)[16]) const {
    bool upper = lane & (2 * COUNT);
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      float give = upper ? x[i] : x[i + COUNT];
      x[i] = (upper ? x[i + COUNT] : x[i]) + __shfl_xor_sync(~0u, give, 2 * COUNT);
    }
  }
  /* And the sums over the warp's rows of 16 columns, 8n + 2t and + 1 for i = 2n and 2n + 1. Lanes
   * of the same columns exchange halves of what they have, so that each ends with two. */
  __device__ __forceinline__ void leave_columns(int slot, float (&x)[16]) const {
    fold<8>(x);
    fold<4>(x);
    fold<2>(x);
    int n = lane / 16 * 4 + lane / 8 % 2 * 2 + lane / 4 % 2;
    *(float2 *)(sums + (slot + warp) * CHUNK + 8 * n + lane % 4 * 2) = make_float2(x[0], x[1]);
  }
};

#endif /* RILL_OPS_CUDA_RECURRENCE_HOPPER_BLOCK_CUH_ */
