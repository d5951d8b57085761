/* cast: a row-major copy in another dtype, or (contiguous) in the same one. */
#include "ops/ops.h"
#include "tensor/iterate.h"

extern const rill_op rilli_op_cast;

static bool run(const rill_call *call) {
  rill_array_copy(call->env, &call->out[0], &call->in[0]);
  return true;
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
    .kernels = {{RILL_CPU, "copy", NULL, run}},
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
