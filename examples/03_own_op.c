/* Tutorial 3: an op of your own, outside the library.
 *
 *   bazel run //examples:03_own_op
 *
 * An op is one constant struct: names, what it infers, a kernel, a derivative. This one is
 * softsign, x / (1 + |x|). It then works like any other op: broadcasting, errors, graphs, and the
 * gradient check. */
#include <math.h>
#include <stdio.h>

#include "ops/ops.h"

/* Dtype and shape of the output, or a refusal that names what was expected. */
static bool softsign_infer(rill_infer *q) {
  if (q->in[0].dtype != RILL_F32 && q->in[0].dtype != RILL_F64)
    return rill_refuse(q, "x must be f32 or f64, not %s", rill_dtype_name(q->in[0].dtype));
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

/* A kernel sees plain arrays: contiguous unless the op says `strided`. */
static bool softsign_run(const rill_call *call) {
  int64_t n = rill_array_count(&call->in[0]);
  if (call->in[0].dtype == RILL_F32) {
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / (1 + fabsf(x[i]));
  } else {
    const double *x = call->in[0].data;
    double *y = call->out[0].data;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / (1 + fabs(x[i]));
  }
  return true;
}

/* dy/dx = 1 / (1 + |x|)^2, written in ops, so that it runs on every device. */
static void softsign_vjp(rill_vjp *g) {
  rill_tensor *slope = rill_square(rill_reciprocal(rill_affine(rill_abs(g->in[0]), 1, 1)));
  rill_vjp_give(g, 0, rill_mul(g->grad[0], slope));
}

static const rill_op softsign_op = {
    .name = "softsign",
    .in = {"x"},
    .out = {"y"},
    .infer = softsign_infer,
    .kernels = {{RILL_CPU, "loop", NULL, softsign_run}},
    .vjp = softsign_vjp,
    .saves = RILL_SAVE_INPUT(0),
};

static rill_tensor *softsign(rill_tensor *x) { return RILL_APPLY(&softsign_op, NULL, x); }

static void checked(void *user, int inputs, rill_tensor *const *in, int outputs,
                    rill_tensor **out) {
  (void)user, (void)inputs, (void)outputs;
  out[0] = softsign(in[0]);
}

int main(void) {
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 3, .on_error = RILL_CONTINUE});
  rill_tensor *x = rill_from(ctx, RILL_F32, RILL_SHAPE(5), (const float[]){-4, -1, 0, 1, 4});
  rill_print(softsign(x));

  rill_tensor *y = rill_require_grad(rill_randn(ctx, RILL_F64, RILL_SHAPE(4, 3)));
  rill_gradcheck_report report = rill_gradcheck(checked, NULL, 1, &y, 1, (rill_gradcheck_opts){0});
  rill_gradcheck_print(stdout, &report, "softsign");

  softsign(rill_arange(ctx, RILL_I32, 3)); /* refused */
  printf("refusals are messages: %s\n", rill_error(ctx));
  rill_error_clear(ctx);
  return rill_context_free(ctx) | !report.passed;
}
