/* gelu: x P(x), with P the normal distribution function (the exact form, not the one by tanh).
 * Derivative: P(x) + x p(x), with p the density; both share e^(-x^2/2). */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_gelu, rilli_op_gelu_backward;
bool rilli_cuda_gelu(const rill_call *call);
bool rilli_cuda_gelu_backward(const rill_call *call);

static inline float gelu_float(float x) {
  float tail, density;
  rilli_normalf(x, &tail, &density);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}
static inline double gelu_double(double x) { return 0.5 * x * erfc(-0.70710678118654752440 * x); }

static inline float gelu_slope_float(float x, float g) {
  float tail, density;
  rilli_normalf(x, &tail, &density);
  return g * ((x < 0.0f ? tail : 1.0f - tail) + x * density);
}
static inline double gelu_slope_double(double x, double g) {
  double density = 0.39894228040143267794 * exp(-0.5 * x * x);
  return g * (0.5 * erfc(-0.70710678118654752440 * x) + x * density);
}

RILLI_MAP_1(gelu_f32, float, float, gelu_float)
RILLI_MAP_1(gelu_f64, double, double, gelu_double)
RILLI_MAP_2(gelu_slope_f32, float, float, gelu_slope_float)
RILLI_MAP_2(gelu_slope_f64, double, double, gelu_slope_double)

static bool gelu_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = gelu_f32, .f64 = gelu_f64});
}
static bool gelu_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = gelu_slope_f32, .f64 = gelu_slope_f64});
}

static void gelu_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_gelu_backward, NULL, g->in[0], g->grad[0]));
}

static void sample(rill_samples *s) { rilli_sample_unary(s, -4, 4, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-4, 4}, {-2, 2}}, NULL);
}

const rill_op rilli_op_gelu = {
    .name = "gelu",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, gelu_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_gelu)},
    .strided = true,
    .vjp = gelu_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_gelu_backward = {
    .name = "gelu_backward",
    .in = {"x", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, gelu_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_gelu_backward)},
    .strided = true,
    .no_grad = "the derivative of gelu is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_gelu(rill_tensor *x) { return RILL_APPLY(&rilli_op_gelu, NULL, x); }
