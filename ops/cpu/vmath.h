/* f32 elementary functions as straight-line code: no branches, tables or library calls, so that a
 * loop over them becomes vector instructions on whatever instruction set the loop is compiled for.
 * f64 uses the C library: it is there to check f32, not to be fast. */
#ifndef RILL_OPS_CPU_VMATH_H_
#define RILL_OPS_CPU_VMATH_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

/* e^x within 1.1 ulp; 0 below -104, infinity above 88.73, subnormals in between, NaN for NaN.
 * x = n ln 2 + r with |r| <= ln(2)/2; e^r by a polynomial (error 1e-8), times 2^n in two factors
 * because 2^n alone may be out of range. */
static inline float rilli_expf(float x) {
  const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
  float c = x < -104.0f ? -104.0f : x;
  c = c > 89.0f ? 89.0f : c;
  float t = c * 1.44269504f + shift, n = t - shift;
  float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.3926213466e-3f;
  p = p * r + 8.3632029715e-3f;
  p = p * r + 4.1666554438e-2f;
  p = p * r + 1.6666576846e-1f;
  p = p * r + 0.5f;
  float y = (p * r) * r + r + 1.0f;
  int32_t k;
  memcpy(&k, &t, sizeof k);
  k -= 0x4b400000; /* the bits of `shift` */
  int32_t half = k >> 1;
  uint32_t low = (uint32_t)(half + 127) << 23, high = (uint32_t)(k - half + 127) << 23;
  float a, b;
  memcpy(&a, &low, sizeof a);
  memcpy(&b, &high, sizeof b);
  return (y * a) * b;
}

/* 1 / (1 + e^-x) */
static inline float rilli_sigmoidf(float x) { return 1.0f / (1.0f + rilli_expf(-x)); }
static inline double rilli_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* ln x within 2 ulp; -infinity at 0, NaN below, infinity at infinity. x = 2^k (1 + f) with 1 + f in
 * [sqrt(1/2), sqrt(2)), and ln(1 + f) = f - f^2/2 + f^3 p(f). */
static inline float rilli_logf(float x) {
  float small = x < 1.17549435e-38f ? 8388608.0f : 1.0f, scaled = x * small; /* 2^23: subnormals */
  int32_t bits;
  memcpy(&bits, &scaled, sizeof bits);
  int32_t k = (bits - 0x3f3504f3) >> 23; /* the bits of sqrt(1/2) */
  bits -= (int32_t)((uint32_t)k << 23);
  float m;
  memcpy(&m, &bits, sizeof m);
  float f = m - 1.0f, n = (float)k - (small > 1.0f ? 23.0f : 0.0f);
  float p = 6.969753803e-2f;
  p = p * f - 1.147918798e-1f;
  p = p * f + 1.168579596e-1f;
  p = p * f - 1.242577674e-1f;
  p = p * f + 1.424903273e-1f;
  p = p * f - 1.666779828e-1f;
  p = p * f + 2.000071630e-1f;
  p = p * f - 2.499999700e-1f;
  p = p * f + 3.333333118e-1f;
  float square = f * f;
  float y = n * 0.693359375f + (f - (0.5f * square - (square * f * p - n * 2.12194440e-4f)));
  y = x > 3.40282347e38f ? x : y;
  y = x == 0.0f ? -INFINITY : y;
  return x >= 0.0f ? y : NAN;
}

/* ln(1 + t) for t >= 0: the rounding of 1 + t is put right to first order. */
static inline float rilli_log1pf(float t) {
  float u = 1.0f + t;
  return rilli_logf(u) + (t - (u - 1.0f)) / u;
}

/* ln(1 + e^x), without overflow */
static inline float rilli_softplusf(float x) {
  float high = x > 0.0f ? x : 0.0f, size = x > 0.0f ? x : -x;
  return high + rilli_log1pf(rilli_expf(-size));
}
static inline double rilli_softplus(double x) {
  return (x > 0 ? x : 0.0) + log1p(exp(x > 0 ? -x : x));
}

/* x + x^3 p(x^2) near 0, elsewhere 1 - 2 / (e^2|x| + 1) with the sign of x */
static inline float rilli_tanhf(float x) {
  float size = fabsf(x), square = x * x;
  float p = -5.923726206e-3f;
  p = p * square + 2.087346058e-2f;
  p = p * square - 5.382375887e-2f;
  p = p * square + 1.333258371e-1f;
  p = p * square - 3.333332702e-1f;
  float near = x + x * square * p;
  float far = 1.0f - 2.0f / (rilli_expf(2.0f * size) + 1.0f);
  return size < 0.625f ? near : copysignf(far, x);
}

/* The normal distribution: *tail = P(X > |x|) and *density, which share e^(-x^2/2).
 * erfc(z) = e^(-z^2) t p(t) with t = 1 / (1 + z/2), z = |x| / sqrt(2). */
static inline void rilli_normalf(float x, float *tail, float *density) {
  float size = fabsf(x), bell = rilli_expf(-0.5f * x * x);
  float t = 1.0f / (1.0f + 0.353553391f * size), u = t - 0.58f;
  float p = 3.239865213e-2f;
  p = p * u + 1.628328124e-2f;
  p = p * u - 7.288340806e-2f;
  p = p * u + 4.194552480e-3f;
  p = p * u + 1.138148195e-1f;
  p = p * u - 5.163234200e-2f;
  p = p * u - 2.033365550e-1f;
  p = p * u + 8.514748895e-2f;
  p = p * u + 5.868536340e-1f;
  p = p * u + 7.790188275e-1f;
  p = p * u + 5.694087226e-1f;
  *tail = 0.5f * bell * t * p;
  *density = 0.398942280f * bell;
}

/* sin(x + quarters pi/2) for |x| <= 1e6: reduced to [-pi/4, pi/4] in f64, where the three parts of
 * the work (reduction, sine, cosine) have bits to spare. */
static inline float rilli_sin_quarters(float x, int64_t quarters) {
  const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
  double t = (double)x * 0.63661977236758134308 + shift, n = t - shift;
  double r = ((double)x - n * 1.57079632673412561417e+00) - n * 6.07710050650619224932e-11;
  double s = r * r;
  double sine = 2.7248364486757203e-6 * s - 1.9840074662153413e-4;
  sine = r + r * s * ((sine * s + 8.333331852298282e-3) * s - 0.16666666663797441);
  double cosine = -2.7299675616792265e-7 * s + 2.4800590528562166e-5;
  cosine = 1.0 - 0.5 * s + s * s * ((cosine * s - 1.3888887654100216e-3) * s + 0.0416666666642805);
  int64_t turn;
  memcpy(&turn, &t, sizeof turn);
  turn += quarters; /* the low bits of `shift` are zero */
  double y = turn & 1 ? cosine : sine;
  return (float)(turn & 2 ? -y : y);
}

#endif /* RILL_OPS_CPU_VMATH_H_ */
