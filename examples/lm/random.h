/* Numbers that look random and are a function of (seed, counter): nothing to carry along but the
 * counter, so that a run can be resumed anywhere. The mixing is splitmix64's finaliser, twice. */
#ifndef RILL_EXAMPLES_LM_RANDOM_H_
#define RILL_EXAMPLES_LM_RANDOM_H_

#include <stdint.h>

static inline uint64_t lm_mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* The number at `counter` of the stream `seed`. */
static inline uint64_t lm_random(uint64_t seed, uint64_t counter) {
  return lm_mix(lm_mix(seed) ^ counter);
}

/* The same in [0, 1), with 53 bits. */
static inline double lm_random_unit(uint64_t seed, uint64_t counter) {
  return (double)(lm_random(seed, counter) >> 11) * 0x1p-53;
}

#endif /* RILL_EXAMPLES_LM_RANDOM_H_ */
