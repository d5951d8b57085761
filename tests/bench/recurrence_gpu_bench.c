/* The recurrence on a GPU, bf16, D = V = 128: forward, and forward + backward, of every rule at the
 * shapes that peers.py gives its libraries. Run both on one card and compare.
 *
 *   recurrence_gpu_bench [RULE...]        default: sgla, gdn, rla, rdn
 *
 * An output that is not finite is not timed. Percent of the floor: the bytes that the forward must
 * move (q, k, v, o and gates, once each) at the bandwidth of a copy measured in the same run. */
#include <inttypes.h>
#include <math.h>

#include "ops/ops.h"
#include "tests/bench/bench.h"
#include "tests/bench/between.h"

enum { D = 128, REPEATS = 5 };

typedef struct {
  rill_context *ctx;
  const rill_rule *rule;
  rill_tensor *q, *k, *v, *go;
  rill_recur_opts opts;
  bool backward;
} job;

static void forget(job *j) {
  rill_tensor *leaf[] = {j->q, j->k, j->v, j->opts.log_alpha, j->opts.beta, j->opts.gamma};
  for (int i = 0; i < 6; i++)
    if (leaf[i]) rill_zero_grad(leaf[i]);
}

static void timed(void *user) {
  job *j = user;
  for (int i = 0; i < REPEATS; i++) {
    rill_scope *scope = j->backward ? rill_scope_open(j->ctx) : rill_scope_open_no_grad(j->ctx);
    rill_tensor *q = bench_between(j->q), *k = bench_between(j->k), *v = bench_between(j->v);
    rill_recur_out out = rill_recur(j->rule, q, k, v, j->opts);
    if (j->backward) rill_backward_from(1, &out.o, &j->go);
    forget(j);
    rill_scope_close(scope);
  }
  rill_synchronize(j->ctx);
}

static void copies(void *user) {
  rill_tensor *x = user;
  rill_scope *scope = rill_scope_open_no_grad(rill_context_of(x));
  for (int i = 0; i < REPEATS; i++) rill_copy(x);
  rill_scope_close(scope);
  rill_synchronize(rill_context_of(x));
}

static double copy_bandwidth(rill_context *ctx) {
  rill_scope *scope = rill_scope_open(ctx);
  int64_t count = (int64_t)1 << 29;
  rill_tensor *x = rill_zeros(ctx, RILL_BF16, RILL_SHAPE(count));
  bench_time t = bench_run(copies, x, 0.5);
  rill_scope_close(scope);
  return 4.0 * (double)count * REPEATS / t.median;
}

/* A key or query: rows of length 1. */
static rill_tensor *unit(rill_context *ctx, rill_shape shape) {
  rill_tensor *x = rill_l2norm(rill_randn(ctx, RILL_BF16, shape), 0);
  return rill_require_grad(rill_detach(x));
}

static bool finite(job *j) {
  rill_scope *scope = rill_scope_open_no_grad(j->ctx);
  rill_tensor *o = rill_recur(j->rule, j->q, j->k, j->v, j->opts).o;
  double sum = rill_item(rill_sum(rill_square(rill_cast(o, RILL_F32)), RILL_ALL_AXES, false));
  rill_scope_close(scope);
  return isfinite(sum) && sum > 0;
}

static void measure(rill_context *ctx, const rill_rule *rule, int64_t B, int64_t T, int64_t H,
                    double bandwidth) {
  rill_scope *scope = rill_scope_open(ctx);
  rill_shape key = RILL_SHAPE(B, T, H, D), gate = RILL_SHAPE(B, T, H);
  job j = {.ctx = ctx, .rule = rule, .q = unit(ctx, key), .k = unit(ctx, key)};
  j.v = rill_require_grad(rill_randn(ctx, RILL_BF16, key));
  j.go = rill_randn(ctx, RILL_BF16, key);
  rill_shape decay = rule->decay == RILL_DECAY_HEAD ? RILL_SHAPE(H) : gate;
  if (rule->decay == RILL_DECAY_HEAD || rule->decay == RILL_DECAY_TOKEN)
    j.opts.log_alpha =
        rill_require_grad(rill_detach(rill_scale(rill_rand(ctx, RILL_F32, decay), -0.2)));
  if (rule->beta) j.opts.beta = rill_require_grad(rill_rand(ctx, RILL_F32, gate));
  if (rule->residual && rule->gamma == RILL_GAMMA_OWN)
    j.opts.gamma = rill_require_grad(rill_rand(ctx, RILL_F32, gate));
  char shape[48];
  snprintf(shape, sizeof shape, "%" PRId64 "x%" PRId64 "x%" PRId64, B, T, H);
  if (!finite(&j)) {
    printf("%-18s %-14s refused: the output is not finite\n", rule->name, shape);
  } else {
    double ms[2], floor = (double)(B * T * H) * (4 * D * 2 + 12) / bandwidth * 1e3;
    for (int backward = 0; backward < 2; backward++) {
      j.backward = backward;
      ms[backward] = 1e3 * bench_run(timed, &j, 0.5).median / REPEATS;
    }
    printf("%-18s %-14s %10.3f %10.3f %8.0f%% %10.1f\n", rule->name, shape, ms[0], ms[1],
           100 * floor / ms[0], 1e-6 * (double)rill_memory_used(ctx).peak_bytes);
  }
  fflush(stdout);
  rill_scope_close(scope);
  rill_memory_reset_peak(ctx);
}

int main(int argc, char **argv) {
  static const int64_t shapes[][3] = {{8, 4096, 16}, {2, 4096, 16}, {1, 32768, 16}};
  static const char *const standard[] = {"sgla", "gdn", "rla", "rdn"};
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 1, .device = RILL_CUDA});
  bench_machine(ctx);
  double bandwidth = copy_bandwidth(ctx);
  printf("copy %.2f TB/s; bf16, D = V = %d; medians\n", 1e-12 * bandwidth, D);
  printf("%-18s %-14s %10s %10s %9s %10s\n", "rule", "B x T x H", "fwd ms", "fwd+bwd ms", "floor",
         "peak MB");
  int rules = argc > 1 ? argc - 1 : 4;
  for (int i = 0; i < rules; i++) {
    const char *name = argc > 1 ? argv[1 + i] : standard[i];
    const rill_rule *rule = rill_rule_find(name);
    if (!rule) {
      fprintf(stderr, "recurrence_gpu_bench: there is no rule %s\n", name);
      return 2;
    }
    for (int s = 0; s < 3; s++)
      measure(ctx, rule, shapes[s][0], shapes[s][1], shapes[s][2], bandwidth);
  }
  return rill_context_free(ctx);
}
