/* Matrix products on CUDA: one description, run by cuBLASLt. */
#ifndef RILL_OPS_CUDA_BLAS_H_
#define RILL_OPS_CUDA_BLAS_H_

#include <stdint.h>

#include "tensor/array.h"

/* c [m, n] = alpha a [m, k] . b [k, n] + beta c + bias [n], `count` times with fixed steps between
 * the matrices. All are row-major with rows `*_row` elements apart; a transposed operand lies as
 * [k, m] (a) or [n, k] (b). Sums are in f32 (f64). */
typedef struct {
  rill_dtype dtype, c_dtype; /* of a and b; of c and bias: dtype, or f32 for bf16 operands */
  int64_t m, n, k, count;
  const void *a, *b, *bias; /* bias NULL = none */
  void *c;
  bool a_transposed, b_transposed;
  int64_t a_row, b_row, c_row;
  int64_t a_step, b_step, c_step;
  double alpha, beta;
} rilli_blas;

bool rilli_cuda_product(rill_env *env, const rilli_blas *p);

#endif /* RILL_OPS_CUDA_BLAS_H_ */
