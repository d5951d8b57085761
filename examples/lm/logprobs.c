/* Log-probabilities. */
#include "examples/lm/logprobs.h"

#include <math.h>

double lm_log_sum_exp(const float *logits, int64_t count) {
  float most = -INFINITY;
  double sum = 0;
  for (int64_t i = 0; i < count; i++)
    if (!(logits[i] <= most)) most = logits[i]; /* a NaN too: then the sum is one */
  for (int64_t i = 0; i < count; i++) sum += exp((double)logits[i] - (double)most);
  return (double)most + log(sum);
}

int64_t lm_likeliest(const float *logits, int64_t count, int64_t most, int32_t *token) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; i++) {
    if (found == most && (most == 0 || !(logits[i] > logits[token[found - 1]]))) continue;
    int64_t at = found < most ? found++ : found - 1;
    for (; at > 0 && logits[token[at - 1]] < logits[i]; at--) token[at] = token[at - 1];
    token[at] = (int32_t)i;
  }
  return found;
}
