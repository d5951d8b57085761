/* Several texts continued at once by one model.
 *
 * The model reads one token of every text in a step, as a batch; texts join and leave between two
 * steps. What a text has left behind is a row of the batch's state:
 *
 *   waiting  -> read in pieces, each text on its own   -> a row of the batch -> done
 *               (a piece and a step take turns, so
 *               that a long prompt holds up nobody)
 *
 * A model that uses positions (softmax attention, rotary keys) can only advance texts together that
 * are equally long; the batch is then one group for each length.
 *
 * Everything here belongs to the thread that owns the model's context. */
#ifndef RILL_EXAMPLES_LM_BATCHER_H_
#define RILL_EXAMPLES_LM_BATCHER_H_

#include "examples/lm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What becomes of a text after a token. */
typedef enum { LM_GO_ON, LM_STOP } lm_verdict;

typedef struct lm_sequence lm_sequence;

/* A text, filled in by its owner and left alone until it is done. */
struct lm_sequence {
  const int32_t *prompt; /* at least one token */
  int64_t prompt_count;
  int64_t most;        /* tokens to draw; 0 = only read the prompt */
  lm_sampler *sampler; /* set at the latest by `start`; NULL: no token is drawn */
  bool score;          /* call `token` for the prompt too */
  void *user;
  /* Called when its prompt begins to be read, if it is not NULL: the time to make the sampler. */
  void (*start)(lm_sequence *s);
  /* A token and the logits [vocabulary] that it was expected with, NULL for the first of the
   * prompt. Called in order; LM_STOP ends the text. */
  lm_verdict (*token)(lm_sequence *s, int32_t token, const float *logits);
  /* Called once, when the text has ended: all was drawn, or `token` said so (error = NULL), or the
   * sampler or the model failed. The stream may be freed in it. */
  void (*done)(lm_sequence *s, const char *error);
  bool cancelled; /* set it between two turns: the text ends in the next one, with `done` */
  /* Others with the same prompt and `score`, by `fork` again: it is read once, for all. Only the
   * first is added. */
  lm_sequence *fork;

  /* the batcher's */
  lm_sequence *next; /* in the queue */
  int64_t drawn;     /* tokens so far */
  int32_t last;      /* drawn, and not yet read */
};

typedef struct lm_batcher lm_batcher;

/* At most `slots` texts are in the batch (and so many forks may a text have), and `piece` tokens of
 * prompts are read in a turn. */
lm_batcher *lm_batcher_new(const lm_model *model, int64_t slots, int64_t piece, char *err);
/* Ends what is still there with `done` and an error. NULL is allowed. */
void lm_batcher_free(lm_batcher *b);

/* Puts the text at the end of the queue. */
void lm_batcher_add(lm_batcher *b, lm_sequence *s);
/* One turn: a piece of the prompts, one token for each text of the batch. False when there is
 * nothing left to do. A model that fails (out of memory) ends all texts that it was working on,
 * with its message; the next ones may go well. */
bool lm_batcher_turn(lm_batcher *b);

/* Texts in the queue, and read or in the batch. */
int64_t lm_batcher_waiting(const lm_batcher *b);
int64_t lm_batcher_running(const lm_batcher *b);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_BATCHER_H_ */
