/* What forward and backward of the blocked attention share: blocks of rows as BLAS reads them. */
#ifndef RILL_OPS_CPU_ATTENTION_IMPL_H_
#define RILL_OPS_CPU_ATTENTION_IMPL_H_

#include <limits.h>
#include <string.h>

#include "ops/cpu/attention.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"

enum { BLOCK_Q = 128, BLOCK_K = 128 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

/* Must rows be copied, because they are bf16 or too far apart for BLAS? */
static inline bool staged(rill_dtype dtype, int64_t apart) {
  return rilli_is_bf16(dtype) || apart > INT_MAX;
}

/* `rows` rows of D elements from `at`, `apart` elements apart; buffer [rows, D] reals is used if
 * they must be copied. */
static inline rilli_blas_matrix block_of(rill_dtype dtype, const void *data, int64_t at,
                                         int64_t apart, int64_t rows, int64_t D, void *buffer) {
  if (!staged(dtype, apart))
    return (rilli_blas_matrix){rilli_at(dtype, data, at), (int)(rows == 1 ? D : apart), false};
  size_t row = (size_t)D * rilli_real_size(dtype);
  for (int64_t i = 0; i < rows; i++) {
    char *to = (char *)buffer + (size_t)i * row;
    const void *from = rilli_row_load(dtype, data, at + i * apart, D, to);
    if (from != to) memcpy(to, from, row);
  }
  return (rilli_blas_matrix){buffer, (int)D, false};
}

static inline rilli_blas_matrix flipped(rilli_blas_matrix x) {
  x.transposed = !x.transposed;
  return x;
}

static inline double real_at(rill_dtype dtype, const void *x, int64_t i) {
  return dtype == RILL_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}
static inline void real_put(rill_dtype dtype, void *x, int64_t i, double value) {
  if (dtype == RILL_F64)
    ((double *)x)[i] = value;
  else
    ((float *)x)[i] = (float)value;
}

/* How many of the keys [k0, k0 + n) query t sees. */
static inline int64_t visible(const rilli_attention *a, int64_t t, int64_t k0, int64_t n) {
  if (!a->causal) return n;
  int64_t seen = a->S - a->T + t + 1 - k0;
  return seen < 0 ? 0 : least(seen, n);
}

#endif /* RILL_OPS_CPU_ATTENTION_IMPL_H_ */
