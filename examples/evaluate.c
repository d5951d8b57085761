/* evaluate: how well a trained model predicts a text: nats, bits per byte and perplexity. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/model.h"

static struct {
  const char *model, *data, *device;
  int64_t seq, batch, bytes, threads;
  bool json;
} opt;

static const lm_option table[] = {
    {"model", LM_STRING, &opt.model, "run", .group = "Model",
     .help = "a run's folder, or one of its checkpoints"},
    {"data", LM_STRING, &opt.data, NULL, .group = "Text",
     .help = "a text file, or a folder of them"},
    {"seq", LM_INT, &opt.seq, "1024",
     .help = "bytes in a window; the model knows nothing before it", .min = 1, .max = 1e9},
    {"batch", LM_INT, &opt.batch, "4", .help = "windows at a time", .min = 1, .max = 1e6},
    {"bytes", LM_INT, &opt.bytes, "0", .help = "read so many bytes only; 0 = all", .min = 0,
     .max = 1e15},
    {"json", LM_FLAG, &opt.json, NULL, .help = "print one JSON object"},
    {"device", LM_CHOICE, &opt.device, "auto", .group = "Machine",
     .help = "where to compute; auto: a GPU if there is one", .choices = "auto|cpu|cuda"},
    {"threads", LM_INT, &opt.threads, "0", .help = "CPU threads; 0 = all", .min = 0, .max = 1024},
    {0}};

static bool evaluate(rill_context *ctx, char *err) {
  lm_model model;
  lm_text text;
  int64_t bytes;
  if (!opt.data) return lm_fail(err, "--data is required: a text file, or a folder of them");
  if (!lm_model_load(&model, ctx, opt.model)) return lm_fail(err, "%s", rill_error(ctx));
  if (!lm_text_read(&text, opt.data, NULL, err)) return false;
  lm_text part = text;
  if (opt.bytes && part.count > opt.bytes) part.count = opt.bytes;
  double start = lm_now(), nats = lm_model_nats(&model, part, opt.seq, opt.batch, &bytes, err);
  double seconds = lm_now() - start;
  free((void *)text.bytes);
  if (isnan(nats)) return err[0] ? false : lm_fail(err, "the model's predictions are not finite");
  if (opt.json) {
    printf("{\"bytes\": %" PRId64
           ", \"nats_per_byte\": %.6f, \"bits_per_byte\": %.6f, \"perplexity\": %.6f}\n",
           bytes, nats, nats / log(2), exp(nats));
  } else {
    printf("%s on %" PRId64
           " bytes of %s: %.4f bits per byte, %.4f nats, perplexity %.3f (%.0f bytes/s)\n",
           model.lm->config.model, bytes, opt.data, nats / log(2), nats, exp(nats),
           (double)bytes / seconds);
  }
  return true;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "evaluate",
                  .summary = "Measures how well a model that pretrain made predicts a text.",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    rill_context *ctx;
    code = lm_context_open(&ctx, opt.device, opt.threads, 0, err) && evaluate(ctx, err) ? 0 : 1;
    if (code) fprintf(stderr, "evaluate: %s\n", err);
    rill_context_free(ctx);
  }
  lm_args_free(&args);
  return code;
}
