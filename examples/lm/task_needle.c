/* A needle in a haystack, of tokens: a marked pair somewhere in noise, and its key at the end.
 *
 *   input   . . . NEEDLE k v . . . . . NEEDLE k' v' . . . ASK k
 *   target                                                    v
 *
 * The haystack is a row of places of three tokens, the last right before the question; depth says
 * in which the asked needle is, 0 in the first and 1 in the last. Other needles fall anywhere. Keys
 * are from the lower half of the vocabulary, values and noise from the upper. */
#include <math.h>

#include "examples/lm/task_impl.h"

enum { ASK, NEEDLE, FIRST_KEY, PLACE = 3, TAIL = 2 };

static bool resolve(lm_task_shape *s, char *err) {
  if (!lm_task_range(err, "vocab", 8, INT32_MAX, s->vocab)) return false;
  int64_t places = (s->length - TAIL) / PLACE, keys = s->vocab / 2 - FIRST_KEY;
  return lm_task_range(err, "pairs", 1, places < keys ? places : keys, s->pairs);
}

static bool has_key(const int32_t *hay, int64_t places, int32_t key) {
  for (const int32_t *place = hay; place < hay + PLACE * places; place += PLACE)
    if (place[0] == NEEDLE && place[1] == key) return true;
  return false;
}

static void hide(const lm_task_shape *s, lm_task_stream *random, const int32_t *hay, int64_t places,
                 int32_t *place) {
  const int64_t half = s->vocab / 2;
  int32_t key;
  do key = (int32_t)(FIRST_KEY + lm_task_below(random, half - FIRST_KEY));
  while (has_key(hay, places, key));
  place[0] = NEEDLE;
  place[1] = key;
  place[2] = (int32_t)(half + lm_task_below(random, s->vocab - half));
}

static void make(const lm_task_shape *s, lm_task_stream *random, int32_t *input, int32_t *target) {
  const int64_t half = s->vocab / 2, places = (s->length - TAIL) / PLACE;
  for (int64_t t = 0; t < s->length; t++)
    input[t] = (int32_t)(half + lm_task_below(random, s->vocab - half));
  int64_t where = s->depth < 0 ? lm_task_below(random, places)
                               : (int64_t)lrint(s->depth * (double)(places - 1));
  int32_t *hay = input + s->length - TAIL - PLACE * places, *asked = hay + PLACE * where;
  hide(s, random, hay, places, asked);
  for (int64_t i = 1; i < s->pairs; i++) {
    int32_t *place;
    do place = hay + PLACE * lm_task_below(random, places);
    while (place[0] == NEEDLE);
    hide(s, random, hay, places, place);
  }
  input[s->length - 2] = ASK;
  input[s->length - 1] = asked[1];
  target[s->length - 1] = asked[2];
}

const lm_task lm_task_needle = {.name = "needle",
                                .help = "a marked pair in noise, asked for at the end",
                                .usual = {.length = 256, .pairs = 1, .vocab = 1024, .depth = -1},
                                .hides = true,
                                .resolve = resolve,
                                .make = make};
