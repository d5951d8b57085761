/* Training: a step makes its examples, and only the places that count reach the output layer. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "examples/lm/batches.h"
#include "examples/lm/checkpoint.h"
#include "examples/lm/random.h"
#include "examples/lm/recall_batch.h"
#include "examples/lm/runlog.h"
#include "ops/ops.h"

enum { BAD_IN_A_ROW = 5 };

static const uint64_t ORDER = 0x6f72646572; /* the stream that orders examples and settings */
static const uint64_t WATCH = 0x7761746368; /* the seed of tests while training goes on: not those
                                               of the end, whose numbers are reported */

typedef struct {
  const lm_model *model;
  const lm_recall_opts *opts;
  lm_progress *progress;
  rill_optim *opt;
  lm_recall_batch *batch; /* one for each setting */
  int64_t *index;         /* [batch]: the examples of a step */
  lm_runlog log;
  int64_t step, position; /* updates, and examples drawn */
} loop;

/* The setting of a step, by weight. */
static int64_t choose_setting(const lm_recall_opts *o, int64_t step) {
  double total = 0, left;
  for (int64_t i = 0; i < o->settings; i++) total += o->setting[i].weight;
  left = lm_random_unit(lm_random(o->seed, ORDER), (uint64_t)step) * total;
  for (int64_t i = 0; i < o->settings - 1; i++) {
    left -= o->setting[i].weight;
    if (left < 0) return i;
  }
  return o->settings - 1;
}

static int64_t example_at(const lm_recall_opts *o, int64_t position) {
  if (o->examples == 0) return position;
  uint64_t key = lm_random(lm_random(o->seed, ORDER), ~(uint64_t)(position / o->examples));
  return lm_shuffle(position % o->examples, o->examples, key);
}

static bool one_step(loop *l, lm_record *record, char *err) {
  const lm_recall_opts *o = l->opts;
  rill_context *ctx = l->model->ctx;
  lm_recall_batch *b = &l->batch[choose_setting(o, l->step)];
  double start = lm_now(), lr = rill_schedule_at(&o->schedule, l->step);
  for (int64_t i = 0; i < o->batch; i++) l->index[i] = example_at(o, l->position++);
  if (!lm_recall_batch_fill(b, o->seed, LM_SPLIT_TRAIN, l->index, o->batch, err)) return false;
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *answer = rill_from(ctx, RILL_I32, RILL_SHAPE(b->rows), b->answer);
  rill_tensor *loss = rill_linear_cross_entropy(lm_recall_hidden(l->model, b),
                                                rill_lm_output(l->model->lm), answer);
  rill_backward(loss);
  double value = rill_item(loss);
  rill_scope_close(scope);
  rill_optim_set_lr(l->opt, lr);
  bool updated = rill_optim_step_clipped(l->opt, o->clip);
  l->step++;
  *record = (lm_record){.step = l->step,
                        .loss = value,
                        .norm = rill_optim_status(l->opt).grad_norm,
                        .lr = lr,
                        .seconds = lm_now() - start,
                        .tokens = b->size * b->length,
                        .validation = (double)NAN,
                        .skipped = !updated};
  return !rill_error(ctx) || lm_fail(err, "%s", rill_error(ctx));
}

/* The settings that are trained, tested; their mean accuracy, or -1 after an error. */
static double test_all(loop *l, lm_record *record, char *err) {
  const lm_recall_opts *o = l->opts;
  double accuracy = 0;
  record->validation = 0;
  for (int64_t i = 0; i < o->settings; i++) {
    lm_recall_score score;
    if (!lm_recall_test(l->model, o->task, &o->setting[i].shape, WATCH, o->test_examples, o->batch,
                        &score, err))
      return -1;
    accuracy += score.accuracy / (double)o->settings;
    record->validation += score.nats / (double)o->settings;
  }
  lm_progress_note(l->progress, "step %" PRId64 " | test %.3f nats, accuracy %.4f", record->step,
                   record->validation, accuracy);
  return accuracy;
}

static bool save(loop *l) {
  lm_run_state state = {.config = &l->model->lm->config,
                        .net = l->model->net,
                        .opt = l->opt,
                        .step = l->step,
                        .position = l->position,
                        .best = INFINITY};
  return lm_checkpoint_save(l->opts->out, &state, 1);
}

static bool run(loop *l, lm_recall_result *result, char *err) {
  const lm_recall_opts *o = l->opts;
  double accuracy = 0;
  while (l->step < o->steps && !(accuracy >= o->until)) {
    lm_record record;
    if (!one_step(l, &record, err)) return false;
    rill_optim_report report = rill_optim_status(l->opt);
    if (report.skipped_in_row >= BAD_IN_A_ROW)
      return lm_fail(err,
                     "%d updates in a row had gradients that are not finite (%s); lower --lr or "
                     "--clip",
                     BAD_IN_A_ROW, report.bad ? report.bad : "?");
    result->seconds += record.seconds;
    result->steps = l->step;
    result->loss = record.loss;
    lm_step line = {.step = record.step,
                    .steps = o->steps,
                    .loss = record.loss,
                    .norm = record.norm,
                    .lr = record.lr,
                    .seconds = record.seconds,
                    .tokens = record.tokens,
                    .memory_bytes = rill_memory_used(l->model->ctx).peak_bytes};
    lm_progress_step(l->progress, &line);
    bool last = l->step == o->steps;
    if ((last || (o->test_every && l->step % o->test_every == 0)) &&
        (accuracy = test_all(l, &record, err)) < 0)
      return false;
    if (!lm_runlog_write(&l->log, &record, err)) return false;
  }
  if (o->save && !save(l)) return lm_fail(err, "%s", rill_error(l->model->ctx));
  return true;
}

bool lm_recall_train(const lm_model *model, rill_optim *opt, const lm_recall_opts *opts,
                     lm_progress *progress, lm_recall_result *result, char *err) {
  char path[LM_PATH_SIZE + 32], ignored[LM_ERROR_SIZE];
  loop l = {.model = model, .opts = opts, .progress = progress, .opt = opt};
  *result = (lm_recall_result){0};
  snprintf(path, sizeof path, "%s/log.jsonl", opts->out);
  if (!lm_runlog_open(&l.log, path, 0, err)) return false;
  l.index = lm_alloc(opts->batch, sizeof *l.index, err);
  l.batch = l.index ? lm_alloc(opts->settings, sizeof *l.batch, err) : NULL;
  bool done = l.batch != NULL;
  for (int64_t i = 0; done && i < opts->settings; i++)
    done = lm_recall_batch_new(&l.batch[i], opts->task, &opts->setting[i].shape, NULL, opts->batch,
                               err);
  done = done && run(&l, result, err);
  for (int64_t i = 0; l.batch && i < opts->settings; i++) lm_recall_batch_free(&l.batch[i]);
  free(l.batch);
  free(l.index);
  return lm_runlog_close(&l.log, done ? err : ignored) && done;
}
