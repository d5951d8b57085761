/* The permutation is a Feistel network: four rounds of (left, right) -> (right, left ^ f(right))
 * are a bijection of 2h-bit numbers whatever f is. A number that falls outside 0 .. n-1 is sent
 * through again until one falls inside ("cycle walking"), which keeps it a bijection; since 4^h < 4
 * n, that takes fewer than four rounds on average. */
#include "examples/lm/batches.h"

#include "examples/lm/random.h"

int64_t lm_shuffle(int64_t i, int64_t n, uint64_t key) {
  unsigned half = 1;
  while (half < 31 && (uint64_t)1 << 2 * half < (uint64_t)n) half++;
  if (n > (int64_t)1 << 62) half = 32;
  const uint64_t mask = ((uint64_t)1 << half) - 1;
  uint64_t x = (uint64_t)i;
  do {
    uint64_t left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < 4; round++) {
      uint64_t mixed = left ^ (lm_random(key + round, right) & mask);
      left = right;
      right = mixed;
    }
    x = left << half | right;
  } while (x >= (uint64_t)n);
  return (int64_t)x;
}

bool lm_batches_open(lm_batches *b, lm_text text, int64_t seq, uint64_t seed, char *err) {
  if (seq < 1) return lm_fail(err, "windows of %lld bytes: at least 1 is needed", (long long)seq);
  if (text.count <= seq)
    return lm_fail(err,
                   "the text has %lld bytes, and one window of %lld takes %llu: "
                   "give more text or shorter windows",
                   (long long)text.count, (long long)seq, (unsigned long long)seq + 1);
  *b = (lm_batches){.text = text, .seq = seq, .seed = seed};
  b->windows = (text.count - seq) / seq;
  if (b->windows < 1) b->windows = 1;
  return true;
}

int64_t lm_batches_begin(const lm_batches *b, int64_t position) {
  const int64_t epoch = position / b->windows, index = position % b->windows;
  if (b->in_order) return index * b->seq;
  const uint64_t key = lm_random(b->seed, (uint64_t)epoch);
  int64_t spare = b->text.count - 1 - b->windows * b->seq; /* bytes that the windows leave over */
  if (spare > b->seq - 1) spare = b->seq - 1;
  const int64_t shift = (int64_t)(lm_mix(key) % (uint64_t)(spare + 1));
  return shift + b->seq * lm_shuffle(index, b->windows, key);
}

void lm_batches_next(lm_batches *b, int64_t count, int32_t *input, int32_t *target) {
  for (int64_t i = 0; i < count; i++) {
    const uint8_t *window = b->text.bytes + lm_batches_begin(b, b->position++);
    for (int64_t t = 0; t < b->seq; t++) {
      input[i * b->seq + t] = window[t];
      if (target) target[i * b->seq + t] = window[t + 1];
    }
  }
}
