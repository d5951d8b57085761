/* silu: x sigmoid(x). The derivative s (1 + x (1 - s)), s = sigmoid(x), is one pass over x. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_silu, rilli_op_silu_backward;
bool rilli_cuda_silu(const rill_call *call);
bool rilli_cuda_silu_backward(const rill_call *call);

static inline float silu_float(float x) { return x * rilli_sigmoidf(x); }
static inline double silu_double(double x) { return x * rilli_sigmoid(x); }
static inline float silu_slope_float(float x, float g) {
  float s = rilli_sigmoidf(x);
  return g * (s * (1.0f + x * (1.0f - s)));
}
static inline double silu_slope_double(double x, double g) {
  double s = rilli_sigmoid(x);
  return g * (s * (1.0 + x * (1.0 - s)));
}

RILLI_MAP_1(silu_f32, float, float, silu_float)
RILLI_MAP_1(silu_f64, double, double, silu_double)
RILLI_MAP_2(silu_slope_f32, float, float, silu_slope_float)
RILLI_MAP_2(silu_slope_f64, double, double, silu_slope_double)

static bool silu_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = silu_f32, .f64 = silu_f64});
}
static bool silu_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = silu_slope_f32, .f64 = silu_slope_f64});
}

static void silu_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_silu_backward, NULL, g->in[0], g->grad[0]));
}

static void compose(rill_compose *c) { c->out[0] = rill_mul(c->in[0], rill_sigmoid(c->in[0])); }
static void backward_compose(rill_compose *c) {
  rill_tensor *x = c->in[0], *s = rill_sigmoid(x);
  rill_tensor *slope = rill_mul(s, rill_affine(rill_mul(x, rill_affine(s, -1, 1)), 1, 1));
  c->out[0] = rill_mul(c->in[1], slope);
}

static void sample(rill_samples *s) { rilli_sample_unary(s, -6, 6, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-6, 6}, {-2, 2}}, NULL);
}

const rill_op rilli_op_silu = {
    .name = "silu",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, silu_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_silu)},
    .strided = true,
    .compose = compose,
    .vjp = silu_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_silu_backward = {
    .name = "silu_backward",
    .in = {"x", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, silu_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_silu_backward)},
    .strided = true,
    .compose = backward_compose,
    .no_grad = "the derivative of silu is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_silu(rill_tensor *x) { return RILL_APPLY(&rilli_op_silu, NULL, x); }
