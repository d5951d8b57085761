/* What a model remembers of the tokens it has read: recurrent states, the last inputs of short
 * convolutions, keys and values of softmax attention.
 *
 * Layers that are given a state go on from it and leave it advanced, so a text may be fed in pieces
 * of any length, down to single tokens:
 *
 *   rill_state *state = rill_state_new(ctx);
 *   logits = rill_lm_apply_state(lm, prompt, state);        ids [B, T]
 *   logits = rill_lm_apply_state(lm, next, state);          ids [B, 1]
 *
 * For recurrent models its size does not depend on how much was read. Gradients do not flow through
 * it; use it in a no-grad scope. */
#ifndef RILL_NN_STATE_H_
#define RILL_NN_STATE_H_

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_state rill_state;

/* An empty state: nothing was read. NULL, and an error, when memory is short. */
rill_state *rill_state_new(rill_context *ctx);
/* Releases it before the context is. NULL is allowed. */
void rill_state_free(rill_state *state);
/* Back to the beginning. */
void rill_state_reset(rill_state *state);

int64_t rill_state_position(const rill_state *state); /* tokens read */
int64_t rill_state_bytes(const rill_state *state);
/* Its tensors by name, to be saved; the position is not among them. */
rill_parameters rill_state_tensors(const rill_state *state);
/* Sets one tensor (by copy) and the position: for loading what was saved. */
bool rill_state_set(rill_state *state, const char *name, rill_tensor *value);
void rill_state_set_position(rill_state *state, int64_t position);

/* ---- rows: a state of B texts is B states of one, side by side ----
 *
 * Texts may join a batch and leave it between two tokens:
 *
 *   rill_state_append(batch, state);                           one more row, read on its own before
 *   logits = rill_lm_next(lm, next, batch);                    ids [B, 1]
 *   rill_state_select(batch, B - 1, (int64_t[]){0, 2, ...});   row 1 is done
 *
 * The position is one number for all rows: where a model uses it (rill_lm_uses_position), they must
 * have read equally many tokens. */

/* Keeps the given rows of the state, in that order. One that is named again is copied: a prompt is
 * read once and continued in several ways. False, and an error, for a row that is not there. */
bool rill_state_select(rill_state *state, int64_t count, const int64_t *rows);
/* Adds the rows of `more` after those of `state`; into an empty state it is a copy. False, and an
 * error, when they are not of the same model. */
bool rill_state_append(rill_state *state, const rill_state *more);

/* ---- packed texts: one after the other in one row, each read from its own beginning ----
 *
 *   rill_state *packed = rill_state_new(ctx);
 *   rill_state_pack(packed, sequences, offsets);
 *   loss = rill_lm_loss_state(lm, ids, targets, packed);       ids [1, T]
 *
 * Nothing of one text is seen by the next: losses and gradients are those of the texts apart. Such
 * a state remembers nothing and does not advance, and gradients flow. */

/* Text i is tokens offsets[i] .. offsets[i + 1] - 1; offsets [sequences + 1] begin with 0 and never
 * fall. They are copied; what was packed before must have had its backward. False, and an error,
 * for other offsets. */
bool rill_state_pack(rill_state *state, int64_t sequences, const int64_t *offsets);

/* ---- for layers ---- */

/* The texts of a packed state; sequences = 0 for one that is not, and for NULL. */
typedef struct {
  int64_t sequences;
  const int64_t *offsets;
} rill_packing;
rill_packing rill_state_packing(const rill_state *state);

/* The tensor of that name; NULL at the beginning. Names are paths, "block.3.mixer.s". An error when
 * its shape is not `shape`, because the state is of another model or batch. */
rill_tensor *rill_state_get(rill_state *state, const char *path, const char *name,
                            rill_shape shape);
/* Keeps a copy of value under that name. */
void rill_state_put(rill_state *state, const char *path, const char *name, rill_tensor *value);
/* Says that `tokens` more were read: called once, by the model. */
void rill_state_advance(rill_state *state, int64_t tokens);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_STATE_H_ */
