/* Reading token by token: what generation does after the prompt.
 *
 *   rill_tensor *logits = rill_lm_next(lm, prompt, state);     ids [B, T]
 *   rill_decoder *d = rill_decoder_new(lm, state, B);
 *   for (...) logits = rill_decoder_next(d, tokens);           the tokens chosen from the last
 * logits
 *
 * On a GPU the step of a recurrent model is captured (tensor/capture.h) and launched as one.
 * Softmax attention and rotary positions make every step another: such models are run as ever. */
#ifndef RILL_NN_DECODE_H_
#define RILL_NN_DECODE_H_

#include "nn/lm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_decoder rill_decoder;

/* For `batch` sequences that go on from `state` (which may be empty) and advance it. NULL and an
 * error when memory is short; the functions below accept that NULL. */
rill_decoder *rill_decoder_new(const rill_lm *lm, rill_state *state, int64_t batch);

/* Reads one token a sequence, tokens [batch] in host memory. Logits [batch, vocab] in f32, borrowed
 * and overwritten by the next call; NULL after an error. */
rill_tensor *rill_decoder_next(rill_decoder *decoder, const int32_t *tokens);

void rill_decoder_free(rill_decoder *decoder); /* the state stays */

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_DECODE_H_ */
