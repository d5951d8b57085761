/* The training loop.
 *
 *   for each step: gradients of `accumulate` micro-batches add up -> clip -> AdamW -> line, record,
 * validation, checkpoint
 *
 * What the device does in a step is one function between tensors that stay, so that it can be
 * captured: ids and targets go in before it, losses and the optimizer's report come out after it.
 *
 * All that decides what comes next is the weights, the optimizer's state, the step, the data
 * position and the random stream; a checkpoint holds these, so a resumed run repeats the other's
 * numbers bit for bit. */
#include "examples/lm/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/checkpoint.h"
#include "examples/lm/events.h"
#include "examples/lm/loader.h"
#include "examples/lm/runlog.h"
#include "tensor/capture.h"

enum { BAD_IN_A_ROW = 5 };

static volatile sig_atomic_t stop_asked;
static void ask_to_stop(int signal_number) {
  (void)signal_number;
  stop_asked = 1;
}

typedef struct {
  const lm_model *model;
  const lm_trainer_opts *opts;
  lm_progress *progress;
  rill_optim *opt;
  lm_batches data;   /* the loader's, once it runs */
  lm_loader *loader; /* makes the next step's windows */
  const lm_corpus *corpus;
  lm_run_state state;
  lm_runlog log;
  lm_events events;
  const int32_t *windows;              /* [2, accumulate, batch, seq] of this step */
  float *value;                        /* [accumulate] */
  rill_tensor *ids, *targets, *losses; /* i32 [accumulate, batch, seq] and f32 [accumulate] */
  rill_capture *capture;               /* of `update`; NULL = it is called */
  rill_scope *turn;
} loop;

/* Part i of a tensor: [accumulate, ...] -> [...] */
static rill_tensor *part(rill_tensor *x, int64_t i) {
  return rill_squeeze(rill_slice(x, 0, i, i + 1, 1), 0);
}

/* All that the device does in a step. */
static void update(void *user) {
  loop *l = user;
  const lm_trainer_opts *o = l->opts;
  for (int64_t i = 0; i < o->accumulate; i++) {
    rill_scope *scope = rill_scope_open(l->model->ctx);
    rill_tensor *loss = lm_model_loss(l->model, part(l->ids, i), part(l->targets, i),
                                      l->windows + i * o->batch * o->seq);
    rill_backward(rill_scale(loss, 1 / (double)o->accumulate));
    rill_assign(part(l->losses, i), loss);
    rill_scope_close(scope);
  }
  rill_optim_step_clipped(l->opt, o->clip);
}

/* The windows of a step: input, and shifted by one token, target. */
static bool fill(void *user, int32_t *windows, char *err) {
  loop *l = user;
  int64_t count = l->opts->accumulate * l->opts->batch;
  (void)err;
  lm_batches_next(&l->data, count, windows, windows + count * l->opts->seq);
  return true;
}

/* False, and why in err, when there are no windows. */
static bool one_step(loop *l, lm_record *record, char *err) {
  const lm_trainer_opts *o = l->opts;
  double start = lm_now(), loss = 0;
  double lr = rill_schedule_at(&o->schedule, l->state.step);
  int64_t windows = o->accumulate * o->batch, n = windows * o->seq;
  l->windows = lm_loader_next(l->loader, err);
  if (!l->windows) return false;
  rill_write(l->ids, l->windows, (size_t)n * sizeof *l->windows);
  rill_write(l->targets, l->windows + n, (size_t)n * sizeof *l->windows);
  rill_optim_set_lr(l->opt, lr);
  if (l->capture)
    rill_replay(l->capture);
  else
    update(l);
  rill_read(l->losses, l->value, (size_t)o->accumulate * sizeof *l->value);
  for (int64_t i = 0; i < o->accumulate; i++) loss += (double)l->value[i] / (double)o->accumulate;
  rill_optim_report report = rill_optim_status(l->opt);
  l->state.step++;
  l->state.position += windows;
  *record = (lm_record){.step = l->state.step,
                        .loss = loss,
                        .norm = report.grad_norm,
                        .lr = lr,
                        .seconds = lm_now() - start,
                        .tokens = n,
                        .validation = (double)NAN,
                        .skipped = report.skipped_in_row > 0};
  return true;
}

/* What update works on; false without memory. */
static bool make_room(loop *l, char *err) {
  const lm_trainer_opts *o = l->opts;
  rill_context *ctx = l->model->ctx;
  rill_shape tokens = RILL_SHAPE(o->accumulate, o->batch, o->seq);
  l->value = lm_alloc(o->accumulate, sizeof *l->value, err);
  if (!l->value) return false;
  l->ids = rill_keep(rill_zeros(ctx, RILL_I32, tokens));
  l->targets = rill_keep(rill_zeros(ctx, RILL_I32, tokens));
  l->losses = rill_keep(rill_zeros(ctx, RILL_F32, RILL_SHAPE(o->accumulate)));
  if (o->capture && !l->model->packed) l->capture = rill_capture_new(ctx, update, l);
  l->turn = rill_scope_open(ctx);
  if (rill_error(ctx)) return lm_fail(err, "%s", rill_error(ctx));
  l->loader = lm_loader_new(fill, l, 2 * o->accumulate * o->batch * o->seq, err);
  return l->loader != NULL;
}

static void release_room(loop *l) {
  lm_loader_free(l->loader);
  rill_scope_close(l->turn);
  rill_capture_free(l->capture);
  rill_drop(l->losses);
  rill_drop(l->targets);
  rill_drop(l->ids);
  free(l->value);
}

static bool save(loop *l) {
  if (!lm_checkpoint_save(l->opts->out, &l->state, l->opts->keep)) return false;
  lm_progress_note(l->progress, "saved %s/step-%08" PRId64, l->opts->out, l->state.step);
  return true;
}

/* Part of the GPU's peak in bf16 that 6 operations a parameter and token make; 0 where the peak is
 * not known. */
static double utilisation(const loop *l, const lm_record *record) {
  static const struct {
    const char *name;
    double peak; /* operations a second, dense */
  } card[] = {{"H100", 989e12}, {"H200", 989e12}, {"A100", 312e12}};
  const char *name = rill_context_device_name(l->model->ctx);
  double work = 6 * (double)rill_params_count(rill_params(l->model->net)) * (double)record->tokens;
  for (size_t i = 0; i < sizeof card / sizeof card[0]; i++)
    if (strstr(name, card[i].name)) return work / record->seconds / card[i].peak;
  return 0;
}

/* Everything after the update of a step. */
static lm_trainer_exit after_step(loop *l, lm_record *record, lm_trainer_result *result,
                                  char *err) {
  const lm_trainer_opts *o = l->opts;
  rill_optim_report report = rill_optim_status(l->opt);
  bool last = record->step == o->steps;
  lm_step line = {.step = record->step,
                  .steps = o->steps,
                  .loss = record->loss,
                  .norm = record->norm,
                  .lr = record->lr,
                  .seconds = record->seconds,
                  .tokens = record->tokens,
                  .mfu = utilisation(l, record),
                  .memory_bytes = rill_memory_used(l->model->ctx).peak_bytes};
  lm_progress_step(l->progress, &line);
  if (record->skipped) {
    lm_progress_say(l->progress,
                    "step %" PRId64
                    ": the gradient of %s is not finite; the update was not applied",
                    record->step, report.bad ? report.bad : "a parameter");
    if (report.skipped_in_row >= BAD_IN_A_ROW) {
      lm_fail(err,
              "%d updates in a row had gradients that are not finite (%s); lower --lr or --clip",
              BAD_IN_A_ROW, report.bad ? report.bad : "?");
      return LM_DIVERGED;
    }
  }
  if (last || (o->validate_every && record->step % o->validate_every == 0)) {
    lm_measure *m = &result->validation;
    if (!lm_model_measure(l->model, &l->corpus->validation, o->seq, o->batch, o->validation_tokens,
                          m, err))
      return LM_FAILED;
    record->validation = m->nats;
    bool best = record->validation < l->state.best;
    if (best) l->state.best = record->validation;
    if (best && o->save_every >= 0 && !lm_checkpoint_save_best(o->out, &l->state, l->model->lm)) {
      lm_fail(err, "%s", rill_error(l->model->ctx));
      return LM_FAILED;
    }
    char bits[48] = "";
    if (m->bytes) snprintf(bits, sizeof bits, ", %.4f bits per byte", lm_measure_bits(m));
    lm_progress_note(l->progress, "step %" PRId64 " | validation %.4f nats%s", record->step,
                     m->nats, bits);
  }
  if (!lm_runlog_write(&l->log, record, err) || !lm_events_write(&l->events, record, err))
    return LM_FAILED;
  bool saves = last ? o->save_every >= 0 : o->save_every > 0 && record->step % o->save_every == 0;
  if (saves) {
    if (!save(l)) {
      lm_fail(err, "%s", rill_error(l->model->ctx));
      return LM_FAILED;
    }
  }
  return LM_TRAINED;
}

static lm_trainer_exit run(loop *l, lm_trainer_result *result, char *err) {
  const lm_trainer_opts *o = l->opts;
  lm_trainer_exit code = LM_TRAINED;
  double start = lm_now();
  while (code == LM_TRAINED && l->state.step < o->steps) {
    if (stop_asked || (o->stop_after > 0 && lm_now() - start > o->stop_after)) {
      result->interrupted = true;
      lm_progress_say(l->progress, "stopped after step %" PRId64 "; go on with --resume",
                      l->state.step);
      if (l->state.step > 0 && o->save_every >= 0 && !save(l)) code = LM_FAILED;
      break;
    }
    if (!rill_scope_reset(l->turn)) break;
    lm_record record;
    if (!one_step(l, &record, err)) {
      code = LM_FAILED;
      break;
    }
    if (rill_error(l->model->ctx)) break;
    result->tokens += record.tokens;
    code = after_step(l, &record, result, err);
  }
  if (rill_error(l->model->ctx)) {
    lm_fail(err, "%s", rill_error(l->model->ctx));
    code = LM_FAILED;
  }
  result->steps = l->state.step;
  result->seconds = lm_now() - start;
  return code;
}

/* Takes up where a run stopped, if asked to, and goes on from there. */
static lm_trainer_exit take_up(loop *l, lm_trainer_result *result, char *err) {
  const lm_trainer_opts *o = l->opts;
  char path[LM_PATH_SIZE + 32];
  if (o->resume) {
    if (!lm_checkpoint_load(o->out, &l->state)) {
      lm_fail(err, "%s", rill_error(l->model->ctx));
      return LM_FAILED;
    }
    l->data.position = l->state.position;
    lm_progress_fact(l->progress, "resumed", "%s at step %" PRId64, o->out, l->state.step);
    if (l->state.step >= o->steps) {
      lm_fail(err, "%s has %" PRId64 " steps already; ask for more than that with --steps", o->out,
              l->state.step);
      return LM_FAILED;
    }
  }
  snprintf(path, sizeof path, "%s/log.jsonl", o->out);
  if (!lm_runlog_open(&l->log, path, l->state.step, err)) return LM_FAILED;
  bool ready = make_room(l, err) && lm_events_open(&l->events, o->out, l->state.step, err);
  stop_asked = 0;
  signal(SIGINT, ask_to_stop);
  signal(SIGTERM, ask_to_stop);
  lm_trainer_exit code = ready ? run(l, result, err) : LM_FAILED;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  release_room(l);
  char ignored[LM_ERROR_SIZE];
  bool closed = lm_events_close(&l->events, code == LM_TRAINED ? err : ignored);
  closed = lm_runlog_close(&l->log, code == LM_TRAINED ? err : ignored) && closed;
  return code == LM_TRAINED && !closed ? LM_FAILED : code;
}

lm_trainer_exit lm_train(const lm_model *model, rill_optim *opt, const lm_corpus *corpus,
                         const lm_trainer_opts *opts, lm_progress *progress,
                         lm_trainer_result *result, char *err) {
  loop l = {.model = model,
            .opts = opts,
            .progress = progress,
            .opt = opt,
            .corpus = corpus,
            .state = {.config = &model->lm->config,
                      .net = model->net,
                      .opt = opt,
                      .tokenizer = model->tokenizer,
                      .fingerprint = opts->fingerprint,
                      .best = INFINITY}};
  *result = (lm_trainer_result){.validation = {.nats = (double)NAN}};
  if (!lm_batches_open(&l.data, &corpus->train, opts->seq, opts->seed, err)) return LM_FAILED;
  lm_trainer_exit code = take_up(&l, result, err);
  lm_batches_close(&l.data);
  return code;
}
