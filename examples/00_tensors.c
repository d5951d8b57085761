/* Tutorial 0: tensors.
 *
 *   bazel run //examples:00_tensors
 *
 * A context owns everything; tensors belong to its innermost scope; nobody frees a tensor and
 * nobody checks an op. */
#include <inttypes.h>
#include <stdio.h>

#include "ops/ops.h"

int main(void) {
  /* A context holds a device (the CPU), a seed, and the first error. RILL_CONTINUE keeps an error
   * for us to look at; without it the program would print it and exit. */
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 1, .on_error = RILL_CONTINUE});

  /* Making tensors. The dtype is explicit; RILL_F32 is the usual one. */
  const float values[] = {1, 2, 3, 4, 5, 6};
  rill_tensor *a = rill_from(ctx, RILL_F32, RILL_SHAPE(2, 3), values);
  rill_tensor *noise = rill_randn(ctx, RILL_F32, RILL_SHAPE(2, 3));
  printf("a, and a random tensor of its shape:\n");
  rill_print(a);
  rill_print(noise);

  /* Ops take tensors and return tensors, so calls nest like mathematics. Shapes broadcast from the
   * right. */
  rill_tensor *row = rill_from(ctx, RILL_F32, RILL_SHAPE(3), (const float[]){10, 20, 30});
  printf("a * 2 + row:\n");
  rill_print(rill_add(rill_scale(a, 2), row));
  printf("a . a^T:\n");
  rill_print(rill_matmul(a, rill_transpose(a, 0, 1)));
  printf("the softmax of each row, and the sum of each column:\n");
  rill_print(rill_softmax(a, -1));
  rill_print(rill_sum(a, 0, false));

  /* Views share memory: nothing is copied here. Sizes are read with rill_size, values with
   * rill_item. */
  rill_tensor *last = rill_slice(a, 1, 2, 3, 1); /* [2, 1] */
  printf("the last column has %" PRId64 " rows; its sum is %g\n\n", rill_size(last, 0),
         rill_item(rill_sum(last, RILL_ALL_AXES, false)));

  /* Scopes: tensors made inside are released together. What should live on is hoisted to the scope
   * around. */
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *big = rill_randn(ctx, RILL_F32, RILL_SHAPE(1000, 1000));
  rill_tensor *mean = rill_hoist(rill_mean(rill_square(big), RILL_ALL_AXES, false));
  rill_scope_close(scope);
  printf("the mean square of a million random numbers is %.3f; %" PRId64
         " bytes are in use now\n\n",
         rill_item(mean), rill_memory_used(ctx).live_bytes);

  /* Errors stick: the first one is kept, later ops do nothing, and you ask once. */
  rill_tensor *wrong = rill_matmul(a, a); /* [2, 3] . [2, 3] */
  rill_tensor *after = rill_exp(wrong);   /* does nothing */
  printf("is the result void? %s\nwhat went wrong: %s\n", rill_is_void(after) ? "yes" : "no",
         rill_error(ctx));
  rill_error_clear(ctx);

  return rill_context_free(ctx); /* releases everything; 0 unless an error is still recorded */
}
