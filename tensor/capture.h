/* Work that is done again and again, launched as one.
 *
 *   static void step(void *user) {              reads d->ids, leaves its result in d->logits
 *     decoder *d = user;
 *     rill_assign(d->logits, rill_lm_next(d->lm, d->ids, d->state));
 *   }
 *   rill_capture *c = rill_capture_new(ctx, step, &d);
 *   while (rill_write(d.ids, token, sizeof token) && rill_replay(c)) ...
 *
 * On a GPU the function is called twice: the first call does its work (and opens what is opened
 * lazily), the second is recorded, and from then on a replay launches the record (a CUDA graph)
 * without calling the function. So it must do the same work each time: its operands are tensors
 * made outside, overwritten in between (rill_write); its results go into such tensors (rill_assign,
 * states, parameters); what it makes ends with it. On a CPU it is called at every replay, under the
 * same rules.
 *
 * From the second call on these are errors inside the function: to wait for the device (rill_item,
 * rill_read, rill_synchronize), to bring host values (rill_from, rill_write) or random numbers,
 * which would be the same in every replay, and to leave tensors behind or release ones made
 * outside. */
#ifndef RILL_TENSOR_CAPTURE_H_
#define RILL_TENSOR_CAPTURE_H_

#include "tensor/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_capture rill_capture;

/* NULL and an error when memory is short; all functions accept that NULL. */
rill_capture *rill_capture_new(rill_context *ctx, void (*function)(void *user), void *user);
/* Does the function's work once, in a scope of its own. False once an error is recorded; an error
 * in the recorded call leaves nothing done. */
bool rill_replay(rill_capture *capture);
/* Releases the record and its memory; the context does it at the latest. */
void rill_capture_free(rill_capture *capture);

/* Is a captured function being called, so that what the host does now will not be repeated? */
bool rill_capturing(const rill_context *ctx);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_CAPTURE_H_ */
