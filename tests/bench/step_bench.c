/* A training step of a language model: time, tokens a second, peak memory of its tensors.
 *
 *   step_bench                   the sizes that step_torch.py has by default, for the same cores
 *   step_bench lengths           rdn and transformer at T = 1k .. 16k: what grows with the length
 *   step_bench cuda [MODEL...]   the paper's 1.5B models on a GPU, bf16, 8 x 4096 tokens; MODEL is
 *                                one of them (gdn, rdn, ...); recompute=N before it for N blocks
 *   step_bench launches          125M parameters at 1 x 1024 tokens on a GPU: plain, captured, and
 *                                what the GPU alone takes */
#include <inttypes.h>
#include <string.h>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/optim.h"
#include "tensor/capture.h"
#include "tests/bench/bench.h"

typedef struct {
  rill_context *ctx;
  rill_module *net;
  rill_lm *lm;
  rill_optim *opt;
  rill_tensor *ids, *targets, *loss; /* [B, T], [B, T], rank 0 */
  rill_capture *capture;
} job;

static void update(void *user) {
  job *j = user;
  rill_scope *scope = rill_scope_open(j->ctx);
  rill_tensor *loss = rill_lm_loss(j->lm, j->ids, j->targets);
  rill_backward(loss);
  rill_assign(j->loss, loss);
  rill_optim_step_clipped(j->opt, 1);
  rill_scope_close(scope);
}

static void step(void *user) {
  job *j = user;
  update(j);
  rill_item(j->loss);
}

static void captured_step(void *user) {
  job *j = user;
  rill_replay(j->capture);
  rill_item(j->loss);
  rill_optim_status(j->opt);
}

/* Replays that nobody waits for, so that the GPU never waits either. */
enum { QUEUED = 20 };
static void queued_steps(void *user) {
  job *j = user;
  for (int i = 0; i < QUEUED; i++) rill_replay(j->capture);
  rill_item(j->loss);
}

typedef struct {
  rill_device_kind device;
  rill_dtype dtype;
  int64_t recompute; /* blocks */
  double seconds;
} setting;

/* A fresh context, so that models do not share memory. */
static job job_new(const rill_lm_config *config, setting how, int64_t B, int64_t T) {
  job j = {.ctx = rill_context_new((rill_context_opts){.seed = 1, .device = how.device})};
  j.net = rill_module_new_with(j.ctx, rill_lm_module_opts(config, how.dtype));
  j.lm = rill_lm_new(j.net, config);
  j.lm->recompute = how.recompute;
  j.opt = rill_adamw_new(rill_params(j.net), (rill_adamw_opts){.lr = 1e-3, .weight_decay = 0.1});
  j.ids = rill_randint(j.ctx, RILL_I32, RILL_SHAPE(B, T), 0, config->vocab);
  j.targets = rill_randint(j.ctx, RILL_I32, RILL_SHAPE(B, T), 0, config->vocab);
  j.loss = rill_zeros(j.ctx, RILL_F32, RILL_SCALAR);
  return j;
}

static bool measure(const rill_lm_config *config, setting how, int64_t B, int64_t T) {
  job j = job_new(config, how, B, T);
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

static bool launches(const char *model) {
  rill_lm_config config;
  if (!rill_lm_preset(model, &config)) return false;
  config.vocab = 256;
  config.layers = 16;
  config.width = 768;
  config.heads = 6;
  setting how = {.device = RILL_CUDA, .dtype = RILL_BF16, .seconds = 2};
  job j = job_new(&config, how, 1, 1024);
  bench_time plain = bench_run(step, &j, how.seconds);
  j.capture = rill_capture_new(j.ctx, update, &j);
  captured_step(&j);
  bench_time captured = bench_run(captured_step, &j, how.seconds);
  double alone = bench_run(queued_steps, &j, how.seconds).median / QUEUED;
  printf("%-18s %9" PRId64 " %10.2f %10.2f %10.2f %9.1f %%\n", model,
         rill_params_count(rill_params(j.net)), 1e3 * plain.median, 1e3 * captured.median,
         1e3 * alone, 100 * alone / captured.median);
  fflush(stdout);
  return rill_context_free(j.ctx) == 0;
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
  bool alone = argc > 1 && strcmp(argv[1], "launches") == 0, done = true;
  bool gpu = argc > 1 && strcmp(argv[1], "cuda") == 0;
  int64_t recompute = 0;
  rill_context *ctx = rill_context_new(
      (rill_context_opts){.seed = 1, .device = gpu || alone ? RILL_CUDA : RILL_CPU});
  bench_machine(ctx);
  rill_context_free(ctx);
  if (alone) {
    printf("%-18s %9s %10s %10s %10s %11s\n", "model, 1 x 1024", "params", "plain ms", "captured",
           "GPU alone", "GPU busy");
    return launches("rdn") && launches("gdn") && launches("transformer") ? 0 : 1;
  }
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
