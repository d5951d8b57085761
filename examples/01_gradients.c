/* Tutorial 1: gradients, and how to prove them.
 *
 *   bazel run //examples:01_gradients
 *
 * Mark leaves with rill_require_grad, compute, call rill_backward. rill_gradcheck compares with
 * finite differences. */
#include <stdio.h>

#include "ops/ops.h"

/* Any function of tensors can be checked: it reads in[] and sets out[]. This one is a two-layer
 * network's loss. */
static void loss(void *user, int inputs, rill_tensor *const *in, int outputs, rill_tensor **out) {
  (void)user, (void)inputs, (void)outputs;
  rill_tensor *x = in[0], *w1 = in[1], *w2 = in[2];
  rill_tensor *hidden = rill_silu(rill_matmul(x, w1)); /* [5, 4] */
  out[0] = rill_mean(rill_square(rill_matmul(hidden, w2)), RILL_ALL_AXES, false);
}

/* Residual linear attention has a derivative derived by hand; it is checked in the same way. */
static void residual_attention(void *user, int inputs, rill_tensor *const *in, int outputs,
                               rill_tensor **out) {
  (void)user, (void)inputs, (void)outputs;
  rill_tensor *q = rill_l2norm(in[0], 0), *k = rill_l2norm(in[1], 0), *v = in[2];
  rill_recur_opts gates = {.log_alpha = rill_logsigmoid(in[3]),
                           .beta = rill_sigmoid(in[4]),
                           .gamma = rill_sigmoid(in[5])};
  out[0] = rill_recur(&rill_rdn, q, k, v, gates).o; /* [1, 7, 2, 3] */
}

int main(void) {
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 2});

  /* One gradient by hand: d/dx of x^3 at 2 is 12. */
  rill_tensor *x = rill_require_grad(rill_scalar(ctx, RILL_F64, 2));
  rill_backward(rill_mul(rill_square(x), x));
  printf("d x^3 / dx at 2 = %g\n", rill_item(rill_grad(x)));

  /* A second backward adds to the gradient; rill_zero_grad starts anew. */
  rill_backward(rill_square(x));
  printf("with d x^2 / dx added: %g\n", rill_item(rill_grad(x)));
  rill_zero_grad(x);

  /* No graph is recorded in a no-grad scope, nor from a detached tensor. */
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  printf("does x^2 need a gradient in a no-grad scope? %s\n\n",
         rill_requires_grad(rill_square(x)) ? "yes" : "no");
  rill_scope_close(scope);

  /* The proof: central differences in f64 against the tape. */
  rill_tensor *in[3] = {rill_randn(ctx, RILL_F64, RILL_SHAPE(5, 3)),
                        rill_require_grad(rill_randn(ctx, RILL_F64, RILL_SHAPE(3, 4))),
                        rill_require_grad(rill_randn(ctx, RILL_F64, RILL_SHAPE(4, 2)))};
  rill_gradcheck_report report = rill_gradcheck(loss, NULL, 3, in, 1, (rill_gradcheck_opts){0});
  rill_gradcheck_print(stdout, &report, "two-layer network");
  int failed = !report.passed;

  rill_tensor *operand[6];
  for (int i = 0; i < 6; i++) {
    rill_shape shape =
        i < 3 ? RILL_SHAPE(1, 7, 2, 3) : RILL_SHAPE(1, 7, 2); /* [B, T, H, D] and [B, T, H] */
    operand[i] = rill_require_grad(rill_randn(ctx, RILL_F64, shape));
  }
  report = rill_gradcheck(residual_attention, NULL, 6, operand, 1, (rill_gradcheck_opts){0});
  rill_gradcheck_print(stdout, &report, "residual delta net");
  failed |= !report.passed;

  return rill_context_free(ctx) | failed;
}
