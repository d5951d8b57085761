/* abs. The gradient is that of y with the sign of x, 0 at 0. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_abs, rilli_op_abs_backward;
bool rilli_cuda_abs(const rill_call *call);
bool rilli_cuda_abs_backward(const rill_call *call);

static inline float abs_slope_float(float x, float g) {
  return x > 0.0f ? g : (x < 0.0f ? -g : 0.0f);
}
static inline double abs_slope_double(double x, double g) {
  return x > 0.0 ? g : (x < 0.0 ? -g : 0.0);
}

RILLI_MAP_1(abs_f32, float, float, fabsf)
RILLI_MAP_1(abs_f64, double, double, fabs)
RILLI_MAP_2(abs_slope_f32, float, float, abs_slope_float)
RILLI_MAP_2(abs_slope_f64, double, double, abs_slope_double)

static bool abs_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = abs_f32, .f64 = abs_f64});
}
static bool abs_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = abs_slope_f32, .f64 = abs_slope_f64});
}

static void abs_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_abs_backward, NULL, g->in[0], g->grad[0]));
}

static void compose(rill_compose *c) { c->out[0] = rill_maximum(c->in[0], rill_neg(c->in[0])); }

static void sample(rill_samples *s) {
  rilli_sample_unary(s, 0.05, 2, NULL);
  rill_sample_add(s, (rill_sample){.name = "below 0",
                                   .in = {{.shape = RILL_SHAPE(5, 33), .low = -2, .high = -0.05}}});
  rill_sample_add(s, (rill_sample){.name = "both sides",
                                   .in = {{.shape = RILL_SHAPE(5, 33), .low = -2, .high = 2}},
                                   .no_gradient = true});
}
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-2, 2}, {-2, 2}}, NULL);
}

const rill_op rilli_op_abs = {
    .name = "abs",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, abs_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_abs)},
    .strided = true,
    .compose = compose,
    .vjp = abs_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_abs_backward = {
    .name = "abs_backward",
    .in = {"x", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, abs_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_abs_backward)},
    .strided = true,
    .no_grad = "the derivative of abs is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_abs(rill_tensor *x) { return RILL_APPLY(&rilli_op_abs, NULL, x); }
