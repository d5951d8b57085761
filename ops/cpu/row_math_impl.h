/* The formulas of row_math.h for one real type and one instruction set. The including file defines
 *
 *   REAL, EXP, SIGMOID  float or double and its functions
 *   TARGET              an attribute that chooses the instruction set, or nothing
 *   NAME(x)             the name of x in this instance
 *   TABLE               the name of the table
 *
 * and may include this several times. */

enum { NAME(SUM_PIECE) = 512 };

/* Sum over i of (f). f names i; the pieces keep f32 sums short. */
#define SUM(total, f)                                                                             \
  double total = 0;                                                                               \
  for (int64_t at_ = 0; at_ < n; at_ += NAME(SUM_PIECE)) {                                        \
    int64_t end_ = at_ + NAME(SUM_PIECE) < n ? at_ + NAME(SUM_PIECE) : n;                         \
    REAL piece_ = 0;                                                                              \
    _Pragma("omp simd reduction(+ : piece_)") for (int64_t i = at_; i < end_; i++) piece_ += (f); \
    total += (double)piece_;                                                                      \
  }

/* The largest element; NaN is passed over, and comes back through the sums. */
static TARGET REAL NAME(max_of)(const REAL *restrict x, int64_t n) {
  REAL lane[16], max = x[0];
  for (int l = 0; l < 16; l++) lane[l] = max;
  int64_t whole = n - n % 16;
  for (int64_t i = 0; i < whole; i += 16) {
#pragma omp simd
    for (int l = 0; l < 16; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
  }
  for (int l = 0; l < 16; l++) max = lane[l] > max ? lane[l] : max;
  for (int64_t i = whole; i < n; i++) max = x[i] > max ? x[i] : max;
  return max;
}

/* ---- softmax ---- */

static TARGET void NAME(softmax)(const void *x_, void *y_, int64_t n) {
  const REAL *restrict x = x_;
  REAL *restrict y = y_;
  if (n == 0) return;
  REAL max = NAME(max_of)(x, n);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = EXP(x[i] - max);
  SUM(sum, y[i])
  REAL factor = (REAL)(1 / sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] *= factor;
}

static TARGET void NAME(softmax_backward)(const void *y_, const void *dy_, void *dx_, int64_t n) {
  const REAL *restrict y = y_, *restrict dy = dy_;
  REAL *restrict dx = dx_;
  SUM(dot, y[i] * dy[i])
  REAL mean = (REAL)dot;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - mean);
}

static TARGET double NAME(logsumexp)(const void *x_, int64_t n) {
  const REAL *restrict x = x_;
  if (n == 0) return -(double)INFINITY;
  REAL max = NAME(max_of)(x, n);
  SUM(sum, EXP(x[i] - max))
  return (double)max + log(sum);
}

static TARGET void NAME(log_softmax)(const void *x_, void *y_, int64_t n) {
  const REAL *restrict x = x_;
  REAL *restrict y = y_;
  if (n == 0) return;
  REAL max = NAME(max_of)(x, n);
  SUM(sum, EXP(x[i] - max))
  REAL rest = (REAL)log(sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = (x[i] - max) - rest;
}

static TARGET void NAME(log_softmax_backward)(const void *y_, const void *dy_, void *dx_,
                                              int64_t n) {
  const REAL *restrict y = y_, *restrict dy = dy_;
  REAL *restrict dx = dx_;
  SUM(total, dy[i])
  REAL sum = (REAL)total;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = dy[i] - EXP(y[i]) * sum;
}

static TARGET void NAME(softmax_scaled)(const void *x_, double lse, double scale, void *dx_,
                                        int64_t n) {
  const REAL *restrict x = x_;
  REAL *restrict dx = dx_;
  REAL l = (REAL)lse, s = (REAL)scale;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = s * EXP(x[i] - l);
}

/* ---- normalisation ---- */

static TARGET void NAME(rmsnorm)(const void *x_, const void *gate_, const void *weight_, void *y_,
                                 int64_t n, double eps) {
  const REAL *restrict x = x_, *restrict gate = gate_, *restrict weight = weight_;
  REAL *restrict y = y_;
  SUM(squares, x[i] * x[i])
  REAL r = (REAL)(1 / sqrt(squares / (double)n + eps));
  if (weight) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * r * weight[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * r;
  }
  if (gate) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] *= gate[i] * SIGMOID(gate[i]);
  }
}

/* With d = dy silu(gate) and u = d weight: dx = r u - x r^3 mean(u x), dweight += d x r,
 * dgate = dy x r weight silu'(gate). dx holds u, then dx. */
static TARGET void NAME(rmsnorm_backward)(const void *x_, const void *gate_, const void *weight_,
                                          const void *dy_, void *dx_, void *dgate_,
                                          double *restrict dweight, int64_t n, double eps) {
  const REAL *restrict x = x_, *restrict gate = gate_, *restrict weight = weight_;
  const REAL *restrict dy = dy_;
  REAL *restrict dx = dx_, *restrict dgate = dgate_;
  SUM(squares, x[i] * x[i])
  double r_wide = 1 / sqrt(squares / (double)n + eps);
  REAL r = (REAL)r_wide;
  if (gate) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      REAL s = SIGMOID(gate[i]), g = gate[i];
      dx[i] = dy[i] * g * s;
      dgate[i] = dy[i] * x[i] * r * (s * (1 + g * (1 - s)));
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i];
  }
  if (dweight) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dweight[i] += (double)(dx[i] * x[i] * r);
  }
  if (weight) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] *= weight[i];
  }
  if (weight && gate) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dgate[i] *= weight[i];
  }
  SUM(dot, dx[i] * x[i])
  REAL c = (REAL)(dot / (double)n * r_wide * r_wide * r_wide);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = r * dx[i] - x[i] * c;
}

static TARGET double NAME(mean_of)(const REAL *restrict x, int64_t n) {
  SUM(sum, x[i])
  return sum / (double)n;
}

static TARGET double NAME(deviation)(const REAL *restrict x, int64_t n, REAL mean, double eps) {
  SUM(squares, (x[i] - mean) * (x[i] - mean))
  return 1 / sqrt(squares / (double)n + eps);
}

static TARGET void NAME(layernorm)(const void *x_, const void *weight_, const void *bias_, void *y_,
                                   int64_t n, double eps) {
  const REAL *restrict x = x_, *restrict weight = weight_, *restrict bias = bias_;
  REAL *restrict y = y_;
  REAL mean = (REAL)NAME(mean_of)(x, n), r = (REAL)NAME(deviation)(x, n, mean, eps);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * r;
  if (weight) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] *= weight[i];
  }
  if (bias) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += bias[i];
  }
}

/* With h = (x - mean) r and u = dy weight: dx = r (u - mean(u) - h mean(u h)), dweight += dy h,
 * dbias += dy. */
static TARGET void NAME(layernorm_backward)(const void *x_, const void *weight_, const void *dy_,
                                            void *dx_, double *restrict dweight,
                                            double *restrict dbias, int64_t n, double eps) {
  const REAL *restrict x = x_, *restrict weight = weight_, *restrict dy = dy_;
  REAL *restrict dx = dx_;
  REAL mean = (REAL)NAME(mean_of)(x, n), r = (REAL)NAME(deviation)(x, n, mean, eps);
  if (weight) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * weight[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i];
  }
  SUM(dot, dx[i] * ((x[i] - mean) * r))
  REAL a = (REAL)NAME(mean_of)(dx, n), c = (REAL)(dot / (double)n);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = r * (dx[i] - a - (x[i] - mean) * r * c);
  if (dweight) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dweight[i] += (double)(dy[i] * ((x[i] - mean) * r));
  }
  if (dbias) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dbias[i] += (double)dy[i];
  }
}

static TARGET void NAME(prepare)(const void *x_, void *y_, int64_t n, bool silu, bool norm,
                                 double eps) {
  const REAL *restrict x = x_;
  REAL *restrict y = y_;
  if (silu) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * SIGMOID(x[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i];
  }
  if (!norm) return;
  SUM(squares, y[i] * y[i])
  REAL r = (REAL)(1 / sqrt(squares + eps));
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] *= r;
}

/* ds = r dy - s r^3 (s . dy); dx = ds silu'(x). dx holds s, then ds, then dx. */
static TARGET void NAME(prepare_backward)(const void *x_, const void *dy_, void *dx_, int64_t n,
                                          bool silu, bool norm, double eps) {
  const REAL *restrict x = x_, *restrict dy = dy_;
  REAL *restrict dx = dx_;
  if (norm) {
    NAME(prepare)(x_, dx_, n, silu, false, eps);
    SUM(squares, dx[i] * dx[i])
    SUM(dot, dx[i] * dy[i])
    double r_wide = 1 / sqrt(squares + eps);
    REAL r = (REAL)r_wide, c = (REAL)(dot * r_wide * r_wide * r_wide);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = r * dy[i] - dx[i] * c;
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i];
  }
  if (!silu) return;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    REAL s = SIGMOID(x[i]);
    dx[i] *= s * (1 + x[i] * (1 - s));
  }
}

/* ---- sequence ---- */

static TARGET void NAME(rotate)(const void *x_, const void *cosine_, const void *sine_, void *y_,
                                int64_t half) {
  const REAL *restrict x = x_, *restrict cosine = cosine_, *restrict sine = sine_;
  REAL *restrict y = y_;
#pragma omp simd
  for (int64_t i = 0; i < half; i++) {
    REAL a = x[i], b = x[i + half];
    y[i] = a * cosine[i] - b * sine[i];
    y[i + half] = a * sine[i] + b * cosine[i];
  }
}

static TARGET void NAME(convolve)(const void *const *x, const void *w_, int64_t taps,
                                  const void *bias_, void *y_, int64_t n) {
  const REAL *restrict w = w_, *restrict bias = bias_;
  REAL *restrict y = y_;
  if (taps == 4) {
    const REAL *restrict a = x[0], *restrict b = x[1], *restrict c = x[2], *restrict d = x[3];
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      y[i] = w[i] * a[i] + w[n + i] * b[i] + w[2 * n + i] * c[i] + w[3 * n + i] * d[i];
  } else {
    for (int64_t j = 0; j < taps; j++) {
      const REAL *restrict a = x[j];
#pragma omp simd
      for (int64_t i = 0; i < n; i++) y[i] = (j ? y[i] : 0) + w[j * n + i] * a[i];
    }
  }
  if (bias) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += bias[i];
  }
}

static TARGET void NAME(silu)(void *x_, int64_t n) {
  REAL *restrict x = x_;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) x[i] *= SIGMOID(x[i]);
}

static TARGET void NAME(silu_backward)(const void *x_, void *dy_, int64_t n) {
  const REAL *restrict x = x_;
  REAL *restrict dy = dy_;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    REAL s = SIGMOID(x[i]);
    dy[i] *= s * (1 + x[i] * (1 - s));
  }
}

static TARGET void NAME(add_product)(const void *a_, const void *b_, double *restrict sum,
                                     int64_t n) {
  const REAL *restrict a = a_, *restrict b = b_;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += (double)(a[i] * b[i]);
}

static TARGET void NAME(add)(const void *a_, double *restrict sum, int64_t n) {
  const REAL *restrict a = a_;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += (double)a[i];
}

static TARGET double NAME(attend)(void *s_, int64_t n, double *running, double *total) {
  REAL *restrict s = s_;
  REAL old = (REAL)*running, max = NAME(max_of)(s, n);
  max = old > max ? old : max;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) s[i] = EXP(s[i] - max);
  SUM(sum, s[i])
  double factor = (double)EXP(old - max);
  *running = (double)max;
  *total = *total * factor + sum;
  return factor;
}

static TARGET void NAME(attend_backward)(void *s_, void *dp_, int64_t n, double lse_,
                                         double delta_) {
  REAL *restrict s = s_, *restrict dp = dp_;
  REAL lse = (REAL)lse_, delta = (REAL)delta_;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    REAL p = EXP(s[i] - lse);
    s[i] = p;
    dp[i] = p * (dp[i] - delta);
  }
}

static TARGET void NAME(scale)(const void *x_, double factor_, void *y_, int64_t n) {
  const REAL *x = x_;
  REAL *y = y_, factor = (REAL)factor_;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

static TARGET double NAME(dot)(const void *a_, const void *b_, int64_t n) {
  const REAL *restrict a = a_, *restrict b = b_;
  SUM(sum, a[i] * b[i])
  return sum;
}

const rilli_row_math TABLE = {
    .softmax = NAME(softmax),
    .softmax_backward = NAME(softmax_backward),
    .log_softmax = NAME(log_softmax),
    .log_softmax_backward = NAME(log_softmax_backward),
    .logsumexp = NAME(logsumexp),
    .softmax_scaled = NAME(softmax_scaled),
    .rmsnorm = NAME(rmsnorm),
    .rmsnorm_backward = NAME(rmsnorm_backward),
    .layernorm = NAME(layernorm),
    .layernorm_backward = NAME(layernorm_backward),
    .prepare = NAME(prepare),
    .prepare_backward = NAME(prepare_backward),
    .rotate = NAME(rotate),
    .convolve = NAME(convolve),
    .silu = NAME(silu),
    .silu_backward = NAME(silu_backward),
    .add_product = NAME(add_product),
    .add = NAME(add),
    .attend = NAME(attend),
    .attend_backward = NAME(attend_backward),
    .scale = NAME(scale),
    .dot = NAME(dot),
};

#undef SUM
