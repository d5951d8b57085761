/* The number type a kernel file is compiled for, and reading and writing operands in it.
 *
 * A kernel is written once for `real` and compiled twice: a file that includes it defines RILLI_F64
 * as 1 (f64 operands) or 0 (f32 and bf16 operands; bf16 is widened on reading and rounded on
 * writing, all arithmetic is f32). */
#ifndef RILL_OPS_RECURRENCE_REAL_IMPL_H_
#define RILL_OPS_RECURRENCE_REAL_IMPL_H_

#include <math.h>

#include "ops/recurrence/problem_impl.h"

#define RILLI_INLINE static inline __attribute__((always_inline, unused))

#if RILLI_F64
typedef double real;
#define REAL_SMALLEST 1e-290
RILLI_INLINE real real_exp(real x) { return exp(x); }
RILLI_INLINE real real_tanh(real x) { return tanh(x); }
#else
typedef float real;
#define REAL_SMALLEST 1e-30f
RILLI_INLINE real real_exp(real x) { return expf(x); }
RILLI_INLINE real real_tanh(real x) { return tanhf(x); }
#endif

/* x = elements [at, at + n) of an operand. */
RILLI_INLINE void read_row(rill_dtype dtype, const void *operand, int64_t at, int64_t n, real *x) {
  if (dtype == RILL_BF16) {
    const rill_bf16 *from = (const rill_bf16 *)operand + at;
    for (int64_t i = 0; i < n; i++) x[i] = (real)rill_bf16_to_f32(from[i]);
  } else if (n > 0) {
    memcpy(x, (const real *)operand + at, (size_t)n * sizeof *x);
  }
}

RILLI_INLINE void write_row(rill_dtype dtype, void *operand, int64_t at, int64_t n, const real *x) {
  if (dtype == RILL_BF16) {
    rill_bf16 *to = (rill_bf16 *)operand + at;
    for (int64_t i = 0; i < n; i++) to[i] = rill_bf16_from_f32((float)x[i]);
  } else if (n > 0) {
    memcpy((real *)operand + at, x, (size_t)n * sizeof *x);
  }
}

/* Element `at` of a gate; 1 when the gate is absent. */
RILLI_INLINE real read_gate(const void *gate, int64_t at) {
  return gate ? ((const real *)gate)[at] : (real)1;
}

/* The clip of the residual. An infinite bound is none; one below the range of `real` is its
 * smallest. */
typedef struct {
  rill_rule_clip kind;
  real bound;
} residual_clip;

RILLI_INLINE residual_clip clip_of(const rilli_recur_in *in) {
  real bound = (real)fmax(in->clip, (double)REAL_SMALLEST);
  return (residual_clip){isinf(bound) ? RILL_CLIP_NONE : in->rule->clip, bound};
}

RILLI_INLINE real clip_value(residual_clip c, real u) {
  if (c.kind == RILL_CLIP_HARD) return u > c.bound ? c.bound : u < -c.bound ? -c.bound : u;
  if (c.kind == RILL_CLIP_TANH) return c.bound * real_tanh(u / c.bound);
  return u;
}

/* The derivative at u, where clip_value gave r. */
RILLI_INLINE real clip_slope(residual_clip c, real u, real r) {
  if (c.kind == RILL_CLIP_HARD) return fabs((double)u) <= (double)c.bound ? 1 : 0;
  if (c.kind == RILL_CLIP_TANH) return 1 - (r / c.bound) * (r / c.bound);
  return 1;
}

#endif /* RILL_OPS_RECURRENCE_REAL_IMPL_H_ */
