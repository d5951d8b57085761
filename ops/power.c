/* sqrt, rsqrt, reciprocal, square: powers with an exponent known in advance. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_sqrt, rilli_op_rsqrt, rilli_op_rsqrt_backward;
extern const rill_op rilli_op_reciprocal, rilli_op_reciprocal_backward, rilli_op_square;
bool rilli_cuda_sqrt(const rill_call *call);
bool rilli_cuda_rsqrt(const rill_call *call);
bool rilli_cuda_rsqrt_backward(const rill_call *call);
bool rilli_cuda_reciprocal(const rill_call *call);
bool rilli_cuda_reciprocal_backward(const rill_call *call);
bool rilli_cuda_square(const rill_call *call);

static inline float rsqrt_float(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt_double(double x) { return 1.0 / sqrt(x); }
static inline float reciprocal_float(float x) { return 1.0f / x; }
static inline double reciprocal_double(double x) { return 1.0 / x; }
static inline float square_float(float x) { return x * x; }
static inline double square_double(double x) { return x * x; }
/* Of y and the gradient of y. */
static inline float rsqrt_slope_float(float y, float g) { return -0.5f * g * (y * y * y); }
static inline double rsqrt_slope_double(double y, double g) { return -0.5 * g * (y * y * y); }
static inline float reciprocal_slope_float(float y, float g) { return -g * (y * y); }
static inline double reciprocal_slope_double(double y, double g) { return -g * (y * y); }

RILLI_MAP_1(sqrt_f32, float, float, sqrtf)
RILLI_MAP_1(sqrt_f64, double, double, sqrt)
RILLI_MAP_1(rsqrt_f32, float, float, rsqrt_float)
RILLI_MAP_1(rsqrt_f64, double, double, rsqrt_double)
RILLI_MAP_1(reciprocal_f32, float, float, reciprocal_float)
RILLI_MAP_1(reciprocal_f64, double, double, reciprocal_double)
RILLI_MAP_1(square_f32, float, float, square_float)
RILLI_MAP_1(square_f64, double, double, square_double)
RILLI_MAP_2(rsqrt_slope_f32, float, float, rsqrt_slope_float)
RILLI_MAP_2(rsqrt_slope_f64, double, double, rsqrt_slope_double)
RILLI_MAP_2(reciprocal_slope_f32, float, float, reciprocal_slope_float)
RILLI_MAP_2(reciprocal_slope_f64, double, double, reciprocal_slope_double)

static bool sqrt_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = sqrt_f32, .f64 = sqrt_f64});
}
static bool rsqrt_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = rsqrt_f32, .f64 = rsqrt_f64});
}
static bool reciprocal_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = reciprocal_f32, .f64 = reciprocal_f64});
}
static bool square_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = square_f32, .f64 = square_f64});
}
static bool rsqrt_backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = rsqrt_slope_f32, .f64 = rsqrt_slope_f64});
}
static bool reciprocal_backward_run(const rill_call *call) {
  rilli_map map = {.f32 = reciprocal_slope_f32, .f64 = reciprocal_slope_f64};
  return rilli_map_run(call, 0, &map);
}

static void sqrt_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, rill_div(g->grad[0], rill_scale(g->out[0], 2)));
}
static void rsqrt_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_rsqrt_backward, NULL, g->out[0], g->grad[0]));
}
static void reciprocal_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_reciprocal_backward, NULL, g->out[0], g->grad[0]));
}
static void square_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, rill_mul(g->grad[0], rill_scale(g->in[0], 2)));
}

static void positive_sample(rill_samples *s) { rilli_sample_unary(s, 0.2, 4, NULL); }
static void any_sample(rill_samples *s) { rilli_sample_unary(s, -2, 2, NULL); }
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{0.2, 3}, {-2, 2}}, NULL);
}

const rill_op rilli_op_sqrt = {
    .name = "sqrt",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, sqrt_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_sqrt)},
    .strided = true,
    .vjp = sqrt_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = positive_sample,
};

const rill_op rilli_op_rsqrt = {
    .name = "rsqrt",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, rsqrt_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_rsqrt)},
    .strided = true,
    .vjp = rsqrt_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = positive_sample,
};

const rill_op rilli_op_rsqrt_backward = {
    .name = "rsqrt_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, rsqrt_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_rsqrt_backward)},
    .strided = true,
    .no_grad = "the derivative of rsqrt is differentiated no further",
    .sample = backward_sample,
};

const rill_op rilli_op_reciprocal = {
    .name = "reciprocal",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, reciprocal_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_reciprocal)},
    .strided = true,
    .vjp = reciprocal_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = positive_sample,
};

const rill_op rilli_op_reciprocal_backward = {
    .name = "reciprocal_backward",
    .in = {"y", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, reciprocal_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_reciprocal_backward)},
    .strided = true,
    .no_grad = "the derivative of reciprocal is differentiated no further",
    .sample = backward_sample,
};

const rill_op rilli_op_square = {
    .name = "square",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, square_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_square)},
    .strided = true,
    .vjp = square_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = any_sample,
};

rill_tensor *rill_sqrt(rill_tensor *x) { return RILL_APPLY(&rilli_op_sqrt, NULL, x); }
rill_tensor *rill_rsqrt(rill_tensor *x) { return RILL_APPLY(&rilli_op_rsqrt, NULL, x); }
rill_tensor *rill_reciprocal(rill_tensor *x) { return RILL_APPLY(&rilli_op_reciprocal, NULL, x); }
rill_tensor *rill_square(rill_tensor *x) { return RILL_APPLY(&rilli_op_square, NULL, x); }
