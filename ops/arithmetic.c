/* add, sub, mul for every number type (integers wrap around), div for floating ones; operands
 * broadcast. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_add, rilli_op_sub, rilli_op_mul, rilli_op_div;
bool rilli_cuda_add(const rill_call *call);
bool rilli_cuda_sub(const rill_call *call);
bool rilli_cuda_mul(const rill_call *call);
bool rilli_cuda_div(const rill_call *call);

/* Signed integers compute as unsigned ones, whose overflow is defined. */
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define DIV(a, b) ((a) / (b))
#define ADD_U8(a, b) ((uint8_t)((a) + (b)))
#define SUB_U8(a, b) ((uint8_t)((a) - (b)))
#define MUL_U8(a, b) ((uint8_t)((a) * (b)))

RILLI_MAP_2(add_f32, float, float, ADD)
RILLI_MAP_2(add_f64, double, double, ADD)
RILLI_MAP_2(add_i32, uint32_t, uint32_t, ADD)
RILLI_MAP_2(add_i64, uint64_t, uint64_t, ADD)
RILLI_MAP_2(add_u8, uint8_t, uint8_t, ADD_U8)
RILLI_MAP_2(sub_f32, float, float, SUB)
RILLI_MAP_2(sub_f64, double, double, SUB)
RILLI_MAP_2(sub_i32, uint32_t, uint32_t, SUB)
RILLI_MAP_2(sub_i64, uint64_t, uint64_t, SUB)
RILLI_MAP_2(sub_u8, uint8_t, uint8_t, SUB_U8)
RILLI_MAP_2(mul_f32, float, float, MUL)
RILLI_MAP_2(mul_f64, double, double, MUL)
RILLI_MAP_2(mul_i32, uint32_t, uint32_t, MUL)
RILLI_MAP_2(mul_i64, uint64_t, uint64_t, MUL)
RILLI_MAP_2(mul_u8, uint8_t, uint8_t, MUL_U8)
RILLI_MAP_2(div_f32, float, float, DIV)
RILLI_MAP_2(div_f64, double, double, DIV)

static bool add_run(const rill_call *call) {
  rilli_map map = {add_f32, add_f64, add_i32, add_i64, add_u8};
  return rilli_map_run(call, 0, &map);
}
static bool sub_run(const rill_call *call) {
  rilli_map map = {sub_f32, sub_f64, sub_i32, sub_i64, sub_u8};
  return rilli_map_run(call, 0, &map);
}
static bool mul_run(const rill_call *call) {
  rilli_map map = {mul_f32, mul_f64, mul_i32, mul_i64, mul_u8};
  return rilli_map_run(call, 0, &map);
}
static bool div_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = div_f32, .f64 = div_f64});
}

static void add_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, g->grad[0]);
  rill_vjp_give(g, 1, g->grad[0]);
}
static void sub_vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, g->grad[0]);
  if (rill_vjp_wants(g, 1)) rill_vjp_give(g, 1, rill_neg(g->grad[0]));
}
static void mul_vjp(rill_vjp *g) {
  if (rill_vjp_wants(g, 0)) rill_vjp_give(g, 0, rill_mul(g->grad[0], g->in[1]));
  if (rill_vjp_wants(g, 1)) rill_vjp_give(g, 1, rill_mul(g->grad[0], g->in[0]));
}
/* y = a / b: da = dy / b, db = -da y */
static void div_vjp(rill_vjp *g) {
  rill_tensor *da = rill_div(g->grad[0], g->in[1]);
  rill_vjp_give(g, 0, da);
  if (rill_vjp_wants(g, 1)) rill_vjp_give(g, 1, rill_neg(rill_mul(da, g->out[0])));
}

static void sample(rill_samples *s) {
  rilli_sample_binary(s, (rilli_range[]){{0, 0}, {0, 0}});
  rilli_sample_binary_integers(s);
  rilli_sample_refused_dtype(s, 2, RILL_BOOL, NULL, "a must be a number, not bool");
}
static void div_sample(rill_samples *s) {
  rilli_sample_binary(s, (rilli_range[]){{-2, 2}, {0.3, 3}});
  rilli_sample_refused_dtype(s, 2, RILL_I32, NULL, "a must be f64, f32 or bf16, not i32");
}

const rill_op rilli_op_add = {
    .name = "add",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_numbers,
    .kernels = {{RILL_CPU, "map", NULL, add_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_add)},
    .strided = true,
    .vjp = add_vjp,
    .sample = sample,
};

const rill_op rilli_op_sub = {
    .name = "sub",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_numbers,
    .kernels = {{RILL_CPU, "map", NULL, sub_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_sub)},
    .strided = true,
    .vjp = sub_vjp,
    .sample = sample,
};

const rill_op rilli_op_mul = {
    .name = "mul",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_numbers,
    .kernels = {{RILL_CPU, "map", NULL, mul_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_mul)},
    .strided = true,
    .vjp = mul_vjp,
    .saves = RILL_SAVE_INPUT(0) | RILL_SAVE_INPUT(1),
    .sample = sample,
};

const rill_op rilli_op_div = {
    .name = "div",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_floats,
    .kernels = {{RILL_CPU, "map", NULL, div_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_div)},
    .strided = true,
    .vjp = div_vjp,
    .saves = RILL_SAVE_INPUT(1) | RILL_SAVE_OUTPUT(0),
    .sample = div_sample,
};

rill_tensor *rill_add(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_add, NULL, a, b);
}
rill_tensor *rill_sub(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_sub, NULL, a, b);
}
rill_tensor *rill_mul(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_mul, NULL, a, b);
}
rill_tensor *rill_div(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_div, NULL, a, b);
}
