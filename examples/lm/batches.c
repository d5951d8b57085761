/* The permutation is a Feistel network: four rounds of (left, right) -> (right, left ^ f(right))
 * are a bijection of 2h-bit numbers whatever f is. A number that falls outside 0 .. n-1 is sent
 * through again until one falls inside ("cycle walking"), which keeps it a bijection; since 4^h < 4
 * n, that takes fewer than four rounds on average. */
#include "examples/lm/batches.h"

#include <stdlib.h>

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

static int64_t windows_of(int64_t tokens, int64_t seq) {
  if (tokens <= seq) return 0;
  int64_t windows = (tokens - seq) / seq;
  return windows > 0 ? windows : 1;
}

bool lm_batches_open(lm_batches *b, const lm_parts *stream, int64_t seq, uint64_t seed, char *err) {
  if (seq < 1) return lm_fail(err, "windows of %lld tokens: at least 1 is needed", (long long)seq);
  *b = (lm_batches){.stream = stream, .seq = seq, .seed = seed};
  b->first = lm_alloc(stream->parts + 1, sizeof *b->first, err);
  if (!b->first) return false;
  int64_t longest = 0;
  for (int64_t p = 0; p < stream->parts; p++) {
    int64_t count = stream->part[p].count;
    b->first[p + 1] = b->first[p] + windows_of(count, seq);
    if (count > longest) longest = count;
  }
  b->windows = b->first[stream->parts];
  if (b->windows > 0) return true;
  lm_batches_close(b);
  return lm_fail(err,
                 "the text has %lld tokens in a row, and one window of %lld takes %llu: "
                 "give more text or shorter windows",
                 (long long)longest, (long long)seq, (unsigned long long)seq + 1);
}

void lm_batches_close(lm_batches *b) {
  free(b->first);
  *b = (lm_batches){0};
}

/* The part of window i: the last one with first[part] <= i. */
static int64_t part_of(const lm_batches *b, int64_t i) {
  int64_t low = 0, high = b->stream->parts;
  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    if (b->first[middle] <= i) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

lm_place lm_batches_place(const lm_batches *b, int64_t position) {
  const int64_t epoch = position / b->windows;
  const uint64_t key = lm_random(b->seed, (uint64_t)epoch);
  int64_t index = position % b->windows;
  if (!b->in_order) index = lm_shuffle(index, b->windows, key);
  const int64_t part = part_of(b, index), inside = index - b->first[part];
  if (b->in_order) return (lm_place){part, inside * b->seq};
  const int64_t windows = b->first[part + 1] - b->first[part];
  int64_t spare = b->stream->part[part].count - 1 - windows * b->seq; /* that windows leave over */
  if (spare > b->seq - 1) spare = b->seq - 1;
  const int64_t shift = (int64_t)(lm_mix(key + (uint64_t)part) % (uint64_t)(spare + 1));
  return (lm_place){part, shift + b->seq * inside};
}

void lm_batches_next(lm_batches *b, int64_t count, int32_t *input, int32_t *target) {
  for (int64_t i = 0; i < count; i++) {
    lm_place at = lm_batches_place(b, b->position++);
    const lm_tokens *part = &b->stream->part[at.part];
    lm_tokens_read(part, at.begin, b->seq, input + i * b->seq);
    if (target) lm_tokens_read(part, at.begin + 1, b->seq, target + i * b->seq);
  }
}
