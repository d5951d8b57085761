/* Vectors of `real` on one instruction set: what the innermost loops of the chunked form are
 * written in.
 *
 * A file that includes this has chosen RILLI_F64 (0 or 1) and RILLI_ISA (512: AVX-512, 256: AVX2
 * and FMA, 0: whatever the compiler was told). Every scratch matrix is padded to whole vectors, so
 * there are no remainders and no masks. The result of a sum depends on the instruction set of the
 * machine, never on its threads. */
#ifndef RILL_OPS_RECURRENCE_SIMD_IMPL_H_
#define RILL_OPS_RECURRENCE_SIMD_IMPL_H_

#if RILLI_ISA != 0
#include <immintrin.h>
#endif

#include "ops/recurrence/real_impl.h"

#if RILLI_ISA == 512
enum { VECTOR_BYTES = 64, TILE_VECTORS = 4 };
#elif RILLI_ISA == 256
enum { VECTOR_BYTES = 32, TILE_VECTORS = 2 };
#else
enum { VECTOR_BYTES = 16, TILE_VECTORS = 2 };
#endif
/* Rows of a register tile: TILE_ROWS x TILE_VECTORS sums are kept in registers. */
enum { LANES = VECTOR_BYTES / (int)sizeof(real), TILE_ROWS = 4 };
/* Sizes are padded to a multiple of this: whole vectors and whole tiles on every instruction set.
 */
enum { PAD = 16 };

typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
#if RILLI_F64
typedef int64_t lanes_mask __attribute__((vector_size(VECTOR_BYTES), may_alias));
#else
typedef int32_t lanes_mask __attribute__((vector_size(VECTOR_BYTES), may_alias));
#endif

#if defined(__clang__)
#define RILLI_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RILLI_UNROLL _Pragma("GCC unroll 16")
#endif

RILLI_INLINE vec load(const real *p) { return *(const vec *)p; }
RILLI_INLINE void store(real *p, vec x) { *(vec *)p = x; }

#if RILLI_ISA == 512 && RILLI_F64
RILLI_INLINE vec broadcast(real x) { return (vec)_mm512_set1_pd(x); }
RILLI_INLINE vec multiply_add(vec a, vec b, vec c) {
  return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif RILLI_ISA == 512
RILLI_INLINE vec broadcast(real x) { return (vec)_mm512_set1_ps(x); }
RILLI_INLINE vec multiply_add(vec a, vec b, vec c) {
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
#elif RILLI_ISA == 256 && RILLI_F64
RILLI_INLINE vec broadcast(real x) { return (vec)_mm256_set1_pd(x); }
RILLI_INLINE vec multiply_add(vec a, vec b, vec c) {
  return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#elif RILLI_ISA == 256
RILLI_INLINE vec broadcast(real x) { return (vec)_mm256_set1_ps(x); }
RILLI_INLINE vec multiply_add(vec a, vec b, vec c) {
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#else
RILLI_INLINE vec broadcast(real x) {
  vec y;
  for (int i = 0; i < LANES; i++) y[i] = x;
  return y;
}
RILLI_INLINE vec multiply_add(vec a, vec b, vec c) { return a * b + c; }
#endif

/* Sum of the lanes, in pairs that are halves of the vector apart. */
RILLI_INLINE real sum_lanes(vec x) {
#if RILLI_ISA == 512 && RILLI_F64
  return _mm512_reduce_add_pd((__m512d)x);
#elif RILLI_ISA == 512
  return _mm512_reduce_add_ps((__m512)x);
#else
  RILLI_UNROLL for (int half = LANES / 2; half > 0; half /= 2)
      RILLI_UNROLL for (int i = 0; i < half; i++) x[i] += x[i + half];
  return x[0];
#endif
}

/* x, but 0 where it is too small to matter: products of decays then never become subnormal. */
RILLI_INLINE vec faded(vec x) {
  return (vec)((lanes_mask)x & ~(lanes_mask)(x < broadcast(REAL_SMALLEST)));
}

/* e^x for x <= 0, faded. */
#if RILLI_F64
RILLI_INLINE vec exp_faded(vec x) {
  for (int i = 0; i < LANES; i++) x[i] = exp(x[i]);
  return faded(x);
}
#else
/* x = n ln 2 + r with |r| <= ln 2 / 2: 2^n goes into the exponent, e^r is its Taylor series to r^7
 * (error below a tenth of the last place). */
RILLI_INLINE vec exp_faded(vec x) {
  const vec shift = broadcast(0x1.8p23f);
  lanes_mask small = x < broadcast(-69.1f), nan = x != x;
  vec y = (vec)((lanes_mask)x & ~(small | nan));
  vec turns = multiply_add(y, broadcast(0x1.715476p0f), shift);
  lanes_mask n = (lanes_mask)turns - (lanes_mask)shift;
  turns -= shift;
  vec r = multiply_add(turns, broadcast(-0x1.62e4p-1f), y);
  r = multiply_add(turns, broadcast(-0x1.7f7d1cp-20f), r);
  vec p = broadcast(1.0f / 5040);
  p = multiply_add(p, r, broadcast(1.0f / 720));
  p = multiply_add(p, r, broadcast(1.0f / 120));
  p = multiply_add(p, r, broadcast(1.0f / 24));
  p = multiply_add(p, r, broadcast(1.0f / 6));
  p = multiply_add(p, r, broadcast(0.5f));
  p = multiply_add(p, r, broadcast(1));
  p = multiply_add(p, r, broadcast(1));
  p = (vec)((lanes_mask)p + (n << 23));
  return (vec)(((lanes_mask)p & ~(small | nan)) | ((lanes_mask)x & nan));
}
#endif

/* Sum of a[i] b[i]; n is a multiple of PAD. */
RILLI_INLINE real dot(int64_t n, const real *a, const real *b) {
  vec sum = broadcast(0);
  for (int64_t i = 0; i < n; i += LANES) sum = multiply_add(load(a + i), load(b + i), sum);
  return sum_lanes(sum);
}

#endif /* RILL_OPS_RECURRENCE_SIMD_IMPL_H_ */
