/* From the logits of one position to a token.
 *
 * In this order: tokens seen of late are made less likely (repetition penalty), the logits are
 * divided by the temperature, and of the sorted tokens those stay that are among the first top_k,
 * needed to reach a probability of top_p, and at least min_p times as likely as the first. One of
 * them is drawn. Equal logits are ordered by token, so the result is a function of the logits, the
 * options and the number of draws so far. */
#ifndef RILL_EXAMPLES_LM_SAMPLER_H_
#define RILL_EXAMPLES_LM_SAMPLER_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  double temperature;        /* 0 = always the likeliest token */
  int64_t top_k;             /* 0 = all */
  double top_p;              /* 0 or 1 = all */
  double min_p;              /* 0 = all */
  double repetition_penalty; /* 0 or 1 = none; 1.1 is mild */
  int64_t penalty_window;    /* tokens that count as seen of late; 0 = 64 */
  uint64_t seed;
} lm_sampler_opts;

typedef struct lm_sampler lm_sampler;

/* NULL when an option is out of its range, or there is no memory. lm_sampler_free releases it. */
lm_sampler *lm_sampler_new(lm_sampler_opts opts, int64_t vocabulary, char *err);

/* Draws from logits [vocabulary]; -inf excludes a token. The token counts as seen. False when a
 * logit is NaN or +inf, or all are -inf. */
bool lm_sampler_next(lm_sampler *s, const float *logits, int32_t *token, char *err);

/* Counts a token of the prompt as seen. */
void lm_sampler_see(lm_sampler *s, int32_t token);

/* The number of draws so far: with the seed, all there is to save of the random numbers. */
uint64_t lm_sampler_draws(const lm_sampler *s);
void lm_sampler_set_draws(lm_sampler *s, uint64_t draws);

void lm_sampler_free(lm_sampler *s); /* NULL is allowed */

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SAMPLER_H_ */
