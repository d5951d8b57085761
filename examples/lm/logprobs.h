/* Log-probabilities of tokens from the logits of one position. Sums are taken in double. */
#ifndef RILL_EXAMPLES_LM_LOGPROBS_H_
#define RILL_EXAMPLES_LM_LOGPROBS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* log sum_i e^logits[i], which is what to subtract from a logit. */
double lm_log_sum_exp(const float *logits, int64_t count);

/* The likeliest `most` tokens (no more than count), the first the likeliest, equal ones by number.
 * Returns how many. */
int64_t lm_likeliest(const float *logits, int64_t count, int64_t most, int32_t *token);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_LOGPROBS_H_ */
