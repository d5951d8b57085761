/* Counts are dense arrays over the bytes that occur, numbered 1 .. letters-1 (0 stands for those
 * that do not), so that English takes a few megabytes and only binary files the full 64:
 *
 *   one   [A]        how often c occurs
 *   two   [A, A]     how often c follows b
 *   three [A, A, A]  how often c follows a b
 *   seen  [2][A, A]  how often b, and a b, were followed by anything
 *
 * Mixing is nested: p3 = w3 f3 + (1 - w3) p2, p2 = w2 f2 + (1 - w2) p1, p1 = w1 f1 + (1 - w1) /
 * 256, with w of each order one number for each power of two of the context's count. In the
 * held-out part the share of f in the probability of what came is the posterior of "stopped here",
 * and the next w is its mean over the tokens that got as far: the usual step of expectation
 * maximisation. */
#include "examples/lm/ngram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  ORDERS = 3,
  BUCKETS = 34,
  ROUNDS = 12,
  LARGEST_SLICE = 4096,
  ONE_SLICE_IN = 10,
  ENOUGH = 1 << 20
};

struct lm_ngram {
  int64_t letters; /* A */
  uint16_t letter[256];
  int64_t total;
  int64_t slice;  /* bytes in a row that are held out together */
  int64_t one_in; /* and every how many slices */
  uint32_t *one, *two, *three;
  uint32_t *seen[2];
  double weight[ORDERS][BUCKETS];
};

/* What each order says about one byte in its context. */
typedef struct {
  int orders; /* that have a context: 1, 2 or 3 */
  int bucket[ORDERS];
  double frequency[ORDERS];
} evidence;

static int bucket_of(int64_t count) {
  int b = 0;
  while (count > 0 && b < BUCKETS - 1) b++, count >>= 1;
  return b;
}

static void set_order(evidence *e, int order, int64_t count, int64_t context) {
  e->bucket[order] = bucket_of(context);
  e->frequency[order] = context > 0 ? (double)count / (double)context : 0;
}

static evidence look_up(const lm_ngram *m, const uint8_t *before, int known, uint8_t next) {
  const int64_t A = m->letters, c = m->letter[next];
  evidence e = {.orders = 1 + known};
  set_order(&e, 0, c ? m->one[c] : 0, m->total);
  if (known > 0) {
    const int64_t b = m->letter[before[-1]];
    set_order(&e, 1, c ? m->two[b * A + c] : 0, m->seen[0][b]);
    if (known > 1) {
      const int64_t ab = m->letter[before[-2]] * A + b;
      set_order(&e, 2, c ? m->three[ab * A + c] : 0, m->seen[1][ab]);
    }
  }
  return e;
}

/* p[k] is the probability by order k and those below. Returns the highest one's. */
static double mix(const lm_ngram *m, const evidence *e, double *p) {
  double below = 1.0 / 256;
  for (int k = 0; k < e->orders; k++) {
    double w = m->weight[k][e->bucket[k]];
    below = p[k] = w * e->frequency[k] + (1 - w) * below;
  }
  return below;
}

/* Is the byte in a slice that the weights are fitted on? */
static bool held_out(const lm_ngram *m, int64_t i) {
  return i / m->slice % m->one_in == m->one_in - 1;
}

static int known_at(int64_t i) { return i < 2 ? (int)i : 2; }

/* Counts the bytes for which held_out is `which`. */
static void count(lm_ngram *m, lm_text text, bool which) {
  const int64_t A = m->letters;
  int64_t a = 0, b = 0;
  for (int64_t i = 0; i < text.count; i++) {
    const int64_t c = m->letter[text.bytes[i]];
    if (held_out(m, i) == which) {
      m->one[c]++, m->total++;
      if (i > 0) m->two[b * A + c]++, m->seen[0][b]++;
      if (i > 1) m->three[(a * A + b) * A + c]++, m->seen[1][a * A + b]++;
    }
    a = b, b = c;
  }
}

/* The weight to begin with, and the one that scanty evidence is averaged with. */
static double prior(int bucket) { return 1 - 1 / (1.0 + bucket); }

static void fit_weights(lm_ngram *m, lm_text text) {
  double stopped[ORDERS][BUCKETS] = {{0}}, reached[ORDERS][BUCKETS] = {{0}};
  for (int64_t i = 0; i < text.count; i++) {
    if (!held_out(m, i)) continue;
    evidence e = look_up(m, text.bytes + i, known_at(i), text.bytes[i]);
    double p[ORDERS], share = 1; /* of this byte that got down to order k */
    mix(m, &e, p);
    for (int k = e.orders - 1; k >= 0; k--) {
      double here = m->weight[k][e.bucket[k]] * e.frequency[k] / p[k];
      reached[k][e.bucket[k]] += share;
      stopped[k][e.bucket[k]] += share * here;
      share *= 1 - here;
    }
  }
  for (int k = 0; k < ORDERS; k++)
    for (int b = 1; b < BUCKETS; b++)
      m->weight[k][b] = (stopped[k][b] + prior(b)) / (reached[k][b] + 1);
}

static bool fit(lm_ngram *m, lm_text text, char *err) {
  m->slice = text.count / (10 * ONE_SLICE_IN);
  if (m->slice < 1) m->slice = 1;
  if (m->slice > LARGEST_SLICE) m->slice = LARGEST_SLICE;
  m->one_in = text.count / ENOUGH > ONE_SLICE_IN ? text.count / ENOUGH : ONE_SLICE_IN;
  m->letters = 1;
  for (int64_t i = 0; i < text.count; i++)
    if (m->letter[text.bytes[i]] == 0) m->letter[text.bytes[i]] = (uint16_t)m->letters++;
  const int64_t A = m->letters;
  m->one = lm_alloc(A, sizeof *m->one, err);
  m->two = lm_alloc(A * A, sizeof *m->two, err);
  m->three = lm_alloc(A * A * A, sizeof *m->three, err);
  m->seen[0] = lm_alloc(A, sizeof *m->seen[0], err);
  m->seen[1] = lm_alloc(A * A, sizeof *m->seen[1], err);
  if (!m->one || !m->two || !m->three || !m->seen[0] || !m->seen[1]) return false;
  for (int k = 0; k < ORDERS; k++)
    for (int b = 1; b < BUCKETS; b++) m->weight[k][b] = prior(b);
  count(m, text, false);
  for (int round = 0; round < ROUNDS; round++) fit_weights(m, text);
  count(m, text, true);
  return true;
}

lm_ngram *lm_ngram_new(lm_text train, char *err) {
  if (train.count < 1) {
    lm_fail(err, "a letter model needs text, and there is none");
    return NULL;
  }
  lm_ngram *m = lm_alloc(1, sizeof *m, err);
  if (m && !fit(m, train, err)) {
    lm_ngram_free(m);
    return NULL;
  }
  return m;
}

double lm_ngram_probability(const lm_ngram *model, const uint8_t *before, int known, uint8_t next) {
  evidence e = look_up(model, before, known, next);
  double p[ORDERS];
  return mix(model, &e, p);
}

double lm_ngram_bits(const lm_ngram *model, lm_text text) {
  double bits = 0;
  for (int64_t i = 0; i < text.count; i++)
    bits -= log2(lm_ngram_probability(model, text.bytes + i, known_at(i), text.bytes[i]));
  return text.count > 0 ? bits / (double)text.count : 0;
}

void lm_ngram_free(lm_ngram *model) {
  if (!model) return;
  free(model->one);
  free(model->two);
  free(model->three);
  free(model->seen[0]);
  free(model->seen[1]);
  free(model);
}
