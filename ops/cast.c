/* cast: a row-major copy in another dtype, or (contiguous) in the same one. */
#include "ops/cpu/map.h"
#include "ops/ops.h"
#include "tensor/iterate.h"

extern const rill_op rilli_op_cast;
bool rilli_cuda_cast(const rill_call *call);

static bool run(const rill_call *call) {
  rill_array_copy(call->env, &call->out[0], &call->in[0]);
  return true;
}

/* Conversions that cannot go wrong; floating to integer (which truncates and saturates) and bool
 * take the general way. */
#define TO_F32(x) ((float)(x))
#define TO_F64(x) ((double)(x))

RILLI_MAP_1(f32_to_f32, float, float, TO_F32)
RILLI_MAP_1(f64_to_f32, double, float, TO_F32)
RILLI_MAP_1(i32_to_f32, int32_t, float, TO_F32)
RILLI_MAP_1(i64_to_f32, int64_t, float, TO_F32)
RILLI_MAP_1(u8_to_f32, uint8_t, float, TO_F32)
RILLI_MAP_1(f32_to_f64, float, double, TO_F64)
RILLI_MAP_1(f64_to_f64, double, double, TO_F64)
RILLI_MAP_1(i32_to_f64, int32_t, double, TO_F64)
RILLI_MAP_1(i64_to_f64, int64_t, double, TO_F64)
RILLI_MAP_1(u8_to_f64, uint8_t, double, TO_F64)

static const rilli_map TO_F32_MAP = {f32_to_f32, f64_to_f32, i32_to_f32, i64_to_f32, u8_to_f32};
static const rilli_map TO_F64_MAP = {f32_to_f64, f64_to_f64, i32_to_f64, i64_to_f64, u8_to_f64};

static bool to_float(const rill_call *call) {
  rill_dtype dtype = call->out[0].dtype;
  return rill_dtype_is_float(dtype) && dtype != call->in[0].dtype;
}

/* bf16 is rounded from f32. */
static bool to_float_run(const rill_call *call) {
  return rilli_map_run(call, 0, call->out[0].dtype == RILL_F64 ? &TO_F64_MAP : &TO_F32_MAP);
}

static bool cast_infer(rill_infer *q) {
  rill_dtype dtype = *(const rill_dtype *)q->attr;
  if (rill_dtype_size(dtype) == 0) return rill_refuse(q, "dtype %d does not exist", (int)dtype);
  return rill_infer_output(q, 0, dtype, rill_array_shape(&q->in[0]));
}

/* The engine converts the gradient back to x's dtype. */
static void vjp(rill_vjp *g) { rill_vjp_give(g, 0, g->grad[0]); }

static const rill_shape shapes[] = {{0, {0}},    {1, {0}},     {1, {1}},       {1, {7}},
                                    {2, {3, 4}}, {2, {0, 3}},  {2, {31, 33}},  {3, {2, 1, 5}},
                                    {1, {257}},  {2, {1, 17}}, {3, {5, 7, 3}}, {4, {2, 3, 2, 3}}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void cast_sample(rill_samples *samples) {
  static const rill_dtype to[] = {RILL_F32, RILL_F64, RILL_BF16, RILL_I32,
                                  RILL_I64, RILL_U8,  RILL_BOOL};
  for (int i = 0; i < SHAPES; i++)
    for (int j = 0; j < 7; j++) /* whole numbers: exact in every dtype */
      rill_sample_add(
          samples,
          (rill_sample){.in = {{.shape = shapes[i], .below = j < 3 ? 0 : 100, .dtype = RILL_I32}},
                        .attr = &to[j],
                        .no_gradient = to[j] != RILL_F64});
  static const rill_dtype from[] = {RILL_I32, RILL_I64, RILL_U8, RILL_BOOL};
  for (int i = 0; i < 12; i++) {
    rill_sample_input whole = {.shape = RILL_SHAPE(5, 7), .below = 2, .dtype = from[i % 4]};
    rill_sample_add(samples, (rill_sample){.in = {whole}, .attr = &to[i / 4], .no_gradient = true});
  }
  rill_dtype none = (rill_dtype)99;
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2)}},
                                         .attr = &none,
                                         .refused = "dtype 99 does not exist"});
  none = (rill_dtype)-1;
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(2)}},
                                         .attr = &none,
                                         .refused = "dtype -1 does not exist"});
}

const rill_op rilli_op_cast = {
    .name = "cast",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(rill_dtype),
    .infer = cast_infer,
    .kernels = {{RILL_CPU, "map", to_float, to_float_run},
                {RILL_CPU, "copy", NULL, run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_cast)},
    .strided = true,
    .vjp = vjp,
    .sample = cast_sample,
};

rill_tensor *rill_cast(rill_tensor *x, rill_dtype dtype) {
  return !rill_is_void(x) && rill_dtype_of(x) == dtype ? x : RILL_APPLY(&rilli_op_cast, &dtype, x);
}

rill_tensor *rill_contiguous(rill_tensor *x) {
  rill_array a = rill_array_of(x);
  return rill_array_contiguous(&a) ? x : RILL_APPLY(&rilli_op_cast, &a.dtype, x);
}
