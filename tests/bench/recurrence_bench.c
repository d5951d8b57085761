/* The chunked recurrence against the token-by-token one, side by side in one run.
 *
 *   bazel run //tests:bench/recurrence_bench [-- T D]
 *
 * Both are checked against each other before either is timed; a wrong kernel is not timed. */
#include <inttypes.h>
#include <math.h>

#include "ops/ops.h"
#include "tests/bench/bench.h"

typedef struct {
  rill_context *ctx;
  const rill_rule *rule;
  rill_tensor *q, *k, *v, *go;
  rill_recur_opts opts;
  bool backward;
} job;

static rill_tensor *run(job *j) {
  rill_recur_out out = rill_recur(j->rule, j->q, j->k, j->v, j->opts);
  if (j->backward) {
    rill_backward_from(1, &out.o, &j->go);
    rill_tensor *leaf[] = {j->q, j->k, j->v, j->opts.log_alpha, j->opts.beta, j->opts.gamma};
    for (int i = 0; i < 6; i++)
      if (leaf[i]) rill_zero_grad(leaf[i]);
  }
  return out.o;
}

static void timed(void *user) {
  job *j = user;
  rill_scope *scope = j->backward ? rill_scope_open(j->ctx) : rill_scope_open_no_grad(j->ctx);
  run(j);
  rill_scope_close(scope);
}

static double error_between(job *j) {
  rill_scope *scope = rill_scope_open_no_grad(j->ctx);
  bool backward = j->backward;
  j->backward = false;
  j->opts.impl = RILL_IMPL_REFERENCE;
  rill_tensor *a = run(j);
  j->opts.impl = RILL_IMPL_AUTO;
  rill_tensor *b = run(j);
  j->backward = backward;
  double up = rill_item(rill_sum(rill_square(rill_sub(a, b)), RILL_ALL_AXES, false));
  double down = rill_item(rill_sum(rill_square(a), RILL_ALL_AXES, false));
  rill_scope_close(scope);
  return sqrt(up / down);
}

int main(int argc, char **argv) {
  int64_t B = 1, H = 4, T = argc > 1 ? atoll(argv[1]) : 2048, D = argc > 2 ? atoll(argv[2]) : 64;
  static const rill_rule *const rules[] = {&rill_linear_attention,
                                           &rill_sgla,
                                           &rill_gla,
                                           &rill_deltanet,
                                           &rill_gdn,
                                           &rill_rla,
                                           &rill_rdn};
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 1});
  bench_machine(ctx);
  printf("B %" PRId64 ", T %" PRId64 ", H %" PRId64 ", D = V = %" PRId64 ", f32; medians\n", B, T,
         H, D);
  printf("%-18s %-8s %12s %12s %8s %14s %9s\n", "rule", "", "token ms", "chunk ms", "ratio",
         "tokens/s", "error");
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
    rill_scope *scope = rill_scope_open(ctx);
    rill_shape key = RILL_SHAPE(B, T, H, D), gate = RILL_SHAPE(B, T, H);
    const rill_rule *rule = rules[i];
    job j = {.ctx = ctx, .rule = rule};
    j.q = rill_require_grad(rill_detach(rill_l2norm(rill_randn(ctx, RILL_F32, key), 0)));
    j.k = rill_require_grad(rill_detach(rill_l2norm(rill_randn(ctx, RILL_F32, key), 0)));
    j.v = rill_require_grad(rill_randn(ctx, RILL_F32, key));
    j.go = rill_randn(ctx, RILL_F32, key);
    rill_shape decay = rule->decay == RILL_DECAY_CHANNEL ? key : gate;
    if (rule->decay != RILL_DECAY_NONE)
      j.opts.log_alpha =
          rill_require_grad(rill_detach(rill_scale(rill_rand(ctx, RILL_F32, decay), -0.2)));
    if (rule->beta) j.opts.beta = rill_require_grad(rill_rand(ctx, RILL_F32, gate));
    if (rule->residual) j.opts.gamma = rill_require_grad(rill_rand(ctx, RILL_F32, gate));
    double error = error_between(&j);
    for (int backward = 0; backward < 2; backward++) {
      j.backward = backward;
      if (!(error <= 1e-4)) {
        printf("%-18s refused: the two differ by %g\n", rule->name, error);
        continue;
      }
      j.opts.impl = RILL_IMPL_REFERENCE;
      bench_time token = bench_run(timed, &j, 2);
      j.opts.impl = RILL_IMPL_AUTO;
      bench_time chunk = bench_run(timed, &j, 2);
      printf("%-18s %-8s %12.2f %12.2f %7.1fx %14.0f %9.1e\n", rule->name,
             backward ? "fwd+bwd" : "fwd", 1e3 * token.median, 1e3 * chunk.median,
             token.median / chunk.median, (double)(B * T) / chunk.median, error);
    }
    rill_scope_close(scope);
  }
  return rill_context_free(ctx);
}
