/* Windows of a text in an order that looks random and takes no memory.
 *
 * A text of n bytes has W = (n - seq) / seq windows of seq + 1 bytes, one after the other (the last
 * byte of one is the first of the next; up to 2 seq bytes are left over). In each epoch they
 * come in another order, a permutation computed from (seed, epoch), and begin at another byte. So
 * the position in the data is one number, the count of windows drawn, and a checkpoint that keeps
 * it goes on with exactly the windows that would have come. */
#ifndef RILL_EXAMPLES_LM_BATCHES_H_
#define RILL_EXAMPLES_LM_BATCHES_H_

#include "examples/lm/corpus.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  lm_text text;
  int64_t seq;      /* bytes to predict in a window */
  uint64_t seed;    /* of the order */
  bool in_order;    /* no shuffle: window i is the i-th of the text, in every epoch */
  int64_t windows;  /* in an epoch */
  int64_t position; /* windows drawn so far: save and restore this */
} lm_batches;

/* False when the text is too short for one window; the message says how many bytes it takes. */
bool lm_batches_open(lm_batches *b, lm_text text, int64_t seq, uint64_t seed, char *err);

/* The next `count` windows: input [count, seq] and, shifted by one byte, target [count, seq] (may
 * be NULL). Advances the position. */
void lm_batches_next(lm_batches *b, int64_t count, int32_t *input, int32_t *target);

/* The first byte of the window at that position of the stream; lm_batches_next uses the current
 * one. For several processes, each of which takes every so many-th. */
int64_t lm_batches_begin(const lm_batches *b, int64_t position);

/* Where i goes in permutation `key` of 0 .. n-1: a bijection, without a table. n >= 1. */
int64_t lm_shuffle(int64_t i, int64_t n, uint64_t key);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_BATCHES_H_ */
