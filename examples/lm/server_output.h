/* One continuation as it comes into being: tokens, their text, and how much of it may be shown.
 *
 *   | prompt (echo) | text that was drawn ............ | held back |
 *                                              shown --^           ^-- all
 *
 * Held back is what could turn out otherwise: the beginning of a stop string, the first bytes of a
 * character. A stop string ends the text before itself. */
#ifndef RILL_EXAMPLES_LM_SERVER_OUTPUT_H_
#define RILL_EXAMPLES_LM_SERVER_OUTPUT_H_

#include <jansson.h>

#include "examples/lm/server_request.h"
#include "examples/lm/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t token;
  int32_t tops;   /* likeliest tokens, in `top` */
  int64_t top;    /* the first of them */
  int64_t begin;  /* byte of the text where its text begins */
  double logprob; /* NAN: not known, as of a prompt's first token */
} lm_output_token;

typedef struct {
  int32_t token;
  double logprob;
} lm_output_top;

typedef struct {
  const lm_request *request;
  const lm_tokenizer *tokenizer;
  lm_bytes text;
  lm_bytes list;        /* lm_output_token, one after the other */
  lm_bytes tops;        /* lm_output_top, the same */
  int64_t drawn_from;   /* byte of the text where the prompt ends */
  int64_t shown;        /* bytes of the text that have been handed out, */
  int64_t tokens_shown; /* and tokens */
  bool stopped;         /* by a stop string or the end token; otherwise by length */
} lm_output;

/* Puts the echoed prompt's text first, without its tokens. */
bool lm_output_echo(lm_output *o, lm_text prompt, char *err);
/* Adds a token that was expected with these logits [vocabulary] (NULL = not known). `drawn`: it is
 * not of the prompt, so stop strings count. False without memory. `stopped` says whether the text
 * ends with it. */
bool lm_output_add(lm_output *o, int32_t token, const float *logits, int64_t vocabulary, bool drawn,
                   char *err);
void lm_output_free(lm_output *o);

/* What may be shown and was not yet, as a choice of the answer:
 * {"text", "index", "logprobs", "finish_reason"}. `ended`: nothing more will come, so nothing is
 * held back. NULL without memory. */
json_t *lm_output_take(lm_output *o, int64_t index, bool ended);
/* Is there anything for lm_output_take? */
bool lm_output_ready(const lm_output *o);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SERVER_OUTPUT_H_ */
