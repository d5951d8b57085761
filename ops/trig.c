/* sin and cos. f32 reduces its argument in f64 and stays in vectors up to 10^6; beyond, where that
 * reduction would lose digits, the C library takes over for the piece. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_sin, rilli_op_cos;
bool rilli_cuda_sin(const rill_call *call);
bool rilli_cuda_cos(const rill_call *call);

/* Are all of |x| at most 10^6? NaN counts as small: it comes out as NaN. */
RILLI_CLONES static bool all_small(int64_t n, const float *restrict x) {
  int large = 0;
  for (int64_t i = 0; i < n; i++) large |= fabsf(x[i]) > 1e6f;
  return !large;
}
RILLI_CLONES static void sin_small(int64_t n, const float *restrict x, float *restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = rilli_sin_quarters(x[i], 0);
}
RILLI_CLONES static void cos_small(int64_t n, const float *restrict x, float *restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = rilli_sin_quarters(x[i], 1);
}

static void sin_f32(int64_t n, const void *const *in, void *const *out, const void *attr) {
  const float *x = in[0];
  float *y = out[0];
  (void)attr;
  if (all_small(n, x))
    sin_small(n, x, y);
  else
    for (int64_t i = 0; i < n; i++) y[i] = sinf(x[i]);
}
static void cos_f32(int64_t n, const void *const *in, void *const *out, const void *attr) {
  const float *x = in[0];
  float *y = out[0];
  (void)attr;
  if (all_small(n, x))
    cos_small(n, x, y);
  else
    for (int64_t i = 0; i < n; i++) y[i] = cosf(x[i]);
}
RILLI_MAP_1(sin_f64, double, double, sin)
RILLI_MAP_1(cos_f64, double, double, cos)

static bool sin_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = sin_f32, .f64 = sin_f64});
}
static bool cos_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = cos_f32, .f64 = cos_f64});
}

static void sin_vjp(rill_vjp *g) { rill_vjp_give(g, 0, rill_mul(g->grad[0], rill_cos(g->in[0]))); }
static void cos_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, rill_neg(rill_mul(g->grad[0], rill_sin(g->in[0]))));
}

static void sample(rill_samples *s) {
  rilli_sample_unary(s, -7, 7, NULL);
  rill_sample_add(s, (rill_sample){.name = "large",
                                   .in = {{.shape = RILL_SHAPE(131), .low = -9e5, .high = 9e5}},
                                   .no_gradient = true});
  rill_sample_add(s, (rill_sample){.name = "very large",
                                   .in = {{.shape = RILL_SHAPE(131), .low = -1e9, .high = 1e9}},
                                   .no_gradient = true});
}

const rill_op rilli_op_sin = {
    .name = "sin",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, sin_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_sin)},
    .strided = true,
    .vjp = sin_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_cos = {
    .name = "cos",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, cos_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_cos)},
    .strided = true,
    .vjp = cos_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

rill_tensor *rill_sin(rill_tensor *x) { return RILL_APPLY(&rilli_op_sin, NULL, x); }
rill_tensor *rill_cos(rill_tensor *x) { return RILL_APPLY(&rilli_op_cos, NULL, x); }
