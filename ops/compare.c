/* Comparisons: bool results, no gradient. NaN is equal to nothing, not even to itself. greater and
 * greater_equal are less and less_equal with their operands exchanged. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_equal, rilli_op_less, rilli_op_less_equal, rilli_op_greater,
    rilli_op_greater_equal;
bool rilli_cuda_equal(const rill_call *call);
bool rilli_cuda_less(const rill_call *call);
bool rilli_cuda_less_equal(const rill_call *call);
bool rilli_cuda_greater(const rill_call *call);
bool rilli_cuda_greater_equal(const rill_call *call);

#define EQUAL(a, b) ((a) == (b))
#define LESS(a, b) ((a) < (b))
#define LESS_EQUAL(a, b) ((a) <= (b))

RILLI_MAP_2(equal_f32, float, uint8_t, EQUAL)
RILLI_MAP_2(equal_f64, double, uint8_t, EQUAL)
RILLI_MAP_2(equal_i32, int32_t, uint8_t, EQUAL)
RILLI_MAP_2(equal_i64, int64_t, uint8_t, EQUAL)
RILLI_MAP_2(equal_u8, uint8_t, uint8_t, EQUAL)
RILLI_MAP_2(less_f32, float, uint8_t, LESS)
RILLI_MAP_2(less_f64, double, uint8_t, LESS)
RILLI_MAP_2(less_i32, int32_t, uint8_t, LESS)
RILLI_MAP_2(less_i64, int64_t, uint8_t, LESS)
RILLI_MAP_2(less_u8, uint8_t, uint8_t, LESS)
RILLI_MAP_2(less_equal_f32, float, uint8_t, LESS_EQUAL)
RILLI_MAP_2(less_equal_f64, double, uint8_t, LESS_EQUAL)
RILLI_MAP_2(less_equal_i32, int32_t, uint8_t, LESS_EQUAL)
RILLI_MAP_2(less_equal_i64, int64_t, uint8_t, LESS_EQUAL)
RILLI_MAP_2(less_equal_u8, uint8_t, uint8_t, LESS_EQUAL)

static const rilli_map EQUAL_MAP = {equal_f32, equal_f64, equal_i32, equal_i64, equal_u8};
static const rilli_map LESS_MAP = {less_f32, less_f64, less_i32, less_i64, less_u8};
static const rilli_map LESS_EQUAL_MAP = {less_equal_f32, less_equal_f64, less_equal_i32,
                                         less_equal_i64, less_equal_u8};

static bool run_exchanged(const rill_call *call, const rilli_map *map) {
  rill_array in[2] = {call->in[1], call->in[0]};
  rill_call exchanged = *call;
  exchanged.in = in;
  return rilli_map_run(&exchanged, 0, map);
}

static bool equal_run(const rill_call *call) { return rilli_map_run(call, 0, &EQUAL_MAP); }
static bool less_run(const rill_call *call) { return rilli_map_run(call, 0, &LESS_MAP); }
static bool less_equal_run(const rill_call *call) {
  return rilli_map_run(call, 0, &LESS_EQUAL_MAP);
}
static bool greater_run(const rill_call *call) { return run_exchanged(call, &LESS_MAP); }
static bool greater_equal_run(const rill_call *call) {
  return run_exchanged(call, &LESS_EQUAL_MAP);
}

static bool infer(rill_infer *q) {
  rill_shape shape;
  return rilli_infer_broadcast(q, 0, RILLI_ANY, &shape) &&
         rill_infer_output(q, 0, RILL_BOOL, shape);
}

static void sample(rill_samples *s) {
  rilli_sample_binary(s, (rilli_range[]){{0, 0}, {0, 0}});
  rilli_sample_binary_integers(s);
  rill_sample_add(s,
                  (rill_sample){.name = "many equal",
                                .in = {{.shape = RILL_SHAPE(7, 19), .dtype = RILL_I64, .below = 3},
                                       {.shape = RILL_SHAPE(19), .dtype = RILL_I64, .below = 3}}});
  rill_sample_add(s,
                  (rill_sample){.name = "bool",
                                .in = {{.shape = RILL_SHAPE(33), .dtype = RILL_BOOL, .below = 2},
                                       {.shape = RILL_SHAPE(33), .dtype = RILL_BOOL, .below = 2}}});
}

static const char NO_GRAD[] = "a comparison is constant almost everywhere";

const rill_op rilli_op_equal = {
    .name = "equal",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, equal_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_equal)},
    .strided = true,
    .no_grad = NO_GRAD,
    .sample = sample,
};

const rill_op rilli_op_less = {
    .name = "less",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, less_run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_less)},
    .strided = true,
    .no_grad = NO_GRAD,
    .sample = sample,
};

const rill_op rilli_op_less_equal = {
    .name = "less_equal",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, less_equal_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_less_equal)},
    .strided = true,
    .no_grad = NO_GRAD,
    .sample = sample,
};

const rill_op rilli_op_greater = {
    .name = "greater",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, greater_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_greater)},
    .strided = true,
    .no_grad = NO_GRAD,
    .sample = sample,
};

const rill_op rilli_op_greater_equal = {
    .name = "greater_equal",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, greater_equal_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_greater_equal)},
    .strided = true,
    .no_grad = NO_GRAD,
    .sample = sample,
};

rill_tensor *rill_equal(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_equal, NULL, a, b);
}
rill_tensor *rill_less(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_less, NULL, a, b);
}
rill_tensor *rill_less_equal(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_less_equal, NULL, a, b);
}
rill_tensor *rill_greater(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_greater, NULL, a, b);
}
rill_tensor *rill_greater_equal(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_greater_equal, NULL, a, b);
}
