/* One batch, in training and in tests:
 *
 *   ids [B, T] -> hidden [B T, width] -> rows that count [N, width] -> their loss, or their best
 * token
 */
#include "examples/lm/recall.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/batches.h"
#include "examples/lm/checkpoint.h"
#include "examples/lm/random.h"
#include "examples/lm/runlog.h"
#include "ops/ops.h"

enum { BAD_IN_A_ROW = 5, LOGITS_AT_ONCE = 1 << 24 };

static const uint64_t ORDER = 0x6f72646572; /* the stream that orders examples and settings */
static const uint64_t WATCH = 0x7761746368; /* the seed of tests while training goes on: not those
                                               of the end, whose numbers are reported */

/* ---- a batch ---- */

typedef struct {
  const lm_task *task;
  lm_task_shape shape;
  int64_t size, rows;      /* examples, and targets that count in all of them */
  int32_t *input, *target; /* [size, length] */
  int64_t *row;            /* [rows]: where they are among the size x length */
  int32_t *answer;         /* [rows] */
} batch;

static void batch_free(batch *b) {
  free(b->input);
  free(b->target);
  free(b->row);
  free(b->answer);
  *b = (batch){0};
}

static bool batch_new(batch *b, const lm_task *task, const lm_task_shape *shape, int64_t size,
                      char *err) {
  *b = (batch){.task = task, .shape = *shape, .size = size};
  int64_t each = lm_task_count(task, shape, err);
  if (each < 0) return false;
  b->rows = each * size;
  b->input = lm_alloc(size * shape->length, sizeof *b->input, err);
  b->target = lm_alloc(size * shape->length, sizeof *b->target, err);
  b->row = lm_alloc(b->rows, sizeof *b->row, err);
  b->answer = lm_alloc(b->rows, sizeof *b->answer, err);
  if (b->input && b->target && b->row && b->answer) return true;
  batch_free(b);
  return false;
}

static void put_example(batch *b, int64_t i, uint64_t seed, lm_split split, int64_t index) {
  int64_t at = i * b->shape.length;
  lm_task_example(b->task, &b->shape, seed, split, index, b->input + at, b->target + at);
}

/* Finds the rows that count. */
static void collect_rows(batch *b) {
  int64_t n = 0;
  for (int64_t i = 0; i < b->size * b->shape.length && n < b->rows; i++) {
    if (b->target[i] == LM_NOT_COUNTED) continue;
    b->row[n] = i;
    b->answer[n++] = b->target[i];
  }
}

/* [rows, width] */
static rill_tensor *hidden_rows(const lm_model *model, const batch *b) {
  rill_tensor *ids =
      rill_from(model->ctx, RILL_I32, RILL_SHAPE(b->size, b->shape.length), b->input);
  rill_tensor *x = rill_lm_hidden(model->lm, ids);
  x = rill_reshape(x, RILL_SHAPE(b->size * b->shape.length, model->lm->config.width));
  return rill_embedding_lookup(x, rill_from(model->ctx, RILL_I64, RILL_SHAPE(b->rows), b->row));
}

/* ---- testing ---- */

/* Adds what is right in rows begin .. end of x. */
static bool score_rows(const lm_model *model, const batch *b, rill_tensor *x, int64_t begin,
                       int64_t end, bool *right, double *nats) {
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  const int64_t n = end - begin;
  rill_tensor *logits =
      rill_linear_op(rill_slice(x, 0, begin, end, 1), rill_lm_output(model->lm), NULL);
  rill_tensor *answer = rill_from(model->ctx, RILL_I32, RILL_SHAPE(n), b->answer + begin);
  rill_tensor *best = rill_cast(rill_argmax(logits, 1, false), RILL_I32);
  rill_tensor *hit = rill_cast(rill_equal(best, answer), RILL_BOOL);
  *nats += rill_item(rill_cross_entropy(logits, answer)) * (double)n;
  bool done = rill_read(hit, right + begin, (size_t)n * sizeof *right);
  rill_scope_close(scope);
  return done;
}

static bool score_batch(const lm_model *model, const batch *b, bool *right, lm_recall_score *sum) {
  const int64_t each = b->rows / b->size;
  int64_t at_once = LOGITS_AT_ONCE / model->lm->config.vocab;
  if (at_once < 1) at_once = 1;
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  rill_tensor *x = hidden_rows(model, b);
  bool done = true;
  for (int64_t begin = 0; done && begin < b->rows; begin += at_once) {
    int64_t end = begin + at_once < b->rows ? begin + at_once : b->rows;
    done = score_rows(model, b, x, begin, end, right, &sum->nats);
  }
  rill_scope_close(scope);
  for (int64_t i = 0; done && i < b->size; i++) {
    int64_t good = 0;
    for (int64_t j = 0; j < each; j++) good += right[i * each + j];
    sum->accuracy += (double)good;
    sum->whole += good == each;
  }
  return done;
}

bool lm_recall_test(const lm_model *model, const lm_task *task, const lm_task_shape *shape,
                    uint64_t seed, int64_t examples, int64_t size, lm_recall_score *score,
                    char *err) {
  batch b = {0};
  double counted = 0;
  bool done = true, *right = NULL;
  *score = (lm_recall_score){0};
  if (shape->vocab > model->lm->config.vocab)
    return lm_fail(err, "the task has %" PRId64 " different tokens, the model knows %" PRId64,
                   shape->vocab, model->lm->config.vocab);
  while (done && score->examples < examples) {
    int64_t left = examples - score->examples, n = left < size ? left : size;
    if (b.size != n) {
      batch_free(&b);
      free(right);
      right = NULL;
      done = batch_new(&b, task, shape, n, err) &&
             (right = lm_alloc(b.rows, sizeof *right, err)) != NULL;
      if (!done) break;
    }
    for (int64_t i = 0; i < n; i++) put_example(&b, i, seed, LM_SPLIT_TEST, score->examples + i);
    collect_rows(&b);
    done = score_batch(model, &b, right, score) || lm_fail(err, "%s", rill_error(model->ctx));
    score->examples += n;
    counted += (double)b.rows;
  }
  free(right);
  batch_free(&b);
  score->accuracy /= counted;
  score->nats /= counted;
  score->whole /= (double)score->examples;
  return done;
}

/* ---- training ---- */

typedef struct {
  const lm_model *model;
  const lm_recall_opts *opts;
  lm_progress *progress;
  rill_optim *opt;
  batch *batch; /* one for each setting */
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

static lm_record one_step(loop *l) {
  const lm_recall_opts *o = l->opts;
  rill_context *ctx = l->model->ctx;
  batch *b = &l->batch[choose_setting(o, l->step)];
  double start = lm_now(), lr = rill_schedule_at(&o->schedule, l->step);
  for (int64_t i = 0; i < b->size; i++)
    put_example(b, i, o->seed, LM_SPLIT_TRAIN, example_at(o, l->position++));
  collect_rows(b);
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *answer = rill_from(ctx, RILL_I32, RILL_SHAPE(b->rows), b->answer);
  rill_tensor *loss =
      rill_linear_cross_entropy(hidden_rows(l->model, b), rill_lm_output(l->model->lm), answer);
  rill_backward(loss);
  double value = rill_item(loss);
  rill_scope_close(scope);
  rill_optim_set_lr(l->opt, lr);
  bool updated = rill_optim_step_clipped(l->opt, o->clip);
  l->step++;
  return (lm_record){.step = l->step,
                     .loss = value,
                     .norm = rill_optim_status(l->opt).grad_norm,
                     .lr = lr,
                     .seconds = lm_now() - start,
                     .tokens = b->size * b->shape.length,
                     .validation = (double)NAN,
                     .skipped = !updated};
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
    lm_record record = one_step(l);
    rill_optim_report report = rill_optim_status(l->opt);
    if (rill_error(l->model->ctx)) return lm_fail(err, "%s", rill_error(l->model->ctx));
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
  l.batch = lm_alloc(opts->settings, sizeof *l.batch, err);
  bool done = l.batch != NULL;
  for (int64_t i = 0; done && i < opts->settings; i++)
    done = batch_new(&l.batch[i], opts->task, &opts->setting[i].shape, opts->batch, err);
  done = done && run(&l, result, err);
  for (int64_t i = 0; l.batch && i < opts->settings; i++) batch_free(&l.batch[i]);
  free(l.batch);
  return lm_runlog_close(&l.log, done ? err : ignored) && done;
}
