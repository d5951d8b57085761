/* The next batch is made on a thread while a step runs, so that a GPU does not wait for it.
 *
 *   thread    fill 0 | fill 1 |        | fill 2 |        | fill 3 ...
 *   caller             next: 0           next: 1           next: 2
 *
 * There are two buffers: the caller has one while the thread fills the other. Batches are the same,
 * in the same order, as without a thread. */
#ifndef RILL_EXAMPLES_LM_LOADER_H_
#define RILL_EXAMPLES_LM_LOADER_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_loader lm_loader;

/* Makes one batch; false, and why in err, when there is none. Called on the loader's thread, in
 * order, and not again after a failure. */
typedef bool lm_loader_fill(void *user, int32_t *batch, char *err);

/* Starts a thread that makes batches of `count` numbers. What `fill` uses is the thread's until
 * lm_loader_free. NULL without memory or a thread. */
lm_loader *lm_loader_new(lm_loader_fill *fill, void *user, int64_t count, char *err);
/* Waits for the next batch, which is the caller's until the next call. NULL after a failure of
 * `fill`, with its message, once the batches before it were handed out. */
const int32_t *lm_loader_next(lm_loader *loader, char *err);
/* Ends the thread; a batch that is being made is finished first. NULL is allowed. */
void lm_loader_free(lm_loader *loader);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_LOADER_H_ */
