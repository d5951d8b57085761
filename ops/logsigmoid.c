/* logsigmoid: ln(1 / (1 + e^-x)) = -softplus(-x), exact where sigmoid is tiny. Derivative:
 * sigmoid(-x). */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_logsigmoid, rilli_op_logsigmoid_backward;
bool rilli_cuda_logsigmoid(const rill_call *call);
bool rilli_cuda_logsigmoid_backward(const rill_call *call);

static inline float logsigmoid_float(float x) { return -rilli_softplusf(-x); }
static inline double logsigmoid_double(double x) { return -rilli_softplus(-x); }
static inline float logsigmoid_slope_float(float x, float g) { return g * rilli_sigmoidf(-x); }
static inline double logsigmoid_slope_double(double x, double g) { return g * rilli_sigmoid(-x); }

RILLI_MAP_1(logsigmoid_f32, float, float, logsigmoid_float)
RILLI_MAP_1(logsigmoid_f64, double, double, logsigmoid_double)
RILLI_MAP_2(logsigmoid_slope_f32, float, float, logsigmoid_slope_float)
RILLI_MAP_2(logsigmoid_slope_f64, double, double, logsigmoid_slope_double)

static bool logsigmoid_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = logsigmoid_f32, .f64 = logsigmoid_f64});
}
static bool logsigmoid_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0,
                       &(rilli_map){.f32 = logsigmoid_slope_f32, .f64 = logsigmoid_slope_f64});
}

static void logsigmoid_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_logsigmoid_backward, NULL, g->in[0], g->grad[0]));
}

static void compose(rill_compose *c) { c->out[0] = rill_neg(rill_softplus(rill_neg(c->in[0]))); }
static void backward_compose(rill_compose *c) {
  c->out[0] = rill_mul(c->in[1], rill_sigmoid(rill_neg(c->in[0])));
}

static void sample(rill_samples *s) { rilli_sample_unary(s, -30, 30, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-6, 6}, {-2, 2}}, NULL);
}

const rill_op rilli_op_logsigmoid = {
    .name = "logsigmoid",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, logsigmoid_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_logsigmoid)},
    .strided = true,
    .compose = compose,
    .vjp = logsigmoid_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_logsigmoid_backward = {
    .name = "logsigmoid_backward",
    .in = {"x", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, logsigmoid_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_logsigmoid_backward)},
    .strided = true,
    .compose = backward_compose,
    .no_grad = "the derivative of logsigmoid is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_logsigmoid(rill_tensor *x) { return RILL_APPLY(&rilli_op_logsigmoid, NULL, x); }
