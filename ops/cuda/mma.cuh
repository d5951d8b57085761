/* Tensor cores of sm_80 and later for bf16 with f32 sums, and asynchronous copies to shared memory.
 *
 * Fragments of mma.m16n8k16, in a warp's lane with g = lane / 4 and t = lane % 4 (two neighbouring
 * columns to a register):
 *
 *   A [16, 16]  a[0] (g, 2t)  a[1] (g + 8, 2t)  a[2] (g, 2t + 8)  a[3] (g + 8, 2t + 8)
 *   B [16, 8]   b0 (2t .. 2t + 1, g)  b1 (2t + 8 .. 2t + 9, g)
 *   C [16, 8]   c[0], c[1] (g, 2t .. 2t + 1)  c[2], c[3] (g + 8, 2t .. 2t + 1)
 *
 * so two neighbouring C make one A. Tiles in shared memory are [rows, D] with D a multiple of 64;
 * the 16-byte pieces of a row are permuted by its number, so that eight rows of ldmatrix lie in
 * different banks. */
#ifndef RILL_OPS_CUDA_MMA_CUH_
#define RILL_OPS_CUDA_MMA_CUH_

#include <cuda_bf16.h>
#include <stdint.h>

typedef __nv_bfloat16 rilli_bf16;

static __device__ __forceinline__ uint32_t rilli_shared_address(const void *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

/* ---- fragments ---- */

/* c += a b */
static __device__ __forceinline__ void rilli_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                                 uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Four matrices of 8 x 8; lanes 8i .. 8i + 7 give the rows of matrix i. */
static __device__ __forceinline__ void rilli_ldmatrix(uint32_t (&r)[4], const rilli_bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(rilli_shared_address(row))
               : "memory");
}
static __device__ __forceinline__ void rilli_ldmatrix_transposed(uint32_t (&r)[4],
                                                                 const rilli_bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(rilli_shared_address(row))
               : "memory");
}

/* The same from an address in shared memory. */
static __device__ __forceinline__ void rilli_ldmatrix_at(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
static __device__ __forceinline__ void rilli_ldmatrix_transposed_at(uint32_t (&r)[4],
                                                                    uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}

/* Transposes an 8 x 8 matrix that is held as a quarter of A. */
static __device__ __forceinline__ uint32_t rilli_turn(uint32_t x) {
  uint32_t y;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

static __device__ __forceinline__ uint32_t rilli_pack(float low, float high) {
  __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *(uint32_t *)&both;
}
static __device__ __forceinline__ float rilli_low(uint32_t both) {
  return __uint_as_float(both << 16);
}
static __device__ __forceinline__ float rilli_high(uint32_t both) {
  return __uint_as_float(both & 0xffff0000u);
}
/* C of columns n .. n + 7 and n + 8 .. n + 15 as A. */
static __device__ __forceinline__ void rilli_as_a(uint32_t (&a)[4], const float (&left)[4],
                                                  const float (&right)[4]) {
  a[0] = rilli_pack(left[0], left[1]);
  a[1] = rilli_pack(left[2], left[3]);
  a[2] = rilli_pack(right[0], right[1]);
  a[3] = rilli_pack(right[2], right[3]);
}

/* ---- tiles in shared memory ---- */

/* Element (row, column), column a multiple of 8. */
template <int D>
static __device__ __forceinline__ int rilli_tile_at(int row, int column) {
  return row * D + (((column >> 3) ^ (row & 7)) << 3);
}

/* A from rows row .. row + 15 and columns column .. column + 15 of a tile. */
template <int D>
static __device__ __forceinline__ void rilli_load_a(uint32_t (&a)[4], const rilli_bf16 *tile,
                                                    int row, int column) {
  int lane = threadIdx.x % 32;
  rilli_ldmatrix(a, tile + rilli_tile_at<D>(row + lane % 16, column + lane / 16 * 8));
}
/* A of the transposed tile: rows row .. row + 15 of it are the columns of A, columns column ..
 * column + 15 the rows. */
template <int D>
static __device__ __forceinline__ void rilli_load_a_turned(uint32_t (&a)[4], const rilli_bf16 *tile,
                                                           int row, int column) {
  int lane = threadIdx.x % 32;
  rilli_ldmatrix_transposed(
      a, tile + rilli_tile_at<D>(row + lane % 8 + lane / 16 * 8, column + lane / 8 % 2 * 8));
}
/* Two B, {b[0], b[1]} and {b[2], b[3]}, of the transposed tile: rows row .. row + 7 and row + 8 ..
 * row + 15 are the columns of B. */
template <int D>
static __device__ __forceinline__ void rilli_load_b_of_rows(uint32_t (&b)[4],
                                                            const rilli_bf16 *tile, int row,
                                                            int column) {
  int lane = threadIdx.x % 32;
  rilli_ldmatrix(
      b, tile + rilli_tile_at<D>(row + lane % 8 + lane / 16 * 8, column + lane / 8 % 2 * 8));
}
/* Two B of the tile itself: rows row .. row + 15, columns column .. column + 7 and column + 8 ..
 * column + 15. */
template <int D>
static __device__ __forceinline__ void rilli_load_b(uint32_t (&b)[4], const rilli_bf16 *tile,
                                                    int row, int column) {
  int lane = threadIdx.x % 32;
  rilli_ldmatrix_transposed(b, tile + rilli_tile_at<D>(row + lane % 16, column + lane / 16 * 8));
}

/* A lane's place in a tile that begins at a multiple of 256 bytes, for the two ways in which
 * fragments take its 16 x 16 blocks: rilli_load_a and rilli_load_b read straight,
 * rilli_load_a_turned and rilli_load_b_of_rows across. rilli_block_at moves it to another block
 * with one exclusive or and a constant. */
template <int D>
static __device__ __forceinline__ uint32_t rilli_straight(const rilli_bf16 *tile) {
  int lane = threadIdx.x % 32;
  return rilli_shared_address(tile + rilli_tile_at<D>(lane % 16, lane / 16 * 8));
}
template <int D>
static __device__ __forceinline__ uint32_t rilli_across(const rilli_bf16 *tile) {
  int lane = threadIdx.x % 32;
  return rilli_shared_address(tile + rilli_tile_at<D>(lane % 8 + lane / 16 * 8, lane / 8 % 2 * 8));
}
template <int D>
static __device__ __forceinline__ uint32_t rilli_block_at(uint32_t place, int row, int column) {
  return (place ^ (uint32_t)(column * 2)) + (uint32_t)(row * D * 2);
}

/* ---- a product of a warp ---- */

/* sum [16, D] += w x for w [16, N] and a tile x [N, D] */
template <int D, int N>
static __device__ __forceinline__ void rilli_add_product(float (&sum)[D / 8][4],
                                                         const float (&w)[N / 8][4],
                                                         const rilli_bf16 *x) {
#pragma unroll
  for (int k = 0; k < N / 16; k++) {
    uint32_t a[4], b[4];
    rilli_as_a(a, w[2 * k], w[2 * k + 1]);
#pragma unroll
    for (int n = 0; n < D / 16; n++) {
      rilli_load_b<D>(b, x, 16 * k, 16 * n);
      rilli_mma(sum[2 * n], a, b[0], b[1]);
      rilli_mma(sum[2 * n + 1], a, b[2], b[3]);
    }
  }
}

/* ---- asynchronous copies ---- */

/* 16 bytes, zeros unless `there`. */
static __device__ __forceinline__ void rilli_copy_async(void *to, const void *from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(rilli_shared_address(to)),
               "l"(from), "r"(there ? 16 : 0)
               : "memory");
}
static __device__ __forceinline__ void rilli_copy_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Waits until at most N groups of this thread are under way. */
template <int N>
static __device__ __forceinline__ void rilli_copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
/* Begins to copy ROWS rows, `apart` elements apart, to a tile; rows from `valid` (> 0) on are
 * zeros. All THREADS threads of the block call it. */
template <int ROWS, int D, int THREADS>
static __device__ __forceinline__ void rilli_copy_tile(rilli_bf16 *tile, const rilli_bf16 *from,
                                                       int64_t apart, int64_t valid) {
#pragma unroll
  for (int i = 0; i < ROWS * D / 8; i += THREADS) {
    int piece = i + threadIdx.x, row = piece / (D / 8), column = piece % (D / 8) * 8;
    bool there = row < valid;
    rilli_copy_async(tile + rilli_tile_at<D>(row, column),
                     from + (there ? row * apart : 0) + column, there);
  }
}

#endif /* RILL_OPS_CUDA_MMA_CUH_ */
