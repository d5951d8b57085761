/* neg: -x. Integers wrap around: the smallest one is its own negative. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_neg;
bool rilli_cuda_neg(const rill_call *call);

#define NEG(x) (-(x))
#define NEG_UNSIGNED(x) (0 - (x))
#define NEG_U8(x) ((uint8_t)(0 - (x)))

RILLI_MAP_1(neg_f32, float, float, NEG)
RILLI_MAP_1(neg_f64, double, double, NEG)
RILLI_MAP_1(neg_i32, uint32_t, uint32_t, NEG_UNSIGNED)
RILLI_MAP_1(neg_i64, uint64_t, uint64_t, NEG_UNSIGNED)
RILLI_MAP_1(neg_u8, uint8_t, uint8_t, NEG_U8)

static bool run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){neg_f32, neg_f64, neg_i32, neg_i64, neg_u8});
}

static void vjp(rill_vjp *g) { rill_vjp_give(g, 0, rill_neg(g->grad[0])); }

static void sample(rill_samples *s) {
  rilli_sample_shapes(s, 1, &(rilli_range){0, 0}, NULL);
  rill_sample_add(s,
                  (rill_sample){.name = "i32",
                                .in = {{.shape = RILL_SHAPE(9), .dtype = RILL_I32, .below = 50}}});
  rill_sample_add(s,
                  (rill_sample){.name = "i64",
                                .in = {{.shape = RILL_SHAPE(9), .dtype = RILL_I64, .below = 50}}});
  rilli_sample_refused_dtype(s, 1, RILL_BOOL, NULL, "x must be a number, not bool");
  rill_sample_add(s, (rill_sample){.name = "bool of rank 0",
                                   .in = {{.shape = RILL_SCALAR, .dtype = RILL_BOOL, .below = 2}},
                                   .refused = "x must be a number"});
}

const rill_op rilli_op_neg = {
    .name = "neg",
    .in = {"x"},
    .out = {"y"},
    .infer = rilli_infer_number,
    .kernels = {{RILL_CPU, "map", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_neg)},
    .strided = true,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_neg(rill_tensor *x) { return RILL_APPLY(&rilli_op_neg, NULL, x); }
