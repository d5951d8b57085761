/* Multi-query associative recall, the recipe of "Zoology" (Arora et al. 2023): keys from the lower
 * half of the vocabulary, values from the upper, all different.
 *
 *   | k v k v ... k v | k v' k v' |  noise, with a query at every other place it fell to  |
 *     2 pairs           2 rewrites   each key once; its target is the last value it got
 *
 * The gap before a query follows a power law, as repeated bigrams do in language: most are asked
 * soon. The forgetting variant gives some keys a second value. Noise is any token but this
 * example's keys, so that a key stands for one thing. */
#include <math.h>

#include "examples/lm/task_impl.h"

enum { BLANK = 0 };

static bool resolve(lm_task_shape *s, char *err) {
  if (!lm_task_range(err, "vocab", 4, INT32_MAX, s->vocab) ||
      !lm_task_range(err, "length", 16, INT32_MAX, s->length))
    return false;
  int64_t keys = s->vocab / 2 - 1, room = s->length / 4;
  if (!lm_task_range(err, "pairs", 1, keys < room ? keys : room, s->pairs)) return false;
  if (s->rewrites < 0) s->rewrites = (s->pairs + 1) / 2;
  room = s->length / 2 - 2 * s->pairs;
  if (!lm_task_range(err, "rewrites", 0, s->pairs < room ? s->pairs : room, s->rewrites))
    return false;
  if (!lm_task_range(err, "pairs and rewrites together", 1, s->vocab - s->vocab / 2,
                     s->pairs + s->rewrites))
    return false;
  return s->power > 0 || lm_fail(err, "power must be > 0");
}

static double weight(const lm_task_shape *s, int64_t gap) {
  return pow((double)gap + 1, s->power - 1);
}

/* Draws one of the places that are free, each with its weight; `total` is the sum of these. */
static int64_t draw_place(const lm_task_shape *s, lm_task_stream *random, const int32_t *target,
                          int64_t places, double *total) {
  double left = lm_task_unit(random) * *total;
  int64_t place = -1;
  for (int64_t g = 0; g < places; g++) {
    if (target[2 * g] != LM_NOT_COUNTED) continue;
    place = g; /* the last free one, should rounding leave something over */
    left -= weight(s, g);
    if (left < 0) break;
  }
  *total -= weight(s, place);
  return place;
}

static int32_t last_value(const int32_t *input, int64_t context, int32_t key) {
  int64_t t = context - 2;
  while (input[t] != key) t -= 2;
  return input[t + 1];
}

/* Is the token one of input[0], input[2], ... of the first `count` pairs of places? */
static bool among(const int32_t *input, int64_t count, int32_t token) {
  for (int64_t i = 0; i < count; i++)
    if (input[2 * i] == token) return true;
  return false;
}

static void write_pairs(const lm_task_shape *s, lm_task_stream *random, int32_t *input) {
  const int64_t keys = s->vocab / 2, values = s->vocab - keys;
  for (int64_t i = 0; i < s->pairs + s->rewrites; i++) {
    int32_t *key = &input[2 * i], *value = key + 1;
    if (i < s->pairs) {
      do *key = (int32_t)(1 + lm_task_below(random, keys - 1));
      while (among(input, i, *key));
    } else {
      do *key = input[2 * lm_task_below(random, s->pairs)];
      while (among(input + 2 * s->pairs, i - s->pairs, *key));
    }
    do *value = (int32_t)(keys + lm_task_below(random, values));
    while (among(input + 1, i, *value));
  }
}

static void make(const lm_task_shape *s, lm_task_stream *random, int32_t *input, int32_t *target) {
  const int64_t context = 2 * (s->pairs + s->rewrites);
  write_pairs(s, random, input);
  for (int64_t t = context; t < s->length; t++) {
    do input[t] = s->blank ? BLANK : (int32_t)lm_task_below(random, s->vocab);
    while (among(input, s->pairs, input[t]));
  }
  const int64_t places = (s->length - context) / 2;
  double total = 0;
  for (int64_t g = 0; g < places; g++) total += weight(s, g);
  for (int64_t i = 0; i < s->pairs; i++) {
    int64_t at = context + 2 * draw_place(s, random, target + context, places, &total);
    input[at] = input[2 * i];
    target[at] = last_value(input, context, input[2 * i]);
  }
}

const lm_task lm_task_mqar = {
    .name = "mqar",
    .help = "pairs of key and value, then the keys again in noise: which value did each have?",
    .usual = {.length = 128, .pairs = 8, .vocab = 8192, .power = 0.01},
    .resolve = resolve,
    .make = make};

const lm_task lm_task_mqar_forget = {
    .name = "mqar_forget",
    .help = "the same, with half of the keys given a second value: the last one counts",
    .usual = {.length = 128, .pairs = 8, .vocab = 8192, .power = 0.01, .rewrites = -1},
    .resolve = resolve,
    .make = make};
