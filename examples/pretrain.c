/* pretrain: trains a language model on a text or on shards of tokens, from scratch or from where it
 * stopped.
 *
 *   pretrain --data text.txt --model rdn --steps 500 --out run
 *
 * Reads top down: options -> text -> model -> optimizer -> lm_train -> what came out of it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/lm/args.h"
#include "examples/lm/checkpoint.h"
#include "examples/lm/corpus.h"
#include "examples/lm/ngram.h"
#include "examples/lm/report.h"
#include "examples/lm/runlog.h"
#include "examples/lm/trainer.h"
#include "tensor/io.h"

static struct {
  const char *data, *validation, *tokenizer, *out, *model, *device, *dtype, *schedule, *prompt,
      *graph;
  int64_t layers, width, heads, seq, batch, accumulate, steps, warmup, seed, threads,
      validate_every, validation_bytes, recompute, vocabulary, end;
  int64_t save_every, keep, log_every, sample;
  double lr, min_lr, weight_decay, clip, stop_after, beta1, beta2;
  bool packed, resume, quiet;
} opt;

static const lm_option table[] = {
    {"data", LM_STRING, &opt.data, NULL, .group = "Text",
     .help = "a text file, a folder of them, or shards of tokens: a .bin file or a folder of them, "
             "from "
             "prepare or llm.c; those named val_* are for validation"},
    {"tokenizer", LM_STRING, &opt.tokenizer, "bytes",
     .help = "of text: bytes, bpe:8192 or unigram:8192 (trained on it), or the file or folder of a "
             "SentencePiece model"},
    {"vocabulary", LM_INT, &opt.vocabulary, "0",
     .help = "of shards that come without a tokenizer; 0 = the largest token, rounded up", .min = 0,
     .max = 1e9},
    {"end-token", LM_INT, &opt.end, "0",
     .help = "and the token between their documents (GPT-2: 50256); 0 = not known", .min = 0,
     .max = 1e9},
    {"packed", LM_FLAG, &opt.packed, NULL,
     .help = "read every document from its own beginning: no state is carried from one to the next "
             "in a window"},
    {"validation", LM_STRING, &opt.validation, NULL,
     .help = "text to validate on, instead of holding out a part of --data"},
    {"validation-bytes", LM_INT, &opt.validation_bytes, "262144",
     .help = "how much of it is read each time", .min = 1024, .max = 1e12},
    {"model", LM_STRING, &opt.model, "rdn", .group = "Model",
     .help = "transformer, linear_attention, retnet, mamba2, sgla, gla, deltanet, gdn, rla, rdn, "
             "one of "
             "these with paper_ before it "
             "(the paper's 1.5B), or a model's .json file"},
    {"layers", LM_INT, &opt.layers, "4", .help = "blocks", .min = 1, .max = 1000},
    {"width", LM_INT, &opt.width, "256", .help = "size of the residual stream", .min = 1,
     .max = 1e6},
    {"heads", LM_INT, &opt.heads, "4", .help = "heads of a mixer", .min = 1, .max = 1e4},
    {"recompute", LM_INT, &opt.recompute, "0",
     .help = "blocks that are computed again in the backward pass, which saves memory; -1 = all",
     .min = -1, .max = 1000},
    {"steps", LM_INT, &opt.steps, "600", .group = "Training", .help = "updates", .min = 1,
     .max = 1e12},
    {"batch", LM_INT, &opt.batch, "8", .help = "windows of text in a micro-batch", .min = 1,
     .max = 1e6},
    {"seq", LM_INT, &opt.seq, "256", .help = "tokens in a window", .min = 1, .max = 1e9},
    {"accumulate", LM_INT, &opt.accumulate, "1", .help = "micro-batches to an update", .min = 1,
     .max = 1e6},
    {"lr", LM_FLOAT, &opt.lr, "3e-3", .help = "peak learning rate", .min = 0, .max = 100},
    {"min-lr", LM_FLOAT, &opt.min_lr, "3e-4", .help = "last learning rate", .min = 0, .max = 100},
    {"schedule", LM_CHOICE, &opt.schedule, "cosine", .help = "how it falls",
     .choices = "cosine|linear|constant|wsd"},
    {"warmup", LM_INT, &opt.warmup, "50", .help = "steps in which it rises", .min = 0, .max = 1e12},
    {"weight-decay", LM_FLOAT, &opt.weight_decay, "0.1", .help = "of matrices", .min = 0,
     .max = 100},
    {"clip", LM_FLOAT, &opt.clip, "1", .help = "limit of the gradient's norm; 0 = none", .min = 0,
     .max = 1e9},
    {"seed", LM_INT, &opt.seed, "1", .help = "of weights, order of the text and sampling", .min = 0,
     .max = 9e15},
    {"out", LM_STRING, &opt.out, "run", .group = "Run",
     .help = "folder of checkpoints, log.jsonl, settings.json, event files and report.html"},
    {"resume", LM_FLAG, &opt.resume, NULL, .help = "go on from the latest checkpoint in --out"},
    {"save-every", LM_INT, &opt.save_every, "200",
     .help = "steps between checkpoints; 0 = only at the end, -1 = never", .min = -1, .max = 1e12},
    {"keep", LM_INT, &opt.keep, "2",
     .help = "newest checkpoints that are kept; the best model is beside them, in best/", .min = 1,
     .max = 1e6},
    {"validate-every", LM_INT, &opt.validate_every, "100",
     .help = "steps between validations; 0 = only at the end", .min = 0, .max = 1e12},
    {"stop-after", LM_FLOAT, &opt.stop_after, "0",
     .help = "seconds after which the run saves and stops; 0 = never", .min = 0, .max = 1e9},
    {"log-every", LM_INT, &opt.log_every, "10", .help = "steps between lines that stay", .min = 1,
     .max = 1e9},
    {"quiet", LM_FLAG, &opt.quiet, NULL, .help = "print results and warnings only"},
    {"prompt", LM_STRING, &opt.prompt, "The ", .help = "what the sample at the end begins with"},
    {"sample", LM_INT, &opt.sample, "400", .help = "tokens of that sample; 0 = none", .min = 0,
     .max = 1e6},
    {"device", LM_CHOICE, &opt.device, "auto", .group = "Machine",
     .help = "where to compute; auto: a GPU if there is one", .choices = "auto|cpu|cuda"},
    {"dtype", LM_CHOICE, &opt.dtype, "auto",
     .help = "of weights and activations; bf16 keeps its master weights and sums in f32; auto: f32 "
             "on the "
             "CPU, bf16 on a GPU",
     .choices = "auto|f32|bf16"},
    {"graph", LM_CHOICE, &opt.graph, "auto",
     .help = "launch an update as one CUDA graph; auto: where launches would take longer than the "
             "work; results do not depend on it",
     .choices = "auto|on|off"},
    {"threads", LM_INT, &opt.threads, "0",
     .help = "CPU threads; 0 = all; results do not depend on it", .min = 0, .max = 1024},
    {0}};

/* ---- the model's configuration ---- */

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_default(const lm_args *args, const char *name) {
  return lm_args_source(args, name) == LM_FROM_DEFAULT;
}

static void take_float(const lm_args *args, const char *name, double value, double *option) {
  if (value > 0 && is_default(args, name)) *option = value;
}

/* What a model's file says of its training holds where the command line is silent. It counts in
 * tokens; here they become steps. */
static void take_training(const lm_args *args, const rill_lm_training *t) {
  take_float(args, "lr", t->lr, &opt.lr);
  take_float(args, "min-lr", t->min_lr, &opt.min_lr);
  take_float(args, "weight-decay", t->weight_decay, &opt.weight_decay);
  take_float(args, "clip", t->clip, &opt.clip);
  opt.beta1 = t->beta1;
  opt.beta2 = t->beta2;
  int64_t micro = opt.batch * opt.seq;
  if (t->batch_tokens > micro && is_default(args, "accumulate"))
    opt.accumulate = t->batch_tokens / micro;
  int64_t update = micro * opt.accumulate;
  if (t->total_tokens > 0 && is_default(args, "steps"))
    opt.steps = (t->total_tokens + update - 1) / update;
  if (t->warmup_tokens > 0 && is_default(args, "warmup")) opt.warmup = t->warmup_tokens / update;
}

/* Does the model come with its sizes? */
static bool is_sized(void) {
  return ends_with(opt.model, ".json") || strncmp(opt.model, "paper_", 6) == 0;
}

/* A preset with the sizes of the command line, or a file whose sizes hold. */
static bool configure(rill_context *ctx, const lm_args *args, rill_lm_config *config, char *err) {
  char message[RILL_CONFIG_MESSAGE];
  if (ends_with(opt.model, ".json")) {
    rill_lm_training training;
    if (!rill_lm_config_load(ctx, opt.model, config, &training))
      return lm_fail(err, "%s", rill_error(ctx));
    take_training(args, &training);
  } else if (!rill_lm_preset(opt.model, config)) {
    const char *near = lm_nearest(opt.model, rill_lm_presets);
    return lm_fail(err, "--model: there is no model `%s`%s%s%s", opt.model,
                   near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
  }
  bool sized = is_sized();
  if (!sized || !is_default(args, "layers")) config->layers = opt.layers;
  if (!sized || !is_default(args, "width")) config->width = opt.width;
  if (!sized || !is_default(args, "heads")) config->heads = opt.heads;
  if (!sized) config->vocab = 256; /* until the tokenizer says how many */
  if (!rill_lm_resolve(config, message)) return lm_fail(err, "--model %s: %s", opt.model, message);
  return true;
}

/* The vocabulary is the tokenizer's; a file's or a paper's model may have room to spare. */
static bool set_vocabulary(rill_lm_config *config, const lm_tokenizer *tokenizer, char *err) {
  int64_t tokens = lm_tokenizer_vocabulary(tokenizer);
  if (!is_sized()) config->vocab = tokens;
  return config->vocab >= tokens || lm_fail(err,
                                            "--model %s: its vocabulary of %" PRId64
                                            " cannot hold the %" PRId64 " tokens of the tokenizer",
                                            opt.model, config->vocab, tokens);
}

/* What must be the same for a resumed run to be the same run. */
static uint64_t fingerprint(const lm_corpus *corpus, const char *config) {
  char line[256];
  uint64_t hash = corpus->fingerprint;
  snprintf(line, sizeof line, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, opt.seq, opt.batch,
           opt.accumulate, opt.seed);
  const char *parts[] = {line, config, opt.packed ? "packed" : ""};
  for (int i = 0; i < 3; i++)
    for (const char *c = parts[i]; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
  return hash;
}

/* ---- the end: sample, comparison, report ---- */

enum { TRIGRAM_TOKENS = 1 << 26 }; /* of a large text, so many are what letters are counted in */

static bool collect(void *user, lm_text piece) {
  lm_bytes *bytes = user;
  char err[LM_ERROR_SIZE];
  if (!lm_bytes_reserve(bytes, piece.count, err)) return false;
  if (piece.count) memcpy(bytes->data + bytes->count, piece.bytes, (size_t)piece.count);
  bytes->count += piece.count;
  return true;
}

static bool draw_sample(const lm_model *model, lm_bytes *text, char *err) {
  lm_sampler *sampler = lm_sampler_new(
      (lm_sampler_opts){.temperature = 0.8, .top_p = 0.95, .seed = (uint64_t)opt.seed},
      model->lm->config.vocab, err);
  lm_text prompt = {(const uint8_t *)opt.prompt, (int64_t)strlen(opt.prompt)};
  bool done = sampler && lm_model_generate(model, prompt, opt.sample, sampler, collect, text, err);
  lm_sampler_free(sampler);
  return done;
}

/* Bits per byte of a trigram letter model on the text that the trained one was measured on. */
static bool measure_letters(const lm_corpus *corpus, int64_t tokens, double *bits, char *err) {
  lm_bytes train = {0}, held_out = {0};
  bool done = lm_corpus_text(corpus, &corpus->train, TRIGRAM_TOKENS, &train, err) &&
              lm_corpus_text(corpus, &corpus->validation, tokens, &held_out, err);
  lm_ngram *letters = done ? lm_ngram_new((lm_text){train.data, train.count}, err) : NULL;
  if (letters) *bits = lm_ngram_bits(letters, (lm_text){held_out.data, held_out.count});
  lm_ngram_free(letters);
  free(train.data);
  free(held_out.data);
  return letters != NULL;
}

enum { SETTINGS = sizeof table / sizeof table[0] - 1 };

static bool write_report(const lm_model *model, const lm_trainer_result *result, double trigram,
                         const lm_bytes *sample, char *err) {
  static char value[SETTINGS][256];
  lm_fact setting[SETTINGS];
  char title[128], summary[256], count[32], tokens[32], time[32], log_path[LM_PATH_SIZE],
      path[LM_PATH_SIZE];
  for (int i = 0; i < SETTINGS; i++) {
    lm_args_value(&table[i], value[i], sizeof value[i]);
    setting[i] = (lm_fact){table[i].name, value[i]};
  }
  lm_count_format((double)rill_params_count(rill_params(model->net)), count, sizeof count);
  lm_count_format((double)(result->steps * opt.batch * opt.seq * opt.accumulate), tokens,
                  sizeof tokens);
  lm_time_format(result->seconds, time, sizeof time);
  snprintf(title, sizeof title, "%.60s, %s parameters", opt.model, count);
  snprintf(summary, sizeof summary, "Trained on %s tokens of %.120s.", tokens, opt.data);
  const lm_measure *m = &result->validation;
  const lm_fact fact[] = {{"parameters", count}, {"tokens trained on", tokens}, {"time", time}};
  snprintf(log_path, sizeof log_path, "%s/log.jsonl", opt.out);
  snprintf(path, sizeof path, "%s/report.html", opt.out);
  lm_report report = {
      .title = title,
      .summary = summary,
      .bits_per_byte = lm_measure_bits(m),
      .bytes_per_token = m->bytes ? (double)m->bytes / (double)m->tokens : (double)NAN,
      .trigram_bits_per_byte = trigram,
      .fact = fact,
      .facts = 3,
      .setting = setting,
      .settings = SETTINGS,
      .prompt = opt.prompt,
      .prompt_bytes = strlen(opt.prompt),
      .sample = sample->data,
      .sample_bytes = (size_t)sample->count};
  lm_record *records = NULL;
  bool done = lm_runlog_read(log_path, &records, &report.records, err);
  report.record = records;
  done = done && lm_report_write(path, &report, err);
  free(records);
  return done;
}

static bool finish(const lm_model *model, const lm_corpus *corpus, lm_progress *progress,
                   const lm_trainer_result *result, char *err) {
  const lm_measure *m = &result->validation;
  bool readable = lm_tokenizer_has_text(corpus->tokenizer), done = true;
  double trigram = (double)NAN;
  lm_bytes text = {0};
  if (readable) {
    if (!measure_letters(corpus, m->tokens, &trigram, err)) return false;
    lm_progress_say(progress,
                    "bits per byte on %" PRId64 " held-out bytes: %.4f, trigram letter model %.4f",
                    m->bytes, lm_measure_bits(m), trigram);
    done = opt.sample == 0 || draw_sample(model, &text, err);
    if (done && opt.sample)
      lm_progress_say(progress, "\n%s%.*s\n", opt.prompt, (int)text.count, (const char *)text.data);
  } else {
    lm_progress_say(progress,
                    "nats per token on %" PRId64 " held-out tokens: %.4f, perplexity %.3f",
                    m->tokens, m->nats, exp(m->nats));
  }
  done = done && write_report(model, result, trigram, &text, err);
  if (done) lm_progress_say(progress, "report: %s/report.html", opt.out);
  free(text.data);
  return done;
}

/* ---- the whole ---- */

static rill_dtype dtype_of(const rill_context *ctx) {
  bool gpu = rill_context_device(ctx) == RILL_CUDA;
  if (strcmp(opt.dtype, "auto") == 0) return gpu ? RILL_BF16 : RILL_F32;
  return strcmp(opt.dtype, "bf16") == 0 ? RILL_BF16 : RILL_F32;
}

/* A GPU takes longer for the work of a micro-batch than the CPU for its launches, some 10 ms, when
 * parameters times tokens are more than MOST_WORK. A graph holds every micro-batch of an update. */
static bool wants_graph(const lm_model *model) {
  static const double MOST_WORK = 1e12;
  static const int64_t MOST_PARTS = 16;
  if (strcmp(opt.graph, "auto") != 0) return strcmp(opt.graph, "on") == 0;
  double parameters = (double)rill_params_count(rill_params(model->net));
  return rill_context_device(model->ctx) == RILL_CUDA && opt.accumulate <= MOST_PARTS &&
         parameters * (double)(opt.batch * opt.seq) <= MOST_WORK;
}

static void banner(lm_progress *p, const lm_model *model, const lm_corpus *corpus) {
  char count[32], train[32], held_out[32], tokenizer[64];
  lm_count_format((double)rill_params_count(rill_params(model->net)), count, sizeof count);
  lm_count_format((double)corpus->train.count, train, sizeof train);
  lm_count_format((double)corpus->validation.count, held_out, sizeof held_out);
  lm_tokenizer_name(corpus->tokenizer, tokenizer, sizeof tokenizer);
  const rill_lm_config *c = &model->lm->config;
  lm_progress_fact(p, "device", "%s, %d threads", rill_context_device_name(model->ctx),
                   rill_context_threads(model->ctx));
  lm_progress_fact(
      p, "model",
      "%s, %s parameters: %" PRId64 " layers of width %" PRId64 ", %" PRId64 " heads, %s",
      opt.model, count, c->layers, c->width, c->heads, rill_dtype_name(dtype_of(model->ctx)));
  lm_progress_fact(p, corpus->shards ? "shards" : "text",
                   "%s: %s tokens to train on, %s held out (%s)", opt.data, train, held_out,
                   tokenizer);
  lm_progress_fact(p, "update",
                   "%" PRId64 " tokens: %" PRId64 " x %" PRId64 " windows of %" PRId64 " tokens",
                   opt.batch * opt.accumulate * opt.seq, opt.accumulate, opt.batch, opt.seq);
}

/* The text as tokens. A run that goes on has its tokenizer in its folder. */
static bool open_corpus(lm_corpus *corpus, char *err) {
  char folder[LM_PATH_SIZE], ignored[LM_ERROR_SIZE];
  lm_corpus_opts opts = {.seed = (uint64_t)opt.seed,
                         .validation = opt.validation,
                         .vocabulary = opt.vocabulary,
                         .end = opt.end};
  if (!lm_tokenizer_spec_parse(opt.tokenizer, &opts.tokenizer, err))
    return lm_fail(err, "--tokenizer: %s", err);
  if (opt.resume && lm_checkpoint_folder(opt.out, folder, ignored))
    opts.tokenizer = (lm_tokenizer_spec){.path = folder};
  if (opts.tokenizer.kind && !opt.quiet) {
    printf("training a tokenizer of %" PRId64 " pieces\n", opts.tokenizer.vocabulary);
    fflush(stdout);
  }
  return lm_corpus_open(corpus, opt.data, opts, err);
}

/* Tokens of the held-out stream that are about --validation-bytes. */
static int64_t validation_tokens(const lm_corpus *corpus) {
  const lm_tokens *part = &corpus->validation.part[0];
  int64_t tokens = part->count < 65536 ? part->count : 65536;
  int64_t bytes = lm_tokenizer_measure(corpus->tokenizer, part, 0, tokens);
  if (bytes == 0) return opt.validation_bytes / 4;
  return (int64_t)((double)opt.validation_bytes * (double)tokens / (double)bytes);
}

/* What the run was started with, for the next one (--config) and for report. */
static bool save_settings(const lm_args *args, char *err) {
  const bool resume = opt.resume;
  char path[LM_PATH_SIZE];
  snprintf(path, sizeof path, "%.4000s/settings.json", opt.out);
  opt.resume = false; /* the next one is a new one */
  bool saved = lm_args_save(args, path, err);
  opt.resume = resume;
  return saved;
}

static int train(const lm_args *args, rill_context *ctx, char *err) {
  rill_lm_config config;
  lm_corpus corpus;
  lm_model model;
  lm_trainer_result result;
  lm_progress progress = lm_progress_new(stdout, opt.quiet, opt.log_every);
  if (!configure(ctx, args, &config, err)) return 2;
  rill_schedule schedule = {
      .peak = opt.lr, .low = opt.min_lr, .warmup = opt.warmup, .total = opt.steps};
  rill_schedule_find(opt.schedule, &schedule.kind);
  if (!open_corpus(&corpus, err)) return LM_FAILED;
  if (!set_vocabulary(&config, corpus.tokenizer, err)) {
    lm_corpus_close(&corpus);
    return 2;
  }
  char *text = rill_lm_config_print(ctx, &config, NULL);
  int code = LM_FAILED;
  if (text && lm_make_folder(opt.out, err) && save_settings(args, err) &&
      lm_model_new(&model, ctx, &config, dtype_of(ctx))) {
    model.lm->recompute = opt.recompute;
    model.tokenizer = corpus.tokenizer;
    bool ready = !opt.packed || lm_model_pack(&model, err);
    banner(&progress, &model, &corpus);
    rill_optim *adamw =
        rill_adamw_new(rill_params(model.net), (rill_adamw_opts){.lr = opt.lr,
                                                                 .weight_decay = opt.weight_decay,
                                                                 .beta1 = opt.beta1,
                                                                 .beta2 = opt.beta2});
    lm_trainer_opts opts = {.steps = opt.steps,
                            .seq = opt.seq,
                            .batch = opt.batch,
                            .accumulate = opt.accumulate,
                            .schedule = schedule,
                            .clip = opt.clip,
                            .validate_every = opt.validate_every,
                            .validation_tokens = validation_tokens(&corpus),
                            .save_every = opt.save_every,
                            .keep = opt.keep,
                            .out = opt.out,
                            .capture = wants_graph(&model),
                            .seed = (uint64_t)opt.seed,
                            .fingerprint = fingerprint(&corpus, text),
                            .resume = opt.resume,
                            .stop_after = opt.stop_after};
    if (ready) code = lm_train(&model, adamw, &corpus, &opts, &progress, &result, err);
    lm_progress_clear(&progress);
    if (code == LM_TRAINED && !result.interrupted &&
        !finish(&model, &corpus, &progress, &result, err))
      code = LM_FAILED;
  } else if (rill_error(ctx)) {
    lm_fail(err, "%s", rill_error(ctx));
  }
  rill_free(ctx, text);
  lm_corpus_close(&corpus);
  return code;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {
      .program = "pretrain",
      .summary =
          "Trains a language model on a text or on shards of tokens. At the end it prints the bits "
          "per byte on held-out "
          "text beside those of a trigram letter model, writes a sample, and leaves a "
          "report with the loss "
          "curve in the run's folder.",
      .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0 && !opt.data) {
    lm_fail(err,
            "--data is required: a text file, a folder of them, or shards of tokens "
            "(examples/pretrain.sh brings a text)");
    code = 2;
  } else if (code < 0) {
    rill_context *ctx;
    code = lm_context_open(&ctx, opt.device, opt.threads, opt.seed, err) ? train(&args, ctx, err)
                                                                         : LM_FAILED;
    if (rill_context_free(ctx) && code == 0) code = LM_FAILED;
  }
  if (err[0] && code != 0) fprintf(stderr, "pretrain: %s\n", err);
  lm_args_free(&args);
  return code;
}
