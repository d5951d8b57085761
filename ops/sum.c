/* sum, and what is made of it: mean, var. Integers and bools are summed as i64. */
#include "ops/axis.h"
#include "ops/cpu/sum.h"

extern const rill_op rilli_op_sum;
bool rilli_cuda_sum(const rill_call *call);

static bool infer(rill_infer *q) {
  rill_shape shape;
  rill_dtype dtype = rill_dtype_is_float(q->in[0].dtype) ? q->in[0].dtype : RILL_I64;
  return rilli_axis_infer(q, q->attr, &shape) && rill_infer_output(q, 0, dtype, shape);
}

static bool run(const rill_call *call) {
  rilli_axis_fold f = rilli_axis_of(&call->in[0], ((const rilli_axis_attr *)call->attr)->axis);
  return rilli_sum(call->env, &call->in[0], f.outer, f.size, f.inner, &call->out[0]);
}

static void vjp(rill_vjp *g) {
  rill_shape shape = rill_array_shape(&g->like[0]);
  int axis = ((const rilli_axis_attr *)g->attr)->axis;
  rill_vjp_give(g, 0, rill_expand(rilli_axis_keep(g->grad[0], shape, axis), shape));
}

static void sample(rill_samples *samples) {
  static const rill_dtype integers[] = {RILL_I64, RILL_I32, RILL_U8, RILL_BOOL};
  rilli_axis_samples(samples, 0, 0, true);
  for (int i = 0; i < 8; i++) {
    rilli_axis_attr attr = {i / 4, false};
    rill_sample_input x = {.shape = RILL_SHAPE(35, 301), .dtype = integers[i % 4], .below = 2};
    rill_sample_add(samples, (rill_sample){.name = "integers", .in = {x}, .attr = &attr});
  }
}

const rill_op rilli_op_sum = {
    .name = "sum",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(rilli_axis_attr),
    .infer = infer,
    .kernels = {{RILL_CPU, "blocks", NULL, run}, RILL_CUDA_KERNEL("blocks", NULL, rilli_cuda_sum)},
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_sum(rill_tensor *x, int axis, bool keep) {
  rilli_axis_attr attr = {axis, keep};
  return RILL_APPLY(&rilli_op_sum, &attr, x);
}

/* How many elements one result stands for. */
static double length(rill_tensor *x, int axis) {
  rill_array a = rill_array_of(x);
  if (axis != RILL_ALL_AXES && rill_axis(axis, a.rank) < 0) return 1;
  return (double)rilli_axis_of(&a, axis).size;
}

rill_tensor *rill_mean(rill_tensor *x, int axis, bool keep) {
  if (!rill_is_void(x) && !rill_dtype_is_float(rill_dtype_of(x)))
    rill_fail(rill_context_of(x), RILL_ERROR_ARGUMENT, "mean: x must be f64, f32 or bf16, not %s",
              rill_dtype_name(rill_dtype_of(x)));
  rill_scope *scope = rill_scope_open(rill_context_of(x));
  rill_tensor *y = rill_hoist(rill_scale(rill_sum(x, axis, keep), 1 / length(x, axis)));
  rill_scope_close(scope);
  return y;
}

rill_tensor *rill_var(rill_tensor *x, int axis, bool keep, int correction) {
  rill_context *ctx = rill_context_of(x);
  if (correction != 0 && correction != 1)
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "var: correction must be 0 or 1, not %d", correction);
  rill_scope *scope = rill_scope_open(ctx);
  rill_shape shape = rill_shape_of(x);
  rill_tensor *mean = rilli_axis_keep(rill_mean(x, axis, true), shape, axis);
  rill_tensor *sum = rill_sum(rill_square(rill_sub(x, mean)), axis, keep);
  rill_tensor *y = rill_hoist(rill_scale(sum, 1 / (length(x, axis) - correction)));
  rill_scope_close(scope);
  return y;
}
