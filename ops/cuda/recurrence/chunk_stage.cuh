/* A chunk in shared memory, for the sweeps: what a block of warps, 16 columns of V each, reads.
 *
 *   k, q [CHUNK, D] | values [slice / 64][CHUNK, 64] | pairs, J of S, J of R [CHUNK, CHUNK] |
 * numbers
 *
 * values: v forward, do backward. With two stages the copies of the next chunk run during the work
 * on this one. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_STAGE_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_STAGE_CUH_

#include "ops/cuda/recurrence/chunk_second.cuh"

template <int D>
struct rilli_recur_stage {
  rilli_bf16 *k, *q, *values, *pairs, *solve_s, *solve_r;
  float *numbers;

  /* What a block needs: all stages, and the second state. */
  static size_t shared(const rilli_recur_chunked &p) {
    return p.stages * bytes(p.slice, p.fitted) +
           (p.fitted ? rilli_second_bytes<D>(2 * p.slice) : 0);
  }
  static __device__ char *behind(const rilli_recur_chunked &p) {
    return (char *)rilli_recur_memory + p.stages * bytes(p.slice, p.fitted);
  }
  static __host__ __device__ int blocks(int slice) { return (slice + CHUNK - 1) / CHUNK; }
  static __host__ __device__ size_t bytes(int slice, bool fitted) {
    size_t elements = 2 * CHUNK * D + (blocks(slice) + (fitted ? 3 : 2)) * PAIRS;
    return elements * sizeof(rilli_bf16) + NUMBERS * CHUNK * sizeof(float);
  }

  __device__ rilli_recur_stage(const rilli_recur_chunked &p, int number) {
    char *memory = (char *)rilli_recur_memory + number * bytes(p.slice, p.fitted);
    numbers = (float *)memory;
    k = (rilli_bf16 *)(numbers + NUMBERS * CHUNK);
    q = k + CHUNK * D;
    values = q + CHUNK * D;
    pairs = values + blocks(p.slice) * PAIRS;
    solve_s = pairs + PAIRS;
    solve_r = p.solve_r == p.solve_s ? solve_s : solve_s + PAIRS;
  }

  /* Begins to copy a chunk; `from` is v or do, `column` the block's first. */
  __device__ __forceinline__ void copy(const rilli_recur_chunked &p, const rilli_bf16 *from,
                                       int64_t chunk, int64_t head, rilli_recur_span span,
                                       int column) const {
    int64_t at = span.first * p.H + head, item = chunk * p.H + head, apart = p.H * D;
    rilli_recur_copy<D>(k, p.k + at * D, apart, CHUNK, span.tokens);
    for (int i = threadIdx.x; i < NUMBERS * CHUNK / 4; i += blockDim.x)
      rilli_copy_async(numbers + 4 * i, p.numbers + item * NUMBERS * CHUNK + 4 * i, true);
    rilli_recur_copy<D>(q, p.q + at * D, apart, CHUNK, span.tokens);
    copy_values(from + at * D + column, apart, p.slice, span.tokens);
    rilli_recur_copy<CHUNK>(pairs, p.pairs + item * PAIRS, CHUNK, CHUNK, CHUNK);
    if (p.solve_s) rilli_recur_copy<CHUNK>(solve_s, p.solve_s + item * PAIRS, CHUNK, CHUNK, CHUNK);
    if (p.solve_r && p.solve_r != p.solve_s)
      rilli_recur_copy<CHUNK>(solve_r, p.solve_r + item * PAIRS, CHUNK, CHUNK, CHUNK);
    rilli_copy_commit();
  }
  /* What a plain sum takes of a chunk: v and k, or do and q, which then lies where k does. */
  __device__ __forceinline__ void copy_writes(const rilli_recur_chunked &p, const rilli_bf16 *from,
                                              const rilli_bf16 *rows, int64_t chunk, int64_t head,
                                              rilli_recur_span span) const {
    int64_t at = span.first * p.H + head, item = chunk * p.H + head, apart = p.H * D;
    rilli_recur_copy<D>(k, rows + at * D, apart, CHUNK, span.tokens);
    for (int i = threadIdx.x; i < NUMBERS * CHUNK / 4; i += blockDim.x)
      rilli_copy_async(numbers + 4 * i, p.numbers + item * NUMBERS * CHUNK + 4 * i, true);
    copy_values(from + at * D, apart, D, span.tokens);
    rilli_copy_commit();
  }
  __device__ __forceinline__ void copy_values(const rilli_bf16 *from, int64_t apart, int slice,
                                              int valid) const {
    for (int i = 0; i < slice; i += CHUNK) {
      rilli_bf16 *tile = values + i / CHUNK * PAIRS;
      if (slice - i < CHUNK) {
        copy_half(tile, from + i, apart, slice - i, valid);
      } else {
        rilli_recur_copy<CHUNK>(tile, from + i, apart, CHUNK, valid);
      }
    }
  }

  /* `columns` < 64 columns into a tile of 64. */
  __device__ void copy_half(rilli_bf16 *tile, const rilli_bf16 *from, int64_t apart, int columns,
                            int valid) const {
    int pieces = columns / 8;
    for (int i = threadIdx.x; i < CHUNK * pieces; i += blockDim.x) {
      int row = i / pieces, column = i % pieces * 8;
      bool there = row < valid;
      rilli_copy_async(tile + rilli_tile_at<CHUNK>(row, column),
                       from + (there ? row * apart : 0) + column, there);
    }
  }

  /* A warp's 16 columns of the values. */
  __device__ __forceinline__ void load_values(rilli_packed &x) const {
    int warp = threadIdx.x / 32;
    rilli_load_values<CHUNK>(x, values + warp / 4 * PAIRS, warp % 4 * 16);
  }
  __device__ float of(int number, int n, int e) const {
    return rilli_of_token(numbers + number * CHUNK, n, e);
  }
  __device__ float whole() const {
    return numbers[BEFORE * CHUNK + CHUNK - 1] * numbers[ALPHA * CHUNK + CHUNK - 1];
  }
};

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_STAGE_CUH_ */
