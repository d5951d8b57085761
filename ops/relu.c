/* relu: max(x, 0), NaN stays NaN. Gradient 0 at 0. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_relu, rilli_op_relu_backward;
bool rilli_cuda_relu(const rill_call *call);
bool rilli_cuda_relu_backward(const rill_call *call);

static inline float relu_float(float x) { return x < 0.0f ? 0.0f : x; }
static inline double relu_double(double x) { return x < 0.0 ? 0.0 : x; }
static inline float relu_slope_float(float y, float g) { return y > 0.0f ? g : 0.0f; }
static inline double relu_slope_double(double y, double g) { return y > 0.0 ? g : 0.0; }

RILLI_MAP_1(relu_f32, float, float, relu_float)
RILLI_MAP_1(relu_f64, double, double, relu_double)
RILLI_MAP_2(relu_slope_f32, float, float, relu_slope_float)
RILLI_MAP_2(relu_slope_f64, double, double, relu_slope_double)

static bool relu_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = relu_f32, .f64 = relu_f64});
}
static bool relu_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = relu_slope_f32, .f64 = relu_slope_f64});
}

static void relu_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_relu_backward, NULL, g->out[0], g->grad[0]));
}

static void compose(rill_compose *c) { c->out[0] = rill_clamp(c->in[0], 0, INFINITY); }

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

const rill_op rilli_op_relu = {
    .name = "relu",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, relu_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_relu)},
    .strided = true,
    .compose = compose,
    .vjp = relu_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = sample,
};

const rill_op rilli_op_relu_backward = {
    .name = "relu_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, relu_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_relu_backward)},
    .strided = true,
    .no_grad = "the derivative of relu is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_relu(rill_tensor *x) { return RILL_APPLY(&rilli_op_relu, NULL, x); }
