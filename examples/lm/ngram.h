/* A trigram letter model: the least a trained model has to beat.
 *
 * The probability of a byte after two others is a mixture of how often it followed those two, how
 * often it followed the last one, how often it occurs, and 1/256. The weights depend on how often
 * the context was seen; they are fitted by expectation maximisation on a part of the training text
 * that was not counted, after which all of it is counted. */
#ifndef RILL_EXAMPLES_LM_NGRAM_H_
#define RILL_EXAMPLES_LM_NGRAM_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_ngram lm_ngram;

/* A model of the text, or NULL (no memory, or no text). lm_ngram_free releases it. */
lm_ngram *lm_ngram_new(lm_text train, char *err);

/* The probability of `next` after the `known` (0, 1 or 2) bytes that end at `before`. */
double lm_ngram_probability(const lm_ngram *model, const uint8_t *before, int known, uint8_t next);

/* Bits per byte on a text. */
double lm_ngram_bits(const lm_ngram *model, lm_text text);

void lm_ngram_free(lm_ngram *model); /* NULL is allowed */

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_NGRAM_H_ */
