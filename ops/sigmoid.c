/* sigmoid: 1 / (1 + e^-x). The derivative y (1 - y) needs the result only. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_sigmoid, rilli_op_sigmoid_backward;
bool rilli_cuda_sigmoid(const rill_call *call);
bool rilli_cuda_sigmoid_backward(const rill_call *call);

/* y (1 - y) times the gradient of y */
static inline float sigmoid_slope_float(float y, float g) { return g * y * (1.0f - y); }
static inline double sigmoid_slope_double(double y, double g) { return g * y * (1.0 - y); }

RILLI_MAP_1(sigmoid_f32, float, float, rilli_sigmoidf)
RILLI_MAP_1(sigmoid_f64, double, double, rilli_sigmoid)
RILLI_MAP_2(sigmoid_slope_f32, float, float, sigmoid_slope_float)
RILLI_MAP_2(sigmoid_slope_f64, double, double, sigmoid_slope_double)

static bool sigmoid_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = sigmoid_f32, .f64 = sigmoid_f64});
}
static bool sigmoid_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = sigmoid_slope_f32, .f64 = sigmoid_slope_f64});
}

static void sigmoid_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_sigmoid_backward, NULL, g->out[0], g->grad[0]));
}

static void compose(rill_compose *c) {
  c->out[0] = rill_reciprocal(rill_affine(rill_exp(rill_neg(c->in[0])), 1, 1));
}
static void backward_compose(rill_compose *c) {
  rill_tensor *y = c->in[0], *dy = c->in[1];
  c->out[0] = rill_mul(rill_mul(dy, y), rill_affine(y, -1, 1));
}

static void sample(rill_samples *s) { rilli_sample_unary(s, -6, 6, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{0.02, 0.98}, {-2, 2}}, NULL);
}

const rill_op rilli_op_sigmoid = {
    .name = "sigmoid",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, sigmoid_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_sigmoid)},
    .strided = true,
    .compose = compose,
    .vjp = sigmoid_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = sample,
};

const rill_op rilli_op_sigmoid_backward = {
    .name = "sigmoid_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, sigmoid_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_sigmoid_backward)},
    .strided = true,
    .compose = backward_compose,
    .no_grad = "the derivative of sigmoid is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_sigmoid(rill_tensor *x) { return RILL_APPLY(&rilli_op_sigmoid, NULL, x); }
