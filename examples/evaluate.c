/* evaluate: how well a trained model predicts a text (bits per byte, nats, perplexity) or answers
 * questions (multiple choice by log-likelihood). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/corpus.h"
#include "examples/lm/judge.h"
#include "examples/lm/model.h"

static struct {
  const char *model, *data, *questions, *out, *device, *dtype;
  int64_t seq, batch, bytes, threads;
  bool json, packed;
} opt;

static const lm_option table[] = {
    {"model", LM_STRING, &opt.model, "run", .group = "Model",
     .help = "a run's folder, or one of its checkpoints"},
    {"data", LM_STRING, &opt.data, NULL, .group = "Text",
     .help = "a text file, a folder of them, or shards of tokens"},
    {"questions", LM_STRING, &opt.questions, NULL,
     .help = "JSON lines instead: {\"context\", \"choices\", \"answer\"}, {\"text\"}, or samples "
             "of lm-evaluation-harness"},
    {"out", LM_STRING, &opt.out, NULL,
     .help = "with --questions: write the log-likelihoods of each, as JSON lines"},
    {"seq", LM_INT, &opt.seq, "1024",
     .help = "tokens in a window; the model knows nothing before it", .min = 1, .max = 1e9},
    {"batch", LM_INT, &opt.batch, "4", .help = "windows, or choices, at a time", .min = 1,
     .max = 1e6},
    {"bytes", LM_INT, &opt.bytes, "0", .help = "read about so many bytes only; 0 = all", .min = 0,
     .max = 1e15},
    {"packed", LM_FLAG, &opt.packed, NULL,
     .help = "read every document from its own beginning, also within a window"},
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

static bool evaluate(lm_model *model, char *err) {
  lm_corpus text;
  lm_measure m;
  if (opt.packed && !lm_model_pack(model, err)) return false;
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

/* ---- questions ---- */

static void print_score(const lm_score *s, double seconds) {
  if (s->choice)
    printf("%" PRId64 " multiple choice: acc %.4f +- %.4f, acc_norm %.4f +- %.4f\n", s->choice,
           s->acc, s->acc_error, s->acc_norm, s->acc_norm_error);
  if (s->continuation)
    printf("%" PRId64 " continuations: acc %.4f, perplexity %.4f\n", s->continuation, s->greedy,
           s->perplexity);
  if (s->whole)
    printf("%" PRId64 " texts: bits per byte %.4f, byte perplexity %.4f, word perplexity %.4f\n",
           s->whole, s->bits_per_byte, s->byte_perplexity, s->word_perplexity);
  printf("%.1f questions/s\n", (double)(s->choice + s->continuation + s->whole) / seconds);
}

static void print_score_json(const lm_score *s) {
  printf("{\"questions\": %" PRId64, s->choice + s->continuation + s->whole);
  if (s->choice) {
    print_number("acc", s->acc);
    print_number("acc_stderr", s->acc_error);
    print_number("acc_norm", s->acc_norm);
    print_number("acc_norm_stderr", s->acc_norm_error);
  }
  if (s->continuation) {
    print_number("continuation_acc", s->greedy);
    print_number("perplexity", s->perplexity);
  }
  if (s->whole) {
    print_number("bits_per_byte", s->bits_per_byte);
    print_number("byte_perplexity", s->byte_perplexity);
    print_number("word_perplexity", s->word_perplexity);
  }
  printf("}\n");
}

/* {"line": 3, "loglikelihood": [-3.2, -1.5], "greedy": [false, true], "pick": 1, "answer": 1} */
static void write_result(FILE *out, const lm_question *q, const lm_likelihood *l) {
  fprintf(out, "{\"line\": %" PRId64 ", \"loglikelihood\": [", q->line);
  for (int64_t i = 0; i < q->choices; i++) fprintf(out, "%s%.9g", i ? ", " : "", l[i].nats);
  fprintf(out, "], \"greedy\": [");
  for (int64_t i = 0; i < q->choices; i++)
    fprintf(out, "%s%s", i ? ", " : "", l[i].greedy ? "true" : "false");
  fprintf(out, "]");
  if (q->kind == LM_ASKS_CHOICE)
    fprintf(out, ", \"pick\": %" PRId64 ", \"answer\": %" PRId64, lm_judge_pick(q, l, false),
            q->answer);
  fprintf(out, "}\n");
}

static bool write_results(const lm_questions *questions, const lm_likelihood *l, char *err) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) return lm_fail(err, "out of memory");
  for (int64_t i = 0; i < questions->count; l += questions->at[i++].choices)
    write_result(out, &questions->at[i], l);
  bool ok = fclose(out) == 0 && lm_write_file(opt.out, text, size, err);
  free(text);
  return ok;
}

static bool ask(const lm_model *model, char *err) {
  lm_questions questions;
  bool done = lm_questions_read(&questions, opt.questions, err);
  int64_t choices = 0;
  for (int64_t i = 0; i < questions.count; i++) choices += questions.at[i].choices;
  lm_likelihood *l = done ? lm_alloc(choices, sizeof *l, err) : NULL;
  double start = lm_now();
  done = l && lm_judge(model, &questions, opt.batch, l, err);
  lm_score score = done ? lm_judge_score(&questions, l) : (lm_score){0};
  if (done && opt.json) print_score_json(&score);
  if (done && !opt.json) print_score(&score, lm_now() - start);
  if (done && opt.out) done = write_results(&questions, l, err);
  free(l);
  lm_questions_free(&questions);
  return done;
}

static bool load_and_evaluate(rill_context *ctx, char *err) {
  lm_model model;
  if (!opt.data == !opt.questions)
    return lm_fail(err, opt.data ? "--data and --questions are two things: give one of them"
                                 : "--data (a text file, a folder of them, or shards of tokens) or "
                                   "--questions (JSON lines) is required");
  bool done = (lm_model_load_as(&model, ctx, opt.model, opt.dtype) ||
               lm_fail(err, "%s", rill_error(ctx))) &&
              (opt.data ? evaluate(&model, err) : ask(&model, err));
  lm_model_close(&model);
  return done;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {
      .program = "evaluate",
      .summary =
          "Measures how well a model that pretrain made predicts a text, or answers questions: "
          "the likeliest of several choices, by log-likelihood.",
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
