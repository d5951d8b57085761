/* recall: trains a small model on a task that asks for memory, and tests it.
 *
 *   recall --task mqar --model rdn
 *
 * Reads top down: options -> task -> model -> training -> tests -> what is left in the folder. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/checkpoint.h"
#include "examples/lm/recall.h"
#include "examples/lm/recall_report.h"

static struct {
  const char *task, *train, *test, *eval_lengths, *model, *schedule, *device, *out, *checkpoint,
      *plot;
  int64_t length, pairs, vocab, rewrites, depths, layers, width, heads, conv;
  int64_t steps, batch, examples, warmup, test_every, test_examples, seed, threads, log_every;
  double power, lr, weight_decay, clip, until, beta_max, std;
  bool blank, mlp, untied, save, quiet;
} opt;

static const lm_option table[] = {
    {"task", LM_STRING, &opt.task, "mqar", .group = "Task",
     .help = "mqar: keys and values, then the keys again; mqar_forget: keys get a second value, "
             "which counts; needle: a marked pair in noise; needle_text: the same in sentences; "
             "copy: scattered tokens in order; parity, s3: the product so far of bits, of "
             "permutations"},
    {"length", LM_INT, &opt.length, "0", .help = "tokens of an example; 0 = what is usual",
     .min = 0, .max = 1 << 24},
    {"pairs", LM_INT, &opt.pairs, "0",
     .help = "pairs, needles or tokens to remember; 0 = what is usual", .min = 0, .max = 1 << 24},
    {"train", LM_STRING, &opt.train, NULL,
     .help = "a mixture to train on, LENGTH:PAIRS:WEIGHT,... instead of one length (weights may be "
             "left out)"},
    {"test", LM_STRING, &opt.test, NULL,
     .help = "what to test, LENGTH:PAIRS,... instead of what is trained"},
    {"eval-lengths", LM_STRING, &opt.eval_lengths, NULL,
     .help = "more lengths to test with the same pairs, LENGTH,..."},
    {"depths", LM_INT, &opt.depths, "5", .help = "needle: depths to test at each length", .min = 2,
     .max = 100},
    {"vocab", LM_INT, &opt.vocab, "0", .help = "different tokens; 0 = what is usual", .min = 0,
     .max = 1 << 24},
    {"rewrites", LM_INT, &opt.rewrites, "-1",
     .help = "mqar: keys that get a second value; -1 = none, in mqar_forget half", .min = -1,
     .max = 1 << 24},
    {"power", LM_FLOAT, &opt.power, "0",
     .help = "mqar: exponent of the gaps before queries; 1 = all alike, 0 = what is usual (0.01)",
     .min = 0, .max = 10},
    {"blank", LM_FLAG, &opt.blank, NULL,
     .help = "mqar: zeros between the queries instead of noise"},
    {"model", LM_STRING, &opt.model, "rdn", .group = "Model",
     .help =
         "transformer, linear_attention, retnet, mamba2, sgla, gla, deltanet, gdn, rla, rdn, or "
         "a model's .json file"},
    {"width", LM_INT, &opt.width, "64", .help = "size of the residual stream", .min = 1,
     .max = 1e6},
    {"layers", LM_INT, &opt.layers, "2", .help = "blocks", .min = 1, .max = 1000},
    {"heads", LM_INT, &opt.heads, "2", .help = "heads of a mixer", .min = 1, .max = 1e4},
    {"conv", LM_INT, &opt.conv, "4",
     .help = "width of the short convolution of recurrent models; 0 = none, -1 = the model's own",
     .min = -1, .max = 64},
    {"mlp", LM_FLAG, &opt.mlp, NULL,
     .help = "with feed-forward layers, which these tasks do not need"},
    {"untied", LM_FLAG, &opt.untied, NULL, .help = "with an output layer of its own"},
    {"beta-max", LM_FLOAT, &opt.beta_max, "1",
     .help = "beta is in 0 .. this; 2 lets a delta rule reflect, which parity needs", .min = 0,
     .max = 2},
    {"std", LM_FLOAT, &opt.std, "0",
     .help = "of initial weights; 0 = what the library takes, 0.8 / sqrt(width)", .min = 0,
     .max = 10},
    {"steps", LM_INT, &opt.steps, "5000", .group = "Training", .help = "updates at most", .min = 1,
     .max = 1e12},
    {"until", LM_FLOAT, &opt.until, "0.99",
     .help = "stop after a test with this accuracy; 2 = never", .min = 0, .max = 2},
    {"batch", LM_INT, &opt.batch, "16", .help = "examples in an update", .min = 1, .max = 1e6},
    {"examples", LM_INT, &opt.examples, "0", .help = "different examples; 0 = never the same twice",
     .min = 0, .max = 1e15},
    {"lr", LM_FLOAT, &opt.lr, "1e-2", .help = "peak learning rate", .min = 0, .max = 100},
    {"schedule", LM_CHOICE, &opt.schedule, "cosine", .help = "how it falls, to a tenth",
     .choices = "cosine|linear|constant|wsd"},
    {"warmup", LM_INT, &opt.warmup, "100", .help = "steps in which it rises", .min = 0,
     .max = 1e12},
    {"weight-decay", LM_FLOAT, &opt.weight_decay, "0.1", .help = "of matrices", .min = 0,
     .max = 100},
    {"clip", LM_FLOAT, &opt.clip, "1", .help = "limit of the gradient's norm; 0 = none", .min = 0,
     .max = 1e9},
    {"seed", LM_INT, &opt.seed, "1", .help = "of weights and examples", .min = 0, .max = 9e15},
    {"test-every", LM_INT, &opt.test_every, "200", .group = "Test",
     .help = "steps between tests of what is trained; 0 = only at the end", .min = 0, .max = 1e12},
    {"test-examples", LM_INT, &opt.test_examples, "500", .help = "examples of each setting",
     .min = 1, .max = 1e9},
    {"checkpoint", LM_STRING, &opt.checkpoint, NULL,
     .help =
         "test this model and train nothing: a folder of recall, or for needle_text of pretrain"},
    {"out", LM_STRING, &opt.out, "recall", .group = "Run",
     .help = "folder of results.jsonl, log.jsonl, report.html and the checkpoint"},
    {"save", LM_FLAG, &opt.save, "true", .help = "leave a checkpoint"},
    {"log-every", LM_INT, &opt.log_every, "50", .help = "steps between lines that stay", .min = 1,
     .max = 1e9},
    {"plot", LM_STRING, &opt.plot, NULL,
     .help = "train nothing: draw the results of the files that follow into this .html file"},
    {"quiet", LM_FLAG, &opt.quiet, NULL, .help = "print results and warnings only"},
    {"device", LM_CHOICE, &opt.device, "cpu", .group = "Machine",
     .help = "where to compute; auto: a GPU if there is one", .choices = "auto|cpu|cuda"},
    {"threads", LM_INT, &opt.threads, "0",
     .help = "CPU threads; 0 = all; results do not depend on it", .min = 0, .max = 1024},
    {0}};

/* ---- what is asked ---- */

typedef struct {
  const lm_task *task;
  lm_recall_setting *train, *test;
  int64_t trains, tests;
} recall_plan;

static void plan_free(recall_plan *p) {
  free(p->train);
  free(p->test);
}

static bool add_tests(recall_plan *p, const lm_task_shape *like, const char *label,
                      const char *text, char *err) {
  lm_recall_setting *more;
  int64_t count;
  if (!lm_recall_settings(p->task, like, label, text, &more, &count, err)) return false;
  lm_recall_setting *grown = lm_resize(p->test, p->tests + count, sizeof *grown, err);
  if (grown) memcpy(grown + p->tests, more, (size_t)count * sizeof *grown);
  free(more);
  if (!grown) return false;
  p->test = grown;
  p->tests += count;
  return true;
}

/* Each tested setting of a needle at every depth. */
static bool spread_depths(recall_plan *p, char *err) {
  lm_recall_setting *all = lm_alloc(p->tests * opt.depths, sizeof *all, err);
  if (!all) return false;
  for (int64_t i = 0; i < p->tests * opt.depths; i++) {
    all[i] = p->test[i / opt.depths];
    all[i].shape.depth = (double)(i % opt.depths) / (double)(opt.depths - 1);
  }
  free(p->test);
  p->test = all;
  p->tests *= opt.depths;
  return true;
}

static bool make_plan(recall_plan *p, char *err) {
  char usual[64];
  *p = (recall_plan){.task = lm_task_find(opt.task, err)};
  if (!p->task) return lm_fail(err, "--task: %s", err);
  lm_task_shape shape = {.length = opt.length,
                         .pairs = opt.pairs,
                         .vocab = opt.vocab,
                         .rewrites = opt.rewrites,
                         .power = opt.power,
                         .blank = opt.blank,
                         .depth = -1};
  snprintf(usual, sizeof usual, "%" PRId64, opt.length ? opt.length : p->task->usual.length);
  const char *train = opt.train ? opt.train : usual;
  bool done =
      lm_recall_settings(p->task, &shape, opt.train ? "--train" : "--task", train, &p->train,
                         &p->trains, err) &&
      add_tests(p, &shape, "--test", opt.test ? opt.test : train, err) &&
      (!opt.eval_lengths || add_tests(p, &shape, "--eval-lengths", opt.eval_lengths, err)) &&
      (!p->task->hides || spread_depths(p, err));
  if (!done) plan_free(p);
  return done;
}

/* ---- the model ---- */

static bool configure(rill_context *ctx, int64_t vocab, rill_lm_config *config, char *err) {
  char message[RILL_CONFIG_MESSAGE];
  const char *end = strrchr(opt.model, '.');
  if (end && strcmp(end, ".json") == 0) {
    if (!rill_lm_config_load(ctx, opt.model, config, NULL))
      return lm_fail(err, "%s", rill_error(ctx));
    config->vocab = vocab;
  } else if (rill_lm_preset(opt.model, config)) {
    config->vocab = vocab;
    config->width = opt.width;
    config->layers = opt.layers;
    config->heads = opt.heads;
    config->key_size = config->value_size = config->hidden = 0;
    config->mlp = opt.mlp;
    config->tied = !opt.untied;
    config->std = opt.std;
    if (config->parts.rule.name && opt.conv >= 0) config->parts.conv = opt.conv;
    config->parts.beta_max = opt.beta_max;
  } else {
    const char *near = lm_nearest(opt.model, rill_lm_presets);
    return lm_fail(err, "--model: there is no model '%s'%s%s%s", opt.model,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  }
  return rill_lm_resolve(config, message) || lm_fail(err, "--model %s: %s", opt.model, message);
}

/* ---- training and testing ---- */

static void banner(lm_progress *p, const lm_model *model, const recall_plan *plan) {
  char count[32], state[32];
  const rill_lm_config *c = &model->lm->config;
  const lm_task_shape *shape = &plan->test[0].shape;
  lm_count_format((double)rill_params_count(rill_params(model->net)), count, sizeof count);
  lm_count_format((double)lm_recall_state(c, shape->length), state, sizeof state);
  lm_progress_fact(p, "device", "%s, %d threads", rill_context_device_name(model->ctx),
                   rill_context_threads(model->ctx));
  lm_progress_fact(p, "model",
                   "%s, %s parameters: %" PRId64 " layers of width %" PRId64 ", %" PRId64
                   " heads, convolution %" PRId64 ", state of %s numbers",
                   c->model, count, c->layers, c->width, c->heads, c->parts.conv, state);
  lm_progress_fact(p, "task", "%s, %s", plan->task->name, plan->task->help);
}

static lm_recall_line line_of(const lm_model *model, const recall_plan *plan,
                              const lm_task_shape *shape, const lm_recall_score *score,
                              const lm_recall_result *trained) {
  const rill_lm_config *c = &model->lm->config;
  lm_recall_line line = {.length = shape->length,
                         .pairs = shape->pairs,
                         .rewrites = shape->rewrites > 0 ? shape->rewrites : 0,
                         .vocab = shape->vocab,
                         .depth = shape->depth,
                         .width = c->width,
                         .layers = c->layers,
                         .heads = c->heads,
                         .conv = c->parts.conv,
                         .parameters = rill_params_count(rill_params(model->net)),
                         .state = lm_recall_state(c, shape->length),
                         .steps = trained->steps,
                         .batch = trained->steps ? opt.batch : 0,
                         .seed = opt.seed,
                         .lr = trained->steps ? opt.lr : 0,
                         .seconds = trained->seconds,
                         .accuracy = score->accuracy,
                         .whole = score->whole,
                         .nats = score->nats,
                         .examples = score->examples};
  snprintf(line.task, sizeof line.task, "%s", plan->task->name);
  snprintf(line.model, sizeof line.model, "%s", c->model);
  return line;
}

static bool test(const lm_model *model, const recall_plan *plan, const lm_recall_result *trained,
                 lm_progress *progress, lm_recall_line *line, char *err) {
  char path[LM_PATH_SIZE + 32];
  lm_bytes text = {0};
  bool done = true;
  for (int64_t i = 0; done && i < plan->tests; i++) {
    const lm_task_shape *shape = &plan->test[i].shape;
    lm_recall_score score;
    done = lm_recall_test(model, plan->task, shape, 0, opt.test_examples, opt.batch, &score, err);
    if (!done) break;
    line[i] = line_of(model, plan, shape, &score, trained);
    done = lm_recall_line_print(&line[i], &text, err);
    if (!plan->task->hides)
      lm_progress_say(
          progress, "%s, length %" PRId64 ", %" PRId64 " pairs: accuracy %.4f, whole examples %.4f",
          line[i].task, line[i].length, line[i].pairs, score.accuracy, score.whole);
  }
  if (done && plan->task->hides) {
    printf("answers that are right, by depth (down) and length (across):\n");
    lm_recall_grid_print(stdout, line, plan->tests);
  }
  snprintf(path, sizeof path, "%s/results.jsonl", opt.out);
  done = done && lm_write_file(path, text.data, (size_t)text.count, err);
  free(text.data);
  return done;
}

/* The page about a run; without training there is no loss to show. */
static bool report(const lm_recall_line *line, int64_t lines, bool trained, char *err) {
  char path[LM_PATH_SIZE + 32];
  lm_record *record = NULL;
  int64_t records = 0;
  snprintf(path, sizeof path, "%s/log.jsonl", opt.out);
  if (trained && !lm_runlog_read(path, &record, &records, err)) return false;
  snprintf(path, sizeof path, "%s/report.html", opt.out);
  bool done = lm_recall_report_write(path, line, lines, record, records, err);
  free(record);
  return done;
}

static bool train(const lm_model *model, const recall_plan *plan, lm_progress *progress,
                  lm_recall_result *result, char *err) {
  rill_optim *adamw = rill_adamw_new(
      rill_params(model->net), (rill_adamw_opts){.lr = opt.lr, .weight_decay = opt.weight_decay});
  lm_recall_opts opts = {
      .task = plan->task,
      .setting = plan->train,
      .settings = plan->trains,
      .steps = opt.steps,
      .batch = opt.batch,
      .examples = opt.examples,
      .schedule = {.peak = opt.lr, .low = opt.lr / 10, .warmup = opt.warmup, .total = opt.steps},
      .clip = opt.clip,
      .test_every = opt.test_every,
      .test_examples = opt.test_examples,
      .until = opt.until,
      .seed = (uint64_t)opt.seed,
      .out = opt.out,
      .save = opt.save};
  rill_schedule_find(opt.schedule, &opts.schedule.kind);
  bool done = lm_recall_train(model, adamw, &opts, progress, result, err);
  lm_progress_clear(progress);
  return done;
}

static int recall(rill_context *ctx, char *err) {
  recall_plan p;
  lm_model model = {0};
  rill_lm_config config;
  lm_recall_result trained = {0};
  lm_progress progress = lm_progress_new(stdout, opt.quiet, opt.log_every);
  if (!make_plan(&p, err)) return 2;
  int64_t vocab = 0;
  for (int64_t i = 0; i < p.trains; i++)
    if (p.train[i].shape.vocab > vocab) vocab = p.train[i].shape.vocab;
  bool done = opt.checkpoint || configure(ctx, vocab, &config, err);
  int code = done ? 1 : 2;
  done = done && lm_make_folder(opt.out, err);
  if (done && !(opt.checkpoint ? lm_model_load(&model, ctx, opt.checkpoint)
                               : lm_model_new(&model, ctx, &config, RILL_F32)))
    done = lm_fail(err, "%s", rill_error(ctx));
  lm_recall_line *line = done ? lm_alloc(p.tests, sizeof *line, err) : NULL;
  if (done) banner(&progress, &model, &p);
  done = line && (opt.checkpoint || train(&model, &p, &progress, &trained, err)) &&
         test(&model, &p, &trained, &progress, line, err) &&
         report(line, p.tests, !opt.checkpoint, err);
  if (done) lm_progress_note(&progress, "report: %s/report.html", opt.out);
  free(line);
  lm_model_close(&model);
  plan_free(&p);
  return done ? 0 : code;
}

/* ---- many runs ---- */

enum { RESULTS_LIMIT = 1 << 28 };

static int plot(const lm_args *args, char *err) {
  lm_bytes text = {0};
  lm_recall_line *line = NULL;
  int64_t lines = 0;
  bool done = args->operand_count > 0 || lm_fail(err, "--plot needs results.jsonl files");
  for (int i = 0; done && i < args->operand_count; i++)
    done = lm_read_append(NULL, args->operand[i], RESULTS_LIMIT, &text, err);
  const char *name = args->operand_count == 1 ? args->operand[0] : "the files, one after the other";
  done = done && lm_recall_lines_parse(name, (const char *)text.data, (size_t)text.count, &line,
                                       &lines, err);
  if (done && lines == 0) done = lm_fail(err, "%s: there are no results", name);
  done = done && lm_recall_plot_write(opt.plot, line, lines, err);
  free(line);
  free(text.data);
  return done ? 0 : 1;
}

static int run(const lm_args *args, char *err) {
  rill_context *ctx;
  if (opt.plot) return plot(args, err);
  if (args->operand_count > 0) {
    lm_fail(err, "'%.100s' is no option; files are for --plot", args->operand[0]);
    return 2;
  }
  int code = lm_context_open(&ctx, opt.device, opt.threads, opt.seed, err) ? recall(ctx, err) : 1;
  return rill_context_free(ctx) && code == 0 ? 1 : code;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {
      .program = "recall",
      .summary =
          "Trains a small model on a task that asks it to remember, and tests it. Of many "
          "runs --plot draws accuracy against the size of the state.",
      .operands = "RESULTS.jsonl...",
      .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    code = run(&args, err);
    if (err[0] && code != 0) fprintf(stderr, "recall: %s\n", err);
  }
  lm_args_free(&args);
  return code;
}
