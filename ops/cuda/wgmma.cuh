/* Hopper's tensor cores (sm_90a): products of a warpgroup, 128 threads, that read shared memory by
 * themselves.
 *
 *   D [64, 64] += A [64, 16] B [16, 64]      bf16, sums f32
 *
 * An operand in shared memory is a column of tiles [rows, 64] of bf16: 128 bytes a row, its pieces
 * of 16 bytes permuted by the row's number as in mma.cuh (rilli_tile_at<64>), at a multiple of 1024
 * bytes. It can be read along its rows (the summed axis lies in a row; 16 of it are 32 bytes) or
 * turned (the summed axis goes down the rows; 16 of it are 2048 bytes):
 *
 *   A along: tile [M, K]    A turned: tile [K, M]    B along: tile [N, K]    B turned: tile [K, N]
 *
 * A thread holds D as mma.cuh's C: with warp w of the group, d[n][0], d[n][1] of row 16 w + g and
 * d[n][2], d[n][3] of row 16 w + g + 8, columns 8n + 2t and + 1. As A in registers a warp gives its
 * 16 rows, as in mma.cuh.
 *
 * The code behind RILL_HOPPER is compiled for sm_90a alone; the host runs it where RILL_SM_90A says
 * that such code was built and the card is one. */
#ifndef RILL_OPS_CUDA_WGMMA_CUH_
#define RILL_OPS_CUDA_WGMMA_CUH_

#include "ops/cuda/mma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define RILL_HOPPER 1
#endif

#ifdef RILL_SM_90A
#define RILLI_BUILT_FOR_HOPPER true
#else
#define RILLI_BUILT_FOR_HOPPER false
#endif

enum rilli_reading { ALONG = 0, TURNED = 1 };
typedef float rilli_square[8][4]; /* a thread's part of D */

#ifdef RILL_HOPPER

/* Where an operand begins. Groups of 8 rows are 1024 bytes apart. */
static __device__ __forceinline__ uint64_t rilli_operand(const rilli_bf16 *tile) {
  uint64_t address = rilli_shared_address(tile);
  return (address & 0x3ffff) >> 4 | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
         (uint64_t)1 << 62;
}
/* The operand 16 steps of the summed axis further on, `steps` times. */
template <rilli_reading HOW>
static __device__ __forceinline__ uint64_t rilli_operand_at(uint64_t operand, int steps) {
  return operand + (uint64_t)(steps * (HOW == ALONG ? 32 >> 4 : 2048 >> 4));
}

static __device__ __forceinline__ void rilli_wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

#define RILL_SQUARE_OUT(d)                                                                      \
  "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),     \
      "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), \
      "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), \
      "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), \
      "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), \
      "+f"(d[7][2]), "+f"(d[7][3])
#define RILL_SQUARE_NAMES                                                                       \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"

/* Before the first product into d, and whenever other instructions have written d. */
static __device__ __forceinline__ void rilli_wgmma_begin(rilli_square &d) {
  asm volatile("wgmma.fence.sync.aligned;" : RILL_SQUARE_OUT(d)::"memory");
}
static __device__ __forceinline__ void rilli_wgmma_begin(rilli_square &d, rilli_square &e) {
  asm volatile("" : RILL_SQUARE_OUT(e)::"memory");
  rilli_wgmma_begin(d);
}

/* Waits for all products of this warpgroup; d may be read then. */
static __device__ __forceinline__ void rilli_wgmma_wait(rilli_square &d) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" : RILL_SQUARE_OUT(d)::"memory");
}
static __device__ __forceinline__ void rilli_wgmma_wait(rilli_square &d, rilli_square &e) {
  rilli_wgmma_wait(d);
  asm volatile("" : RILL_SQUARE_OUT(e)::"memory");
}

/* d = a b, or d += a b where `add`. */
template <rilli_reading A, rilli_reading B>
static __device__ __forceinline__ void rilli_wgmma(rilli_square &d, uint64_t a, uint64_t b,
                                                   bool add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " RILL_SQUARE_NAMES
      ", %32, %33, p, 1, 1, %35, %36;\n}"
      : RILL_SQUARE_OUT(d)
      : "l"(a), "l"(b), "r"((int)add), "n"((int)A), "n"((int)B));
}

/* d (+)= a b over 16 STEPS of the summed axis; `a_next`, `b_next`: elements from one tile of 64 to
 * the next along that axis. */
template <rilli_reading A, rilli_reading B, int STEPS>
static __device__ __forceinline__ void rilli_wgmma_product(rilli_square &d, const rilli_bf16 *a,
                                                           int a_next, const rilli_bf16 *b,
                                                           int b_next, bool add) {
  uint64_t at_a = rilli_operand(a), at_b = rilli_operand(b);
#pragma unroll
  for (int i = 0; i < STEPS; i++) {
    uint64_t of_a = rilli_operand_at<A>(at_a + (uint64_t)(i / 4 * (a_next / 8)), i % 4);
    uint64_t of_b = rilli_operand_at<B>(at_b + (uint64_t)(i / 4 * (b_next / 8)), i % 4);
    rilli_wgmma<A, B>(d, of_a, of_b, add || i > 0);
  }
}

/* Orders what this thread wrote to shared memory before what tensor cores will read there: between
 * the writes and the barrier. */
static __device__ __forceinline__ void rilli_shared_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Four matrices of 8 x 8, the counterpart of rilli_ldmatrix_at. */
static __device__ __forceinline__ void rilli_stmatrix_at(uint32_t row, const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

#endif /* RILL_HOPPER */

/* Barrier `id` (1 to 15; 0 is __syncthreads) of `threads` threads. */
static __device__ __forceinline__ void rilli_barrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
/* The same, without waiting. */
static __device__ __forceinline__ void rilli_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

#endif /* RILL_OPS_CUDA_WGMMA_CUH_ */
