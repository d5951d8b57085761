/* maximum and minimum of two operands; NaN wins. The gradient goes to the operand that was chosen,
 * half to each when they are equal. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_maximum, rilli_op_maximum_backward;
extern const rill_op rilli_op_minimum, rilli_op_minimum_backward;
bool rilli_cuda_maximum(const rill_call *call);
bool rilli_cuda_maximum_backward(const rill_call *call);
bool rilli_cuda_minimum(const rill_call *call);
bool rilli_cuda_minimum_backward(const rill_call *call);

/* a != a: NaN (never true of integers) */
#define MAXIMUM(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define MINIMUM(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define MAXIMUM_INTEGER(a, b) ((a) > (b) ? (a) : (b))
#define MINIMUM_INTEGER(a, b) ((a) < (b) ? (a) : (b))

RILLI_MAP_2(maximum_f32, float, float, MAXIMUM)
RILLI_MAP_2(maximum_f64, double, double, MAXIMUM)
RILLI_MAP_2(maximum_i32, int32_t, int32_t, MAXIMUM_INTEGER)
RILLI_MAP_2(maximum_i64, int64_t, int64_t, MAXIMUM_INTEGER)
RILLI_MAP_2(maximum_u8, uint8_t, uint8_t, MAXIMUM_INTEGER)
RILLI_MAP_2(minimum_f32, float, float, MINIMUM)
RILLI_MAP_2(minimum_f64, double, double, MINIMUM)
RILLI_MAP_2(minimum_i32, int32_t, int32_t, MINIMUM_INTEGER)
RILLI_MAP_2(minimum_i64, int64_t, int64_t, MINIMUM_INTEGER)
RILLI_MAP_2(minimum_u8, uint8_t, uint8_t, MINIMUM_INTEGER)

/* The part of the gradient that a gets, times 2; b gets the rest. */
#define FIRST_OF_MAXIMUM(a, b) ((a) > (b) || (a) != (a) ? 2 : (a) == (b) ? 1 : 0)
#define FIRST_OF_MINIMUM(a, b) ((a) < (b) || (a) != (a) ? 2 : (a) == (b) ? 1 : 0)

#define DEFINE_BACKWARD(name, type, first)                                          \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    const type *restrict a = in[0], *restrict b = in[1], *restrict dy = in[2];      \
    type *restrict da = out[0], *restrict db = out[1];                              \
    (void)attr;                                                                     \
    for (int64_t i = 0; i < n; i++) {                                               \
      da[i] = dy[i] * ((type)0.5 * (type)first(a[i], b[i]));                        \
      db[i] = dy[i] * ((type)0.5 * (type)(2 - first(a[i], b[i])));                  \
    }                                                                               \
  }
DEFINE_BACKWARD(maximum_backward_f32, float, FIRST_OF_MAXIMUM)
DEFINE_BACKWARD(maximum_backward_f64, double, FIRST_OF_MAXIMUM)
DEFINE_BACKWARD(minimum_backward_f32, float, FIRST_OF_MINIMUM)
DEFINE_BACKWARD(minimum_backward_f64, double, FIRST_OF_MINIMUM)

static bool maximum_run(const rill_call *call) {
  rilli_map map = {maximum_f32, maximum_f64, maximum_i32, maximum_i64, maximum_u8};
  return rilli_map_run(call, 0, &map);
}
static bool maximum_backward_run(const rill_call *call) {
  rilli_map map = {.f32 = maximum_backward_f32, .f64 = maximum_backward_f64};
  return rilli_map_run(call, 0, &map);
}
static bool minimum_run(const rill_call *call) {
  rilli_map map = {minimum_f32, minimum_f64, minimum_i32, minimum_i64, minimum_u8};
  return rilli_map_run(call, 0, &map);
}
static bool minimum_backward_run(const rill_call *call) {
  rilli_map map = {.f32 = minimum_backward_f32, .f64 = minimum_backward_f64};
  return rilli_map_run(call, 0, &map);
}

static bool backward_infer(rill_infer *q) {
  rill_shape shape;
  if (!rilli_infer_broadcast(q, 0, RILLI_FLOATS, &shape)) return false;
  return rill_infer_output(q, 0, q->in[0].dtype, shape) &&
         rill_infer_output(q, 1, q->in[0].dtype, shape);
}

static void give(rill_vjp *g, const rill_op *backward) {
  rill_tensor *out[RILL_MAX_OUTPUTS];
  rill_apply_all(backward, 3, (rill_tensor *[]){g->in[0], g->in[1], g->grad[0]}, NULL, out);
  rill_vjp_give(g, 0, out[0]);
  rill_vjp_give(g, 1, out[1]);
}
static void maximum_vjp(rill_vjp *g) { give(g, &rilli_op_maximum_backward); }
static void minimum_vjp(rill_vjp *g) { give(g, &rilli_op_minimum_backward); }

static void sample(rill_samples *s) {
  rilli_sample_binary(s, (rilli_range[]){{0, 1}, {1.1, 2}});
  rilli_sample_binary_integers(s);
  rilli_sample_refused_dtype(s, 2, RILL_BOOL, NULL, "a must be a number, not bool");
  rill_sample_add(s, (rill_sample){.name = "the other one",
                                   .in = {{.shape = RILL_SHAPE(5, 9), .low = 1.1, .high = 2},
                                          {.shape = RILL_SHAPE(9), .low = 0, .high = 1}}});
  rill_sample_add(s, (rill_sample){.name = "mixed",
                                   .in = {{.shape = RILL_SHAPE(31, 33)}, {.shape = RILL_SHAPE(33)}},
                                   .no_gradient = true});
}
static void backward_sample(rill_samples *s) {
  rilli_sample_shapes(s, 3, (rilli_range[]){{0, 0}, {0, 0}, {-1, 1}}, NULL);
  rilli_sample_refused_dtype(s, 3, RILL_I32, NULL, "a must be f64, f32 or bf16, not i32");
  rill_sample_add(
      s, (rill_sample){
             .name = "shapes",
             .in = {{.shape = RILL_SHAPE(3)}, {.shape = RILL_SHAPE(3)}, {.shape = RILL_SHAPE(2)}},
             .refused = "shapes [3] and [2] do not broadcast"});
}

const rill_op rilli_op_maximum = {
    .name = "maximum",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_numbers,
    .kernels = {{RILL_CPU, "map", NULL, maximum_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_maximum)},
    .strided = true,
    .vjp = maximum_vjp,
    .saves = RILL_SAVE_INPUT(0) | RILL_SAVE_INPUT(1),
    .sample = sample,
};

const rill_op rilli_op_maximum_backward = {
    .name = "maximum_backward",
    .in = {"a", "b", "dy"},
    .out = {"da", "db"},
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "map", NULL, maximum_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_maximum_backward)},
    .strided = true,
    .no_grad = "the derivative of maximum is constant almost everywhere",
    .sample = backward_sample,
};

const rill_op rilli_op_minimum = {
    .name = "minimum",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_numbers,
    .kernels = {{RILL_CPU, "map", NULL, minimum_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_minimum)},
    .strided = true,
    .vjp = minimum_vjp,
    .saves = RILL_SAVE_INPUT(0) | RILL_SAVE_INPUT(1),
    .sample = sample,
};

const rill_op rilli_op_minimum_backward = {
    .name = "minimum_backward",
    .in = {"a", "b", "dy"},
    .out = {"da", "db"},
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "map", NULL, minimum_backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_minimum_backward)},
    .strided = true,
    .no_grad = "the derivative of minimum is constant almost everywhere",
    .sample = backward_sample,
};

rill_tensor *rill_maximum(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_maximum, NULL, a, b);
}
rill_tensor *rill_minimum(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_minimum, NULL, a, b);
}
