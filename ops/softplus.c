/* softplus: ln(1 + e^x) as max(x, 0) + ln(1 + e^-|x|), which cannot overflow. Derivative:
 * sigmoid(x). */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_softplus, rilli_op_softplus_backward;
bool rilli_cuda_softplus(const rill_call *call);
bool rilli_cuda_softplus_backward(const rill_call *call);

static inline float softplus_slope_float(float x, float g) { return g * rilli_sigmoidf(x); }
static inline double softplus_slope_double(double x, double g) { return g * rilli_sigmoid(x); }

RILLI_MAP_1(softplus_f32, float, float, rilli_softplusf)
RILLI_MAP_1(softplus_f64, double, double, rilli_softplus)
RILLI_MAP_2(softplus_slope_f32, float, float, softplus_slope_float)
RILLI_MAP_2(softplus_slope_f64, double, double, softplus_slope_double)

static bool softplus_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = softplus_f32, .f64 = softplus_f64});
}
static bool softplus_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = softplus_slope_f32, .f64 = softplus_slope_f64});
}

static void softplus_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_softplus_backward, NULL, g->in[0], g->grad[0]));
}

static void backward_compose(rill_compose *c) {
  c->out[0] = rill_mul(c->in[1], rill_sigmoid(c->in[0]));
}

static void sample(rill_samples *s) { rilli_sample_unary(s, -30, 30, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-6, 6}, {-2, 2}}, NULL);
}

const rill_op rilli_op_softplus = {
    .name = "softplus",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, softplus_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_softplus)},
    .strided = true,
    .vjp = softplus_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_softplus_backward = {
    .name = "softplus_backward",
    .in = {"x", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, softplus_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_softplus_backward)},
    .strided = true,
    .compose = backward_compose,
    .no_grad = "the derivative of softplus is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_softplus(rill_tensor *x) { return RILL_APPLY(&rilli_op_softplus, NULL, x); }
