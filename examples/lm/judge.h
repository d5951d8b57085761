/* How likely a model finds the choices of questions.
 *
 * The context of a question is read once, and the state it leaves is given to all of its choices;
 * choices of several questions are then read together, as the rows of a batch, which a row leaves
 * when it is read to its end:
 *
 *   context  -> state -+-> choice 0  ......|
 *                      +-> choice 1  .........|
 *   context' -> state' --> choice 0' ...|                                       */
#ifndef RILL_EXAMPLES_LM_JUDGE_H_
#define RILL_EXAMPLES_LM_JUDGE_H_

#include "examples/lm/model.h"
#include "examples/lm/questions.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  double nats;    /* log-likelihood of the choice after its context */
  int64_t tokens; /* it is */
  bool greedy;    /* each of them is the likeliest */
} lm_likelihood;

/* Judges all choices of all questions, `rows` at a time: likelihood has one entry for each choice,
 * in order. Text without a context begins after the token that ends a document, or after a newline
 * where there is none. */
bool lm_judge(const lm_model *model, const lm_questions *questions, int64_t rows,
              lm_likelihood *likelihood, char *err);

/* What a set of likelihoods amounts to. Rates are NAN where nothing was asked. */
typedef struct {
  int64_t choice, continuation, whole; /* questions of each kind */
  double acc, acc_norm;                /* multiple choice: the likeliest; by byte of its text */
  double acc_error, acc_norm_error;    /* their standard errors */
  double greedy;                       /* continuations that are what the model would write */
  double perplexity;                   /* e ^ -(mean log-likelihood) of continuations */
  double bits_per_byte, byte_perplexity, word_perplexity; /* of whole texts */
} lm_score;

lm_score lm_judge_score(const lm_questions *questions, const lm_likelihood *likelihood);

/* The likeliest choice of a question, by byte of text or not. */
int64_t lm_judge_pick(const lm_question *q, const lm_likelihood *likelihood, bool by_byte);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_JUDGE_H_ */
