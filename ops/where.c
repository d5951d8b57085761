/* where: condition ? a : b, for every dtype. The gradient goes where the value came from. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_where;
bool rilli_cuda_where(const rill_call *call);

#define DEFINE_WHERE(name, type)                                                    \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    const uint8_t *restrict condition = in[0];                                      \
    const type *restrict a = in[1], *restrict b = in[2];                            \
    type *restrict y = out[0];                                                      \
    (void)attr;                                                                     \
    for (int64_t i = 0; i < n; i++) y[i] = condition[i] ? a[i] : b[i];              \
  }
DEFINE_WHERE(where_f32, float)
DEFINE_WHERE(where_f64, double)
DEFINE_WHERE(where_i32, int32_t)
DEFINE_WHERE(where_i64, int64_t)
DEFINE_WHERE(where_u8, uint8_t)

static bool run(const rill_call *call) {
  return rilli_map_run(call, 1, &(rilli_map){where_f32, where_f64, where_i32, where_i64, where_u8});
}

static bool infer(rill_infer *q) {
  rill_shape shape;
  return rilli_expect_kind(q, 0, RILLI_BOOLS) && rilli_infer_broadcast(q, 1, RILLI_ANY, &shape) &&
         rill_infer_output(q, 0, q->in[1].dtype, shape);
}

static void vjp(rill_vjp *g) {
  rill_tensor *zero = rill_scalar(g->ctx, g->like[1].dtype, 0), *condition = g->in[0];
  if (rill_vjp_wants(g, 1)) rill_vjp_give(g, 1, rill_where(condition, g->grad[0], zero));
  if (rill_vjp_wants(g, 2)) rill_vjp_give(g, 2, rill_where(condition, zero, g->grad[0]));
}

static void sample(rill_samples *s) {
  static const rill_shape shape[][3] = {
      {{0, {0}}, {0, {0}}, {0, {0}}},
      {{1, {0}}, {1, {0}}, {1, {0}}},
      {{1, {1}}, {1, {1}}, {1, {1}}},
      {{1, {7}}, {1, {7}}, {1, {7}}},
      {{1, {16}}, {1, {16}}, {1, {16}}},
      {{1, {17}}, {1, {17}}, {1, {17}}},
      {{1, {65}}, {1, {65}}, {1, {65}}},
      {{1, {513}}, {1, {513}}, {1, {513}}},
      {{1, {5}}, {0, {0}}, {0, {0}}},
      {{0, {0}}, {1, {5}}, {1, {5}}},
      {{0, {0}}, {1, {5}}, {0, {0}}},
      {{1, {5}}, {0, {0}}, {1, {5}}},
      {{1, {1}}, {1, {0}}, {1, {1}}},
      {{2, {3, 4}}, {1, {4}}, {2, {3, 1}}},
      {{1, {4}}, {2, {3, 1}}, {2, {3, 4}}},
      {{2, {3, 1}}, {2, {1, 4}}, {1, {1}}},
      {{2, {3, 4}}, {2, {3, 4}}, {2, {3, 4}}},
      {{2, {31, 33}}, {2, {31, 33}}, {1, {33}}},
      {{2, {2, 0}}, {2, {2, 1}}, {2, {1, 1}}},
      {{3, {2, 3, 5}}, {3, {2, 1, 5}}, {3, {1, 3, 1}}},
      {{3, {1, 1, 1}}, {3, {2, 3, 5}}, {2, {3, 5}}},
      {{3, {2, 1, 1}}, {2, {3, 1}}, {1, {5}}},
      {{4, {2, 1, 3, 1}}, {4, {1, 2, 1, 3}}, {0, {0}}},
      {{8, {1, 2, 1, 2, 1, 2, 1, 2}}, {8, {2, 1, 2, 1, 2, 1, 2, 1}}, {1, {1}}},
      {{2, {1031, 1019}}, {1, {1019}}, {0, {0}}},
  };
  static const rill_dtype dtype[] = {RILL_I64, RILL_I32, RILL_U8, RILL_BOOL};
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
    rill_sample_add(s, (rill_sample){.name = "shape",
                                     .in = {{.shape = shape[i][0], .dtype = RILL_BOOL, .below = 2},
                                            {.shape = shape[i][1]},
                                            {.shape = shape[i][2]}},
                                     .no_gradient = shape[i][0].size[0] > 1000});
  for (size_t i = 0; i < 4; i++)
    rill_sample_add(s,
                    (rill_sample){.name = "integers",
                                  .in = {{.shape = RILL_SHAPE(6), .dtype = RILL_BOOL, .below = 2},
                                         {.shape = RILL_SHAPE(6), .dtype = dtype[i], .below = 2},
                                         {.shape = RILL_SHAPE(1), .dtype = dtype[i], .below = 2}}});
  rill_sample_add(s, (rill_sample){.name = "condition",
                                   .in = {{.shape = RILL_SHAPE(2), .dtype = RILL_U8, .below = 2},
                                          {.shape = RILL_SHAPE(2)},
                                          {.shape = RILL_SHAPE(2)}},
                                   .refused = "condition must be bool, not u8"});
  rill_sample_add(s, (rill_sample){.name = "shapes",
                                   .in = {{.shape = RILL_SHAPE(2), .dtype = RILL_BOOL, .below = 2},
                                          {.shape = RILL_SHAPE(2)},
                                          {.shape = RILL_SHAPE(3)}},
                                   .refused = "shapes [2] and [3] do not broadcast"});
}

const rill_op rilli_op_where = {
    .name = "where",
    .in = {"condition", "a", "b"},
    .out = {"y"},
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_where)},
    .strided = true,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

rill_tensor *rill_where(rill_tensor *condition, rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_where, NULL, condition, a, b);
}
