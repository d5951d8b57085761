/* tanh. The derivative 1 - y^2 needs the result only. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_tanh, rilli_op_tanh_backward;
bool rilli_cuda_tanh(const rill_call *call);
bool rilli_cuda_tanh_backward(const rill_call *call);

/* 1 - y^2 times the gradient of y */
static inline float tanh_slope_float(float y, float g) { return g * ((1.0f - y) * (1.0f + y)); }
static inline double tanh_slope_double(double y, double g) { return g * ((1.0 - y) * (1.0 + y)); }

RILLI_MAP_1(tanh_f32, float, float, rilli_tanhf)
RILLI_MAP_1(tanh_f64, double, double, tanh)
RILLI_MAP_2(tanh_slope_f32, float, float, tanh_slope_float)
RILLI_MAP_2(tanh_slope_f64, double, double, tanh_slope_double)

static bool tanh_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = tanh_f32, .f64 = tanh_f64});
}
static bool tanh_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = tanh_slope_f32, .f64 = tanh_slope_f64});
}

static void tanh_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_tanh_backward, NULL, g->out[0], g->grad[0]));
}

static void backward_compose(rill_compose *c) {
  c->out[0] = rill_mul(c->in[1], rill_affine(rill_square(c->in[0]), -1, 1));
}

static void sample(rill_samples *s) { rilli_sample_unary(s, -3, 3, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-0.98, 0.98}, {-2, 2}}, NULL);
}

const rill_op rilli_op_tanh = {
    .name = "tanh",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, tanh_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_tanh)},
    .strided = true,
    .vjp = tanh_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = sample,
};

const rill_op rilli_op_tanh_backward = {
    .name = "tanh_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, tanh_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_tanh_backward)},
    .strided = true,
    .compose = backward_compose,
    .no_grad = "the derivative of tanh is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_tanh(rill_tensor *x) { return RILL_APPLY(&rilli_op_tanh, NULL, x); }
