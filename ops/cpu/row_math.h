/* The formulas of the row kernels, for one row of reals each (f32 or f64), compiled for several
 * instruction sets. Outputs never overlap inputs; pointers marked "or NULL" are optional. Sums are
 * taken in pieces of fixed length in vector lanes and added up in f64, so a result depends on the
 * instruction set of the machine, never on its threads. */
#ifndef RILL_OPS_CPU_ROW_MATH_H_
#define RILL_OPS_CPU_ROW_MATH_H_

#include "tensor/dtype.h"

typedef struct {
  void (*softmax)(const void *x, void *y, int64_t n);
  void (*softmax_backward)(const void *y, const void *dy, void *dx, int64_t n);
  void (*log_softmax)(const void *x, void *y, int64_t n);
  void (*log_softmax_backward)(const void *y, const void *dy, void *dx, int64_t n);

  double (*logsumexp)(const void *x, int64_t n);
  /* dx = scale e^(x - lse) */
  void (*softmax_scaled)(const void *x, double lse, double scale, void *dx, int64_t n);

  /* y = x r weight silu(gate) with r = (mean x^2 + eps)^-1/2; gate, weight or NULL */
  void (*rmsnorm)(const void *x, const void *gate, const void *weight, void *y, int64_t n,
                  double eps);
  /* Adds to dweight (or NULL); dgate is NULL exactly when gate is. */
  void (*rmsnorm_backward)(const void *x, const void *gate, const void *weight, const void *dy,
                           void *dx, void *dgate, double *dweight, int64_t n, double eps);
  /* y = (x - mean) (var + eps)^-1/2 weight + bias; weight, bias or NULL */
  void (*layernorm)(const void *x, const void *weight, const void *bias, void *y, int64_t n,
                    double eps);
  /* Adds to dweight and dbias (or NULL). */
  void (*layernorm_backward)(const void *x, const void *weight, const void *dy, void *dx,
                             double *dweight, double *dbias, int64_t n, double eps);
  /* s = silu ? x sigmoid(x) : x;  y = norm ? s (sum s^2 + eps)^-1/2 : s */
  void (*prepare)(const void *x, void *y, int64_t n, bool silu, bool norm, double eps);
  void (*prepare_backward)(const void *x, const void *dy, void *dx, int64_t n, bool silu, bool norm,
                           double eps);

  /* y[i], y[i + half] = x[i] cos[i] - x[i + half] sin[i], x[i] sin[i] + x[i + half] cos[i] */
  void (*rotate)(const void *x, const void *cosine, const void *sine, void *y, int64_t half);

  /* y = bias + sum_j w[j] * x[j], elementwise over n; w is [taps, n]; bias or NULL */
  void (*convolve)(const void *const *x, const void *w, int64_t taps, const void *bias, void *y,
                   int64_t n);
  void (*silu)(void *x, int64_t n);                                          /* in place */
  void (*silu_backward)(const void *x, void *dy, int64_t n);                 /* dy *= silu'(x) */
  void (*add_product)(const void *a, const void *b, double *sum, int64_t n); /* sum += a b */
  void (*add)(const void *a, double *sum, int64_t n);                        /* sum += a */

  /* One step of a running softmax: s becomes e^(s - max) with *max the largest so far, *sum goes on
   * relative to it; returns the factor for what was summed before. n >= 1. */
  double (*attend)(void *s, int64_t n, double *max, double *sum);
  /* s becomes p = e^(s - lse), dp becomes p (dp - delta). */
  void (*attend_backward)(void *s, void *dp, int64_t n, double lse, double delta);
  void (*scale)(const void *x, double factor, void *y, int64_t n); /* y = factor x; y may be x */
  double (*dot)(const void *a, const void *b, int64_t n);
} rilli_row_math;

/* The formulas for f32 (also the reals of bf16) or f64, on this machine. */
const rilli_row_math *rilli_row_math_of(rill_dtype dtype);

extern const rilli_row_math rilli_row_math_f32, rilli_row_math_f64;
#if defined(__x86_64__)
extern const rilli_row_math rilli_row_math_f32_avx2, rilli_row_math_f32_avx512;
#endif

#endif /* RILL_OPS_CPU_ROW_MATH_H_ */
