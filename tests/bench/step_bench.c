/* A training step of a language model: time, tokens a second, peak memory of its tensors.
 *
 *   step_bench                   the sizes that step_torch.py has by default: compare the two on
 * the same cores step_bench lengths           rdn and transformer at T = 1k .. 16k: what grows with
 * the length step_bench cuda [MODEL...]   the paper's 1.5B models on a GPU, bf16, 8 x 4096 tokens;
 * MODEL is one of them (gdn, rdn, ...); recompute=N before it for N blocks */
#include <inttypes.h>
#include <string.h>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/optim.h"
#include "tests/bench/bench.h"

typedef struct {
  rill_context *ctx;
  rill_module *net;
  rill_lm *lm;
  rill_optim *opt;
  rill_tensor *ids, *targets; /* [B, T] */
} job;

static void step(void *user) {
  job *j = user;
  rill_scope *scope = rill_scope_open(j->ctx);
  rill_tensor *loss = rill_lm_loss(j->lm, j->ids, j->targets);
  rill_backward(loss);
  rill_optim_step_clipped(j->opt, 1);
  rill_item(loss);
  rill_scope_close(scope);
}

typedef struct {
  rill_device_kind device;
  rill_dtype dtype;
  int64_t recompute; /* blocks */
  double seconds;
} setting;

/* A fresh context, so that models do not share memory. */
static bool measure(const rill_lm_config *config, setting how, int64_t B, int64_t T) {
  job j = {.ctx = rill_context_new((rill_context_opts){.seed = 1, .device = how.device})};
  j.net = rill_module_new_with(j.ctx, rill_lm_module_opts(config, how.dtype));
  j.lm = rill_lm_new(j.net, config);
  j.lm->recompute = how.recompute;
  j.opt = rill_adamw_new(rill_params(j.net), (rill_adamw_opts){.lr = 1e-3, .weight_decay = 0.1});
  j.ids = rill_randint(j.ctx, RILL_I32, RILL_SHAPE(B, T), 0, config->vocab);
  j.targets = rill_randint(j.ctx, RILL_I32, RILL_SHAPE(B, T), 0, config->vocab);
  bench_time t = bench_run(step, &j, how.seconds);
  rill_memory used = rill_memory_used(j.ctx);
  printf("%-18s %9" PRId64 " %4" PRId64 " x %-6" PRId64 " %10.1f %10.1f %10.1f %12.0f %10.1f\n",
         config->model, rill_params_count(rill_params(j.net)), B, T, 1e3 * t.median, 1e3 * t.low,
         1e3 * t.high, (double)(B * T) / t.median, 1e-6 * (double)used.peak_bytes);
  return rill_context_free(j.ctx) == 0;
}

static bool small(const char *model, int64_t layers, int64_t width, int64_t heads, int64_t hidden,
                  int64_t B, int64_t T, double seconds) {
  rill_lm_config config;
  if (!rill_lm_preset(model, &config)) return false;
  config.vocab = 256;
  config.layers = layers;
  config.width = width;
  config.heads = heads;
  config.hidden = hidden;
  return measure(&config, (setting){.seconds = seconds}, B, T);
}

static bool paper(const char *model, int64_t recompute) {
  char name[64];
  rill_lm_config config;
  snprintf(name, sizeof name, "paper_%s", model);
  if (!rill_lm_preset(name, &config)) {
    fprintf(stderr, "step_bench: there is no model %s\n", name);
    return false;
  }
  setting how = {.device = RILL_CUDA, .dtype = RILL_BF16, .recompute = recompute, .seconds = 8};
  return measure(&config, how, 8, 4096);
}

int main(int argc, char **argv) {
  bool gpu = argc > 1 && strcmp(argv[1], "cuda") == 0, done = true;
  int64_t recompute = 0;
  rill_context *ctx =
      rill_context_new((rill_context_opts){.seed = 1, .device = gpu ? RILL_CUDA : RILL_CPU});
  bench_machine(ctx);
  rill_context_free(ctx);
  printf("%-18s %9s %4s x %-6s %10s %10s %10s %12s %10s\n", "model", "params", "B", "T",
         "median ms", "low", "high", "tokens/s", "peak MB");
  if (gpu) {
    for (int i = 2; i < argc; i++) {
      fflush(stdout);
      if (sscanf(argv[i], "recompute=%" SCNd64, &recompute) == 1)
        continue;
      else
        done = paper(argv[i], recompute) && done;
    }
    if (argc == 2) done = paper("gdn", 0) && paper("rla", 0) && paper("rdn", 0);
  } else if (argc > 1 && strcmp(argv[1], "lengths") == 0) {
    for (int64_t T = 1024; T <= 65536; T *= 2) {
      done = small("rdn", 2, 128, 2, 0, 1, T, 1) && done;
      if (T <= 16384) done = small("transformer", 2, 128, 2, 0, 1, T, 1) && done;
    }
  } else {
    static const char *const models[] = {"rdn", "rla", "gdn", "sgla", "transformer"};
    for (int i = 0; i < 5; i++) done = small(models[i], 4, 256, 4, 704, 8, 256, 3) && done;
  }
  return done ? 0 : 1;
}
