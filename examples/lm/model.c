/* Models of bytes: making, loading, measuring, generating. */
#include "examples/lm/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/batches.h"
#include "examples/lm/checkpoint.h"
#include "ops/ops.h"

bool lm_context_open(rill_context **ctx, const char *device, int64_t threads, int64_t seed,
                     char *err) {
  rill_context_opts opts = {
      .seed = (uint64_t)seed, .on_error = RILL_CONTINUE, .threads = (int)threads};
  bool any = strcmp(device, "auto") == 0;
  opts.device = strcmp(device, "cpu") == 0 ? RILL_CPU : RILL_CUDA;
  *ctx = rill_context_new(opts);
  if (any && *ctx && rill_error(*ctx)) {
    rill_context_free(*ctx);
    opts.device = RILL_CPU;
    *ctx = rill_context_new(opts);
  }
  if (!*ctx) return lm_fail(err, "out of memory");
  if (!rill_error(*ctx)) return true;
  lm_fail(err, "%s", rill_error(*ctx));
  rill_context_free(*ctx);
  *ctx = NULL;
  return false;
}

bool lm_model_new(lm_model *model, rill_context *ctx, const rill_lm_config *config,
                  rill_dtype dtype) {
  model->ctx = ctx;
  model->net = rill_module_new_with(ctx, rill_lm_module_opts(config, dtype));
  model->lm = rill_lm_new(model->net, config);
  return model->lm && !rill_error(ctx);
}

bool lm_model_load(lm_model *model, rill_context *ctx, const char *path) {
  char folder[LM_PATH_SIZE], err[LM_ERROR_SIZE];
  if (!lm_checkpoint_folder(path, folder, err)) {
    rill_fail(ctx, RILL_ERROR_FILE, "%s", err);
    return false;
  }
  model->ctx = ctx;
  model->lm = rill_lm_load(ctx, folder, RILL_F32);
  model->net = model->lm ? model->lm->module : NULL;
  return model->lm != NULL;
}

/* Sum of the loss over `count` windows from where b stands. */
static double batch_nats(const lm_model *model, lm_batches *b, int64_t count, int32_t *buffer) {
  int64_t n = count * b->seq;
  lm_batches_next(b, count, buffer, buffer + n);
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  rill_tensor *ids = rill_from(model->ctx, RILL_I32, RILL_SHAPE(count, b->seq), buffer);
  rill_tensor *targets = rill_from(model->ctx, RILL_I32, RILL_SHAPE(count, b->seq), buffer + n);
  double nats = rill_item(rill_lm_loss(model->lm, ids, targets)) * (double)n;
  rill_scope_close(scope);
  return nats;
}

double lm_model_nats(const lm_model *model, lm_text text, int64_t seq, int64_t batch,
                     int64_t *bytes, char *err) {
  lm_batches b;
  double nats = 0;
  *bytes = 0;
  if (!lm_batches_open(&b, text, seq, 0, err)) return (double)NAN;
  b.in_order = true;
  int32_t *buffer = lm_alloc(2 * batch * seq, sizeof *buffer, err);
  if (!buffer) return (double)NAN;
  while (b.position < b.windows && !rill_error(model->ctx)) {
    int64_t left = b.windows - b.position, count = left < batch ? left : batch;
    nats += batch_nats(model, &b, count, buffer);
    *bytes += count * seq;
  }
  free(buffer);
  if (rill_error(model->ctx)) {
    lm_fail(err, "%s", rill_error(model->ctx));
    return (double)NAN;
  }
  return nats / (double)*bytes;
}

/* Feeds bytes and leaves the logits of what comes next in `logits`. */
static bool feed(const lm_model *model, rill_state *state, const uint8_t *bytes, int64_t count,
                 float *logits) {
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  rill_tensor *raw = rill_from(model->ctx, RILL_U8, RILL_SHAPE(1, count), bytes);
  rill_tensor *next = rill_lm_next(model->lm, rill_cast(raw, RILL_I32), state); /* [1, vocab] */
  bool done =
      rill_read(rill_cast(next, RILL_F32), logits, (size_t)model->lm->config.vocab * sizeof(float));
  rill_scope_close(scope);
  return done;
}

bool lm_model_generate(const lm_model *model, lm_text prompt, int64_t count, lm_sampler *sampler,
                       bool (*emit)(void *user, uint8_t byte), void *user, char *err) {
  static const uint8_t newline = '\n';
  lm_text start = prompt.count > 0 ? prompt : (lm_text){&newline, 1};
  if (model->lm->config.vocab != 256)
    return lm_fail(err,
                   "the model has a vocabulary of %" PRId64
                   "; only models of bytes (256) can be used here",
                   model->lm->config.vocab);
  rill_state *state = rill_state_new(model->ctx);
  float *logits = lm_alloc(model->lm->config.vocab, sizeof *logits, err);
  bool going = state && logits;
  for (int64_t i = 0; i < start.count; i++) lm_sampler_see(sampler, start.bytes[i]);
  const uint8_t *bytes = start.bytes;
  int64_t n = start.count;
  uint8_t byte;
  for (int64_t i = 0; going && i < count; i++) {
    int32_t token;
    if (!feed(model, state, bytes, n, logits)) {
      going = lm_fail(err, "%s", rill_error(model->ctx));
      break;
    }
    going = lm_sampler_next(sampler, logits, &token, err);
    if (!going) break;
    byte = (uint8_t)token;
    bytes = &byte;
    n = 1;
    if (!emit(user, byte)) break;
  }
  free(logits);
  rill_state_free(state);
  return going;
}
