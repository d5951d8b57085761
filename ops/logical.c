/* not and and of bools. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_logical_and, rilli_op_logical_not;
bool rilli_cuda_logical_and(const rill_call *call);
bool rilli_cuda_logical_not(const rill_call *call);

#define NOT(x) ((uint8_t)((x) ^ 1))
#define AND(a, b) ((uint8_t)((a) & (b)))

RILLI_MAP_1(not_u8, uint8_t, uint8_t, NOT)
RILLI_MAP_2(and_u8, uint8_t, uint8_t, AND)

static bool not_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.u8 = not_u8});
}
static bool and_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.u8 = and_u8});
}

static bool infer(rill_infer *q) {
  rill_shape shape;
  return rilli_infer_broadcast(q, 0, RILLI_BOOLS, &shape) &&
         rill_infer_output(q, 0, RILL_BOOL, shape);
}

/* The shapes of operands a and b; logical_not takes a alone. */
static void sample_bools(rill_samples *s, int inputs) {
  static const rill_shape a[] = {{0, {0}},
                                 {1, {0}},
                                 {1, {1}},
                                 {1, {2}},
                                 {1, {7}},
                                 {1, {16}},
                                 {1, {17}},
                                 {1, {63}},
                                 {1, {64}},
                                 {1, {65}},
                                 {1, {1023}},
                                 {1, {1025}},
                                 {2, {0, 3}},
                                 {2, {3, 0}},
                                 {2, {1, 9}},
                                 {2, {9, 1}},
                                 {2, {5, 7}},
                                 {2, {31, 33}},
                                 {3, {1, 1, 1}},
                                 {3, {2, 3, 5}},
                                 {3, {5, 1, 3}},
                                 {4, {2, 1, 3, 2}},
                                 {8, {1, 2, 1, 2, 1, 2, 1, 2}},
                                 {2, {1031, 1019}}};
  for (size_t i = 0; i < sizeof a / sizeof a[0]; i++) {
    rill_shape b = a[i];
    if (b.rank > 1 && b.size[0] > 0) b.size[0] = 1;
    rill_sample sample = {.name = "shape", .in = {{.shape = a[i], .dtype = RILL_BOOL, .below = 2}}};
    if (inputs == 2) sample.in[1] = (rill_sample_input){.shape = b, .dtype = RILL_BOOL, .below = 2};
    rill_sample_add(s, sample);
  }
  rilli_sample_refused_dtype(s, inputs, RILL_I64, NULL, "a must be bool, not i64");
  rilli_sample_refused_dtype(s, inputs, RILL_U8, NULL, "a must be bool, not u8");
}
static void not_sample(rill_samples *s) { sample_bools(s, 1); }
static void and_sample(rill_samples *s) {
  sample_bools(s, 2);
  rill_sample_add(s, (rill_sample){.name = "shapes",
                                   .in = {{.shape = RILL_SHAPE(3), .dtype = RILL_BOOL, .below = 2},
                                          {.shape = RILL_SHAPE(2), .dtype = RILL_BOOL, .below = 2}},
                                   .refused = "shapes [3] and [2] do not broadcast"});
}

const rill_op rilli_op_logical_and = {
    .name = "logical_and",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, and_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_logical_and)},
    .strided = true,
    .no_grad = "bools have no gradient",
    .sample = and_sample,
};

const rill_op rilli_op_logical_not = {
    .name = "logical_not",
    .in = {"a"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, not_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_logical_not)},
    .strided = true,
    .no_grad = "bools have no gradient",
    .sample = not_sample,
};

rill_tensor *rill_logical_and(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_logical_and, NULL, a, b);
}
rill_tensor *rill_logical_not(rill_tensor *a) { return RILL_APPLY(&rilli_op_logical_not, NULL, a); }
