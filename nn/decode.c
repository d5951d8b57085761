/* Decoders: two tensors that stay in place, and the captured function between them. */
#include "nn/decode.h"

#include "ops/ops.h"
#include "tensor/capture.h"
#include "tensor/io.h"

struct rill_decoder {
  rill_context *ctx;
  const rill_lm *lm;
  rill_state *state;
  rill_tensor *ids, *logits; /* [batch, 1] i32, [batch, vocab] f32 */
  rill_capture *capture;     /* NULL: every step is another */
};

static void read_token(void *user) {
  rill_decoder *d = user;
  rill_scope *scope = rill_scope_open_no_grad(d->ctx);
  rill_tensor *y = rill_lm_next(d->lm, d->ids, d->state);
  rill_assign(d->logits, rill_is_void(y) ? y : rill_cast(y, RILL_F32));
  rill_scope_close(scope);
}

rill_decoder *rill_decoder_new(const rill_lm *lm, rill_state *state, int64_t batch) {
  if (!lm || !state) return NULL;
  rill_context *ctx = rill_module_context(lm->module);
  rill_decoder *d = rill_owned_alloc(ctx, sizeof *d);
  if (!d) return NULL;
  *d = (rill_decoder){.ctx = ctx, .lm = lm, .state = state};
  d->ids = rill_keep(rill_zeros(ctx, RILL_I32, RILL_SHAPE(batch, 1)));
  d->logits = rill_keep(rill_zeros(ctx, RILL_F32, RILL_SHAPE(batch, lm->config.vocab)));
  if (!rill_lm_uses_position(&lm->config)) d->capture = rill_capture_new(ctx, read_token, d);
  if (!rill_error(ctx)) return d;
  rill_decoder_free(d);
  return NULL;
}

rill_tensor *rill_decoder_next(rill_decoder *d, const int32_t *tokens) {
  if (!d || !rill_write(d->ids, tokens, (size_t)rill_count(d->ids) * sizeof *tokens)) return NULL;
  int64_t position = rill_state_position(d->state);
  if (d->capture)
    rill_replay(d->capture);
  else
    read_token(d);
  if (rill_error(d->ctx)) return NULL;
  rill_state_set_position(d->state, position + 1); /* a replay does not */
  return d->logits;
}

void rill_decoder_free(rill_decoder *d) {
  if (!d) return;
  rill_capture_free(d->capture);
  rill_drop(d->ids);
  rill_drop(d->logits);
  rill_owned_free(d->ctx, d);
}
