/* exp and log, each the other's inverse: the derivatives read what is at hand, y of exp and x of
 * log, and need one pass. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_exp, rilli_op_log;
bool rilli_cuda_exp(const rill_call *call);
bool rilli_cuda_log(const rill_call *call);

RILLI_MAP_1(exp_f32, float, float, rilli_expf)
RILLI_MAP_1(exp_f64, double, double, exp)
RILLI_MAP_1(log_f32, float, float, rilli_logf)
RILLI_MAP_1(log_f64, double, double, log)

static bool exp_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = exp_f32, .f64 = exp_f64});
}
static bool log_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = log_f32, .f64 = log_f64});
}

static void exp_vjp(rill_vjp *g) { rill_vjp_give(g, 0, rill_mul(g->grad[0], g->out[0])); }
static void log_vjp(rill_vjp *g) { rill_vjp_give(g, 0, rill_div(g->grad[0], g->in[0])); }

static void exp_sample(rill_samples *s) {
  rilli_sample_unary(s, -3, 3, NULL);
  rill_sample_add(s, (rill_sample){.name = "up to overflow",
                                   .in = {{.shape = RILL_SHAPE(129), .low = -120, .high = 88}},
                                   .no_gradient = true});
}
static void log_sample(rill_samples *s) {
  rilli_sample_unary(s, 0.1, 4, NULL);
  rill_sample_add(s, (rill_sample){.name = "large",
                                   .in = {{.shape = RILL_SHAPE(129), .low = 1e-3, .high = 1e30}},
                                   .no_gradient = true});
}

const rill_op rilli_op_exp = {
    .name = "exp",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, exp_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_exp)},
    .strided = true,
    .vjp = exp_vjp,
    .saves = RILL_SAVE_OUTPUT(0),
    .sample = exp_sample,
};

const rill_op rilli_op_log = {
    .name = "log",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_float,
    .kernels = {{RILL_CPU, "map", NULL, log_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_log)},
    .strided = true,
    .vjp = log_vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = log_sample,
};

rill_tensor *rill_exp(rill_tensor *x) { return RILL_APPLY(&rilli_op_exp, NULL, x); }
rill_tensor *rill_log(rill_tensor *x) { return RILL_APPLY(&rilli_op_log, NULL, x); }
