/* generate: continues a prompt with a trained model, token by token, as they are drawn. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/model.h"

static struct {
  const char *model, *prompt, *device, *dtype;
  int64_t length, top_k, seed, threads;
  double temperature, top_p, min_p, penalty;
  bool no_echo;
} opt;

static const lm_option table[] = {
    {"model", LM_STRING, &opt.model, "run", .group = "Model",
     .help = "a run's folder, or one of its checkpoints"},
    {"prompt", LM_STRING, &opt.prompt, "The ", .group = "Text",
     .help = "what to continue; - reads it from standard input"},
    {"length", LM_INT, &opt.length, "500", .help = "tokens to draw", .min = 0, .max = 1e12},
    {"no-echo", LM_FLAG, &opt.no_echo, NULL, .help = "do not print the prompt first"},
    {"temperature", LM_FLOAT, &opt.temperature, "0.8", .group = "Sampling",
     .help = "0 = always the likeliest token", .min = 0, .max = 100},
    {"top-k", LM_INT, &opt.top_k, "0", .help = "draw from the k likeliest; 0 = all", .min = 0,
     .max = 1e6},
    {"top-p", LM_FLOAT, &opt.top_p, "0.95",
     .help = "draw from the likeliest that make up this probability; 1 = all", .min = 0, .max = 1},
    {"min-p", LM_FLOAT, &opt.min_p, "0",
     .help = "leave out what is less likely than this part of the likeliest", .min = 0, .max = 1},
    {"repetition-penalty", LM_FLOAT, &opt.penalty, "1",
     .help = "above 1: tokens seen of late are less likely", .min = 1, .max = 100},
    {"seed", LM_INT, &opt.seed, "1", .help = "of the draws", .min = 0, .max = 9e15},
    {"device", LM_CHOICE, &opt.device, "auto", .group = "Machine",
     .help = "where to compute; auto: a GPU if there is one", .choices = "auto|cpu|cuda"},
    {"dtype", LM_CHOICE, &opt.dtype, "auto",
     .help = "of weights and activations; auto: f32 on the CPU, as stored on a GPU",
     .choices = "auto|f32|bf16"},
    {"threads", LM_INT, &opt.threads, "0", .help = "CPU threads; 0 = all", .min = 0, .max = 1024},
    {0}};

static bool print_piece(void *user, lm_text piece) {
  (void)user;
  size_t count = (size_t)piece.count;
  return fwrite(piece.bytes, 1, count, stdout) == count && fflush(stdout) == 0;
}

static bool read_prompt(lm_bytes *prompt, char *err) {
  if (strcmp(opt.prompt, "-") != 0) {
    int64_t n = (int64_t)strlen(opt.prompt);
    if (!lm_bytes_reserve(prompt, n + 1, err)) return false;
    memcpy(prompt->data, opt.prompt, (size_t)n);
    prompt->count = n;
    return true;
  }
  for (int c; (c = getchar()) != EOF; prompt->data[prompt->count++] = (uint8_t)c)
    if (!lm_bytes_reserve(prompt, 1, err)) return false;
  return true;
}

static bool generate(rill_context *ctx, char *err) {
  lm_model model;
  lm_bytes prompt = {0};
  if (!read_prompt(&prompt, err)) return false;
  if (!lm_model_load_as(&model, ctx, opt.model, opt.dtype)) {
    lm_fail(err, "%s", rill_error(ctx));
    lm_model_close(&model);
    free(prompt.data);
    return false;
  }
  lm_sampler_opts how = {.temperature = opt.temperature,
                         .top_k = opt.top_k,
                         .top_p = opt.top_p,
                         .min_p = opt.min_p,
                         .repetition_penalty = opt.penalty,
                         .seed = (uint64_t)opt.seed};
  lm_sampler *sampler = lm_sampler_new(how, model.lm->config.vocab, err);
  if (sampler && !opt.no_echo) fwrite(prompt.data, 1, (size_t)prompt.count, stdout);
  bool done = sampler && lm_model_generate(&model, (lm_text){prompt.data, prompt.count}, opt.length,
                                           sampler, print_piece, NULL, err);
  if (done) putchar('\n');
  lm_sampler_free(sampler);
  lm_model_close(&model);
  free(prompt.data);
  return done;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "generate",
                  .summary =
                      "Continues a prompt with a model that pretrain made. The memory of recurrent "
                      "models does not grow "
                      "with the text.",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    rill_context *ctx;
    code = lm_context_open(&ctx, opt.device, opt.threads, 0, err) && generate(ctx, err) ? 0 : 1;
    if (code) fprintf(stderr, "generate: %s\n", err);
    rill_context_free(ctx);
  }
  lm_args_free(&args);
  return code;
}
