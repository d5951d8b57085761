/* The block of chunk_gradients.cuh: shared memory, and the sums over V of each token.
 *
 *   numbers | totals [6, CHUNK] | k, q, do [CHUNK, D] | J [CHUNK, CHUNK]
 *   w, dz [D, CHUNK] (values of the state at hand, V x tokens) | state, dstate [D, D]
 *
 * v lies where w will, and the warps' parts of sums where J was. When both states are done, the
 * gradients of pairs lie in w and dz, and their share of d log alpha, f32 [CHUNK, CHUNK + 1], from
 * state on. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_BLOCK_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_BLOCK_CUH_

#include "ops/cuda/recurrence/chunk_values.cuh"

/* Sums over V: error . d write, what alpha gets from the read, and do . own write; of S, then R. */
enum { ERROR_SUM, READ_SUM, OWN_SUM, STATE_SUMS };
enum { CROSS_APART = CHUNK + 1 };

template <int D>
struct rilli_recur_gradients_block {
  enum { WARPS = D / 16 };
  float *numbers, *totals, *partial;
  rilli_bf16 *k, *q, *go, *solve, *w, *dz, *state, *dstate;

  static size_t bytes() {
    size_t floats = (NUMBERS + 2 * STATE_SUMS) * CHUNK;
    size_t states = 2 * D * D, cross = 2 * CHUNK * CROSS_APART;
    size_t halves = 3 * CHUNK * D + PAIRS + 2 * D * CHUNK + (states > cross ? states : cross);
    return floats * sizeof(float) + halves * sizeof(rilli_bf16);
  }
  __device__ rilli_recur_gradients_block() {
    numbers = (float *)rilli_recur_memory;
    totals = numbers + NUMBERS * CHUNK;
    k = (rilli_bf16 *)(totals + 2 * STATE_SUMS * CHUNK);
    q = k + CHUNK * D;
    go = q + CHUNK * D;
    solve = go + CHUNK * D;
    partial = (float *)solve;
    w = solve + PAIRS;
    dz = w + D * CHUNK;
    state = dz + D * CHUNK;
    dstate = state + D * D;
  }

  /* What the values need first, and the rest. */
  __device__ void copy_tokens(const rilli_recur_chunked &p, int64_t item, int64_t at, int tokens) {
    int64_t apart = p.H * D;
    rilli_recur_copy<D>(k, p.k + at * D, apart, CHUNK, tokens);
    rilli_recur_copy<D>(go, p.go + at * D, apart, CHUNK, tokens);
    for (int i = 0; i < D; i += CHUNK)
      rilli_recur_copy<CHUNK>(w + i * CHUNK, p.v + at * D + i, apart, CHUNK, tokens);
    for (int i = threadIdx.x; i < NUMBERS * CHUNK / 4; i += blockDim.x)
      rilli_copy_async(numbers + 4 * i, p.numbers + item * NUMBERS * CHUNK + 4 * i, true);
  }
  __device__ void copy_queries(const rilli_recur_chunked &p, int64_t at, int tokens) {
    rilli_recur_copy<D>(q, p.q + at * D, p.H * D, CHUNK, tokens);
  }
  /* State `which` at the chunk's start and its J; the state's gradient at the chunk's end. */
  __device__ void copy_state(const rilli_recur_chunked &p, int64_t item, int which) {
    rilli_recur_copy<D>(state, p.states + (item * p.parts() + which) * D * D, D, D, D);
    const rilli_bf16 *j = which ? p.solve_r : p.solve_s;
    if (j) rilli_recur_copy<CHUNK>(solve, j + item * PAIRS, CHUNK, CHUNK, CHUNK);
    rilli_copy_commit();
  }
  __device__ void copy_dstate(const rilli_recur_chunked &p, int64_t item, int which) {
    rilli_recur_copy<D>(dstate, p.dstates + (item * p.parts() + which) * D * D, D, D, D);
    rilli_copy_commit();
  }

  __device__ float of(int number, int n, int e) const {
    return rilli_of_token(numbers + number * CHUNK, n, e);
  }
  __device__ float whole() const {
    return numbers[BEFORE * CHUNK + CHUNK - 1] * numbers[ALPHA * CHUNK + CHUNK - 1];
  }

  /* x += S_0 y^T for the warp's 16 rows of the state. */
  __device__ __forceinline__ void read_state(rilli_values &x, int row) const {
    uint32_t a_place = rilli_straight<D>(state + row * D), b_place = rilli_across<D>(k);
#pragma unroll 4
    for (int d = 0; d < D; d += 16) {
      uint32_t a[4], b[4];
      rilli_ldmatrix_at(a, rilli_block_at<D>(a_place, 0, d));
#pragma unroll
      for (int n = 0; n < CHUNK; n += 16) {
        rilli_ldmatrix_at(b, rilli_block_at<D>(b_place, n, d));
        rilli_mma(x[n / 8], a, b[0], b[1]);
        rilli_mma(x[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }

  /* The warp's 16 rows of w or dz. */
  template <typename F>
  __device__ __forceinline__ void put(rilli_bf16 *tile, int row, F &&f) const {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < VALUE_TILES; n++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        *(uint32_t *)(tile + rilli_tile_at<CHUNK>(row + g + 8 * half, 8 * n) + 2 * t) =
            rilli_pack(f(n, 2 * half), f(n, 2 * half + 1));
  }

  /* The warp's part of a sum over V of each token. Lanes of the same tokens exchange halves of what
   * they have, so that each ends with two sums. */
  template <typename F>
  __device__ __forceinline__ void sum(int which, F &&f) const {
    float x[2 * VALUE_TILES];
#pragma unroll
    for (int i = 0; i < 2 * VALUE_TILES; i++) x[i] = f(i / 2, i % 2) + f(i / 2, i % 2 + 2);
#pragma unroll
    for (int half = VALUE_TILES; half > 1; half /= 2) {
      bool upper = threadIdx.x & (2 * half);
#pragma unroll
      for (int i = 0; i < half; i++) {
        float give = upper ? x[i] : x[i + half];
        x[i] = (upper ? x[i + half] : x[i]) + __shfl_xor_sync(~0u, give, 2 * half);
      }
    }
    float2 *to = (float2 *)(partial + (which * WARPS + threadIdx.x / 32) * CHUNK);
    to[threadIdx.x % 32] = make_float2(x[0], x[1]);
  }
  /* Adds the warps' parts, warp after warp. */
  __device__ void total(int state_number) const {
    for (int i = threadIdx.x; i < STATE_SUMS * CHUNK; i += blockDim.x) {
      const float *from = partial + i / CHUNK * WARPS * CHUNK + i % CHUNK;
      float x = 0;
      for (int warp = 0; warp < WARPS; warp++) x += from[warp * CHUNK];
      totals[state_number * STATE_SUMS * CHUNK + i] = x;
    }
  }
};

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_BLOCK_CUH_ */
