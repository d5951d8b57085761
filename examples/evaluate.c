/* evaluate: how well a trained model predicts a text: bits per byte, nats and perplexity. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/corpus.h"
#include "examples/lm/model.h"

static struct {
  const char *model, *data, *device, *dtype;
  int64_t seq, batch, bytes, threads;
  bool json;
} opt;

static const lm_option table[] = {
    {"model", LM_STRING, &opt.model, "run", .group = "Model",
     .help = "a run's folder, or one of its checkpoints"},
    {"data", LM_STRING, &opt.data, NULL, .group = "Text",
     .help = "a text file, a folder of them, or shards of tokens"},
    {"seq", LM_INT, &opt.seq, "1024",
     .help = "tokens in a window; the model knows nothing before it", .min = 1, .max = 1e9},
    {"batch", LM_INT, &opt.batch, "4", .help = "windows at a time", .min = 1, .max = 1e6},
    {"bytes", LM_INT, &opt.bytes, "0", .help = "read about so many bytes only; 0 = all", .min = 0,
     .max = 1e15},
    {"json", LM_FLAG, &opt.json, NULL, .help = "print one JSON object"},
    {"device", LM_CHOICE, &opt.device, "auto", .group = "Machine",
     .help = "where to compute; auto: a GPU if there is one", .choices = "auto|cpu|cuda"},
    {"dtype", LM_CHOICE, &opt.dtype, "auto",
     .help = "of weights and activations; auto: f32 on the CPU, as stored on a GPU",
     .choices = "auto|f32|bf16"},
    {"threads", LM_INT, &opt.threads, "0", .help = "CPU threads; 0 = all", .min = 0, .max = 1024},
    {0}};

/* A number, or null where it is not known. */
static void print_number(const char *name, double value) {
  if (isnan(value))
    printf(", \"%s\": null", name);
  else
    printf(", \"%s\": %.6f", name, value);
}

static void print_json(const lm_measure *m) {
  double bits = lm_measure_bits(m);
  printf("{\"tokens\": %" PRId64 ", \"bytes\": %" PRId64, m->tokens, m->bytes);
  print_number("nats_per_token", m->nats);
  print_number("nats_per_byte", bits * log(2));
  print_number("bits_per_byte", bits);
  print_number("perplexity", exp(m->nats));
  printf("}\n");
}

static void print_line(const lm_model *model, const lm_measure *m, double seconds) {
  printf("%s on %" PRId64 " tokens of %s: ", model->lm->config.model, m->tokens, opt.data);
  if (m->bytes) printf("%.4f bits per byte, ", lm_measure_bits(m));
  printf("%.4f nats, perplexity %.3f (%.0f tokens/s)\n", m->nats, exp(m->nats),
         (double)m->tokens / seconds);
}

/* Tokens that are about so many bytes. */
static int64_t tokens_of(const lm_model *model, const lm_parts *stream, int64_t bytes) {
  int64_t tokens = 0;
  for (int64_t p = 0; p < stream->parts && bytes > 0; p++)
    for (int64_t i = 0; i < stream->part[p].count && bytes > 0; i++, tokens++) {
      int64_t more = lm_tokenizer_measure(model->tokenizer, &stream->part[p], i, 1);
      bytes -= more > 0 ? more : 1;
    }
  return tokens;
}

static bool evaluate(const lm_model *model, char *err) {
  lm_corpus text;
  lm_measure m;
  if (!lm_corpus_open_whole(&text, opt.data, model->tokenizer, err)) return false;
  int64_t most = tokens_of(model, &text.validation, opt.bytes);
  double start = lm_now();
  bool done = lm_model_measure(model, &text.validation, opt.seq, opt.batch, most, &m, err);
  double seconds = lm_now() - start;
  lm_corpus_close(&text);
  if (done && opt.json) print_json(&m);
  if (done && !opt.json) print_line(model, &m, seconds);
  return done;
}

static bool load_and_evaluate(rill_context *ctx, char *err) {
  lm_model model;
  if (!opt.data)
    return lm_fail(err, "--data is required: a text file, a folder of them, or shards of tokens");
  bool done = (lm_model_load_as(&model, ctx, opt.model, opt.dtype) ||
               lm_fail(err, "%s", rill_error(ctx))) &&
              evaluate(&model, err);
  lm_model_close(&model);
  return done;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "evaluate",
                  .summary = "Measures how well a model that pretrain made predicts a text.",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    rill_context *ctx;
    code = lm_context_open(&ctx, opt.device, opt.threads, 0, err) && load_and_evaluate(ctx, err)
               ? 0
               : 1;
    if (code) fprintf(stderr, "evaluate: %s\n", err);
    rill_context_free(ctx);
  }
  lm_args_free(&args);
  return code;
}
