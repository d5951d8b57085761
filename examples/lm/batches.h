/* Windows of a stream of tokens in an order that looks random and takes no memory.
 *
 * A part of n tokens has W = (n - seq) / seq windows (at least one) of seq + 1 tokens, one after
 * the other: the last token of one is the first of the next, and up to 2 seq tokens are left over.
 * The windows of all parts are numbered through. In each epoch they come in another order, a
 * permutation computed from (seed, epoch), and begin at another token. So the position in the data
 * is one number, the count of windows drawn, and a checkpoint that keeps it goes on with exactly
 * the windows that would have come. */
#ifndef RILL_EXAMPLES_LM_BATCHES_H_
#define RILL_EXAMPLES_LM_BATCHES_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const lm_parts *stream;
  int64_t seq;      /* tokens to predict in a window */
  uint64_t seed;    /* of the order */
  bool in_order;    /* no shuffle: window i is the i-th of the stream, in every epoch */
  int64_t windows;  /* in an epoch */
  int64_t position; /* windows drawn so far: save and restore this */
  int64_t *first;   /* [parts + 1]: windows in the parts before */
} lm_batches;

/* Where a window begins. */
typedef struct {
  int64_t part, begin;
} lm_place;

/* The stream must outlive it. False when no part is long enough for a window; the message says how
 * many tokens it takes. lm_batches_close after success. */
bool lm_batches_open(lm_batches *b, const lm_parts *stream, int64_t seq, uint64_t seed, char *err);
void lm_batches_close(lm_batches *b);

/* The next `count` windows: input [count, seq] and, shifted by one token, target [count, seq] (may
 * be NULL). Advances the position. */
void lm_batches_next(lm_batches *b, int64_t count, int32_t *input, int32_t *target);

/* The window at that position; lm_batches_next uses the current one. For several processes, each of
 * which takes every so many-th. */
lm_place lm_batches_place(const lm_batches *b, int64_t position);

/* Where i goes in permutation `key` of 0 .. n-1: a bijection, without a table. n >= 1. */
int64_t lm_shuffle(int64_t i, int64_t n, uint64_t key);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_BATCHES_H_ */
