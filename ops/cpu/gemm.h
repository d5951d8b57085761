/* Matrix products on the CPU: tiles of C, each one single-threaded BLAS call.
 *
 * C is cut into tiles by its sizes alone and K is never split between threads, so a product has the
 * same bits on any number of threads. BLAS's own threads are switched off: one OpenMP team does
 * everything. bf16 operands, and layouts that BLAS cannot read, pass through small panels of reals
 * that belong to a thread. */
#ifndef RILL_OPS_CPU_GEMM_H_
#define RILL_OPS_CPU_GEMM_H_

#include "autograd/op.h"

/* A matrix: element (i, j) is at data + i row + j col elements. */
typedef struct {
  const void *data;
  int64_t row, col;
} rilli_matrix;

/* c = alpha a b + beta c + bias, all of one dtype (f32, f64, bf16), accumulated in f32 (f64).
 * c_real: c is f32 though the operands are bf16. a [m, k], b [k, n] with any strides; c [m, n] with
 * rows `c_row` elements apart and columns next to each other; bias [n] or NULL. beta 0 does not
 * read c. */
typedef struct {
  rill_dtype dtype;
  int64_t m, n, k;
  rilli_matrix a, b;
  void *c;
  int64_t c_row;
  bool c_real;
  double alpha, beta;
  const void *bias;
  /* Several products of one shape: where product i finds its matrices, in elements from a, b and c.
   * count 0 is one product at offsets 0. */
  int64_t count;
  const int64_t *a_at, *b_at, *c_at;
} rilli_gemm_args;

/* False when memory is short. */
bool rilli_gemm(rill_env *env, const rilli_gemm_args *args);

/* Operand of a BLAS call: `transposed` when its columns are next to each other. */
typedef struct {
  const void *data;
  int ld;
  bool transposed;
} rilli_blas_matrix;

/* c = alpha a b + beta c on the calling thread, f32 or f64, sizes within int. */
void rilli_gemm_here(rill_dtype real, int m, int n, int k, double alpha, rilli_blas_matrix a,
                     rilli_blas_matrix b, double beta, void *c, int c_row);

#endif /* RILL_OPS_CPU_GEMM_H_ */
