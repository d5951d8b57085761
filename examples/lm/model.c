/* Models: making, loading, measuring, generating. */
#include "examples/lm/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/lm/batches.h"
#include "examples/lm/checkpoint.h"
#include "ops/ops.h"
#include "tensor/io.h"

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
  model->tokenizer = NULL;
  model->packed = NULL;
  model->net = rill_module_new_with(ctx, rill_lm_module_opts(config, dtype));
  model->lm = rill_lm_new(model->net, config);
  return model->lm && !rill_error(ctx);
}

/* The tokenizer of a folder. Where it has no file of ours, tokens are bytes, unless the model is
 * too small for them or came with another library's tokenizer. */
static bool load_tokenizer(lm_model *model, const char *folder) {
  char err[LM_ERROR_SIZE], other[LM_PATH_SIZE + 32];
  const int64_t vocabulary = model->lm->config.vocab;
  lm_tokenizer *t = lm_tokenizer_load(folder, err);
  snprintf(other, sizeof other, "%s/tokenizer.json", folder);
  if (t && lm_tokenizer_is_bytes(t) && (vocabulary < 256 || access(other, F_OK) == 0)) {
    lm_tokenizer_free(t);
    t = lm_tokenizer_ids(vocabulary, -1, err);
  }
  model->tokenizer = t;
  if (t && lm_tokenizer_vocabulary(t) <= vocabulary) return true;
  if (t)
    lm_fail(err, "%s: the tokenizer has %" PRId64 " tokens, and the model knows %" PRId64, folder,
            lm_tokenizer_vocabulary(t), vocabulary);
  rill_fail(model->ctx, RILL_ERROR_FILE, "%s", err);
  return false;
}

static bool choose_dtype(rill_context *ctx, const char *folder, const char *choice,
                         rill_dtype *dtype) {
  *dtype = strcmp(choice, "bf16") == 0 ? RILL_BF16 : RILL_F32;
  if (strcmp(choice, "auto") != 0 || rill_context_device(ctx) == RILL_CPU) return true;
  return rill_lm_stored_dtype(ctx, folder, dtype);
}

bool lm_model_load_as(lm_model *model, rill_context *ctx, const char *path, const char *choice) {
  rill_dtype dtype;
  char folder[LM_PATH_SIZE], err[LM_ERROR_SIZE];
  *model = (lm_model){0};
  if (!lm_checkpoint_folder(path, folder, err)) {
    rill_fail(ctx, RILL_ERROR_FILE, "%s", err);
    return false;
  }
  model->ctx = ctx;
  model->lm = choose_dtype(ctx, folder, choice, &dtype) ? rill_lm_load(ctx, folder, dtype) : NULL;
  model->net = model->lm ? model->lm->module : NULL;
  return model->lm && load_tokenizer(model, folder);
}

bool lm_model_load(lm_model *model, rill_context *ctx, const char *path) {
  return lm_model_load_as(model, ctx, path, "f32");
}

void lm_model_close(lm_model *model) {
  lm_tokenizer_free(model->tokenizer);
  rill_state_free(model->packed);
  *model = (lm_model){0};
}

/* ---- documents apart ---- */

bool lm_model_pack(lm_model *model, char *err) {
  if (!model->tokenizer || lm_tokenizer_end(model->tokenizer) < 0)
    return lm_fail(err,
                   "documents cannot be told apart: no token of these ends one (see --end-token)");
  model->packed = rill_state_new(model->ctx);
  return model->packed || lm_fail(err, "%s", rill_error(model->ctx));
}

int64_t lm_document_offsets(const int32_t *tokens, int64_t B, int64_t T, int32_t end,
                            int64_t *offsets) {
  int64_t count = 0;
  for (int64_t i = 0; i < B * T; i++)
    if (i % T == 0 || tokens[i] == end) offsets[count++] = i;
  offsets[count] = B * T;
  return count;
}

rill_tensor *lm_model_loss(const lm_model *model, rill_tensor *ids, rill_tensor *targets,
                           const int32_t *tokens) {
  if (!model->packed) return rill_lm_loss(model->lm, ids, targets);
  const int64_t B = rill_size(ids, 0), T = rill_size(ids, 1);
  int64_t *offsets = rill_alloc(model->ctx, (size_t)(B * T + 1) * sizeof *offsets);
  if (!offsets) return ids;
  int64_t n = lm_document_offsets(tokens, B, T, lm_tokenizer_end(model->tokenizer), offsets);
  rill_state_pack(model->packed, n, offsets);
  rill_free(model->ctx, offsets);
  rill_shape row = RILL_SHAPE(1, B * T);
  return rill_lm_loss_state(model->lm, rill_reshape(ids, row), rill_reshape(targets, row),
                            model->packed);
}

/* ---- measuring ---- */

/* Sum of the loss over `count` windows from where b stands. */
static double batch_nats(const lm_model *model, lm_batches *b, int64_t count, int32_t *buffer) {
  int64_t n = count * b->seq;
  lm_batches_next(b, count, buffer, buffer + n);
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  rill_tensor *ids = rill_from(model->ctx, RILL_I32, RILL_SHAPE(count, b->seq), buffer);
  rill_tensor *targets = rill_from(model->ctx, RILL_I32, RILL_SHAPE(count, b->seq), buffer + n);
  double nats = rill_item(lm_model_loss(model, ids, targets, buffer)) * (double)n;
  rill_scope_close(scope);
  return nats;
}

/* Bytes of text that the next `count` windows predict. */
static int64_t bytes_ahead(const lm_model *model, const lm_batches *b, int64_t count) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < count; i++) {
    lm_place at = lm_batches_place(b, b->position + i);
    bytes +=
        lm_tokenizer_measure(model->tokenizer, &b->stream->part[at.part], at.begin + 1, b->seq);
  }
  return bytes;
}

bool lm_model_measure(const lm_model *model, const lm_parts *stream, int64_t seq, int64_t batch,
                      int64_t most, lm_measure *measure, char *err) {
  lm_batches b;
  double nats = 0;
  *measure = (lm_measure){.nats = (double)NAN};
  if (!lm_batches_open(&b, stream, seq, 0, err)) return false;
  b.in_order = true;
  int64_t windows = b.windows, fit = most > 2 * seq ? (most - seq) / seq : 1;
  if (most > 0 && windows > fit) windows = fit;
  int32_t *buffer = lm_alloc(2 * batch * seq, sizeof *buffer, err);
  while (buffer && b.position < windows && !rill_error(model->ctx)) {
    int64_t left = windows - b.position, count = left < batch ? left : batch;
    if (model->tokenizer) measure->bytes += bytes_ahead(model, &b, count);
    nats += batch_nats(model, &b, count, buffer);
    measure->tokens += count * seq;
  }
  free(buffer);
  lm_batches_close(&b);
  if (!buffer) return false;
  if (rill_error(model->ctx)) return lm_fail(err, "%s", rill_error(model->ctx));
  measure->nats = nats / (double)measure->tokens;
  return !isnan(nats) || lm_fail(err, "the model's predictions are not finite");
}

double lm_measure_bits(const lm_measure *m) {
  return m->bytes > 0 ? m->nats * (double)m->tokens / (double)m->bytes / log(2) : (double)NAN;
}

/* ---- generating ---- */

/* Reads the prompt and leaves the logits of what comes next in `logits`. */
static bool read_prompt(const lm_model *model, rill_state *state, const int32_t *tokens,
                        int64_t count, float *logits) {
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  rill_tensor *ids = rill_from(model->ctx, RILL_I32, RILL_SHAPE(1, count), tokens);
  rill_tensor *next = rill_lm_next(model->lm, ids, state); /* [1, vocab] */
  bool done =
      rill_read(rill_cast(next, RILL_F32), logits, (size_t)model->lm->config.vocab * sizeof(float));
  rill_scope_close(scope);
  return done;
}

/* The same for one token more. */
static bool read_token(const lm_model *model, rill_decoder *decoder, int32_t token, float *logits) {
  rill_tensor *next = rill_decoder_next(decoder, &token);
  return next && rill_read(next, logits, (size_t)model->lm->config.vocab * sizeof(float));
}

/* The tokens of a prompt as int32_t, or NULL. */
static int32_t *encode_prompt(const lm_model *model, lm_text prompt, int64_t *count, char *err) {
  static const uint8_t newline = '\n';
  lm_bytes array = {0};
  int32_t *tokens = NULL;
  if (prompt.count == 0) prompt = (lm_text){&newline, 1};
  if (lm_tokenizer_encode(model->tokenizer, prompt, &array, err)) {
    lm_tokens view = lm_tokenizer_view(model->tokenizer, &array);
    tokens = lm_alloc(view.count, sizeof *tokens, err);
    if (tokens) lm_tokens_read(&view, 0, view.count, tokens);
    *count = view.count;
  }
  free(array.data);
  return tokens;
}

bool lm_model_generate(const lm_model *model, lm_text prompt, int64_t count, lm_sampler *sampler,
                       bool (*emit)(void *user, lm_text piece), void *user, char *err) {
  int64_t n = 0;
  int32_t token = 0, *start = encode_prompt(model, prompt, &n, err);
  if (!start) return false;
  rill_state *state = rill_state_new(model->ctx);
  rill_decoder *decoder = rill_decoder_new(model->lm, state, 1);
  float *logits = lm_alloc(model->lm->config.vocab, sizeof *logits, err);
  bool going = logits && (decoder || lm_fail(err, "%s", rill_error(model->ctx)));
  for (int64_t i = 0; i < n; i++) lm_sampler_see(sampler, start[i]);
  for (int64_t i = 0; going && i < count; i++) {
    bool read = i == 0 ? read_prompt(model, state, start, n, logits)
                       : read_token(model, decoder, token, logits);
    going = (read || lm_fail(err, "%s", rill_error(model->ctx))) &&
            lm_sampler_next(sampler, logits, &token, err);
    if (!going || !emit(user, lm_tokenizer_text(model->tokenizer, token))) break;
  }
  free(start);
  free(logits);
  rill_decoder_free(decoder);
  rill_state_free(state);
  return going;
}
