/* Tutorial 2: a model of your own, and training it.
 *
 *   bazel run //examples:02_own_module
 *
 * A module is a struct of yours whose parameters have paths. This one is a small language model
 * with residual delta net (RDN) blocks; it learns to copy: the second half of each sequence repeats
 * the first. */
#include <stdio.h>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/optim.h"

enum { VOCAB = 16, WIDTH = 64, DEPTH = 2, BATCH = 16, HALF = 4, LENGTH = 2 * HALF };

typedef struct {
  rill_embedding *embed;
  rill_block *block[DEPTH];
  rill_rmsnorm *norm;
  rill_linear *head;
} lm;

static lm lm_new(rill_module *m) {
  lm f = {.embed = rill_embedding_new(m, "embed", VOCAB, WIDTH)};
  for (int i = 0; i < DEPTH; i++)
    f.block[i] = rill_block_new(rill_submodule(m, "block.%d", i),
                                (rill_block_opts){.width = WIDTH, .heads = 4, .mixer = &rill_rdn});
  f.norm = rill_rmsnorm_new(m, "norm", WIDTH);
  f.head = rill_linear_new(m, "head", WIDTH, VOCAB);
  return f;
}

static rill_tensor *lm_apply(const lm *f, rill_tensor *ids) { /* ids [B, T] */
  rill_tensor *x = rill_embed(f->embed, ids);                 /* [B, T, WIDTH] */
  for (int i = 0; i < DEPTH; i++) x = rill_block_apply(f->block[i], x);
  return rill_linear_apply(f->head, rill_rmsnorm_apply(f->norm, x)); /* [B, T, VOCAB] */
}

/* Random tokens, then the same again; the targets are the inputs one token on. Predictions within
 * the random half cannot be made and are not counted (-100). */
typedef struct {
  rill_tensor *x, *y; /* [BATCH, LENGTH] */
} batch;

static batch next_batch(rill_context *ctx) {
  rill_tensor *half = rill_randint(ctx, RILL_I32, RILL_SHAPE(BATCH, HALF), 0, VOCAB);
  rill_tensor *twice[2] = {half, half};
  rill_tensor *x = rill_concat(2, twice, 1);
  rill_tensor *parts[3] = {rill_full(ctx, RILL_I32, RILL_SHAPE(BATCH, HALF - 1), -100), half,
                           rill_full(ctx, RILL_I32, RILL_SHAPE(BATCH, 1), -100)};
  return (batch){x, rill_concat(3, parts, 1)};
}

int main(void) {
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 1});
  rill_module *net = rill_module_new(ctx);
  lm f = lm_new(net);
  rill_optim *opt =
      rill_adamw_new(rill_params(net), (rill_adamw_opts){.lr = 3e-3f, .weight_decay = 0.1f});
  printf("%lld parameters; the first is %s\n", (long long)rill_params_count(rill_params(net)),
         rill_params(net).at[0].name);

  rill_scope *turn = rill_scope_open(ctx);
  double last = 0;
  for (int step = 0; step <= 400 && rill_scope_reset(turn);
       step++) { /* frees the last turn; stops on error */
    batch b = next_batch(ctx);
    rill_tensor *loss = rill_cross_entropy(lm_apply(&f, b.x), b.y);
    rill_backward(loss);
    rill_clip_grad_norm(rill_params(net), 1.0f);
    rill_optim_step(opt);
    if (step % 100 == 0) printf("%5d  %.4f\n", step, last = rill_item(loss));
  }
  printf("guessing would be %.4f; the model has learnt to remember: %s\n", 2.7726,
         last < 1.5 ? "yes" : "no");
  return rill_context_free(ctx) | (last >= 1.5); /* everything; nonzero if an error was recorded */
}
