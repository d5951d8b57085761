/* Selective copying (Gu and Dao 2023): tokens scattered among blanks, to be said again in order.
 *
 *   input   .  a  .  .  b  c  .  .  ?  ?  ?
 *   target  .  .  .  .  .  .  .  .  a  b  c
 *
 * What is to be remembered is told by what it is and not by where it stands. */
#include "examples/lm/task_impl.h"

enum { BLANK, ASK, FIRST_DATA };

static bool resolve(lm_task_shape *s, char *err) {
  return lm_task_range(err, "vocab", FIRST_DATA + 2, INT32_MAX, s->vocab) &&
         lm_task_range(err, "pairs", 1, s->length / 2, s->pairs);
}

static void make(const lm_task_shape *s, lm_task_stream *random, int32_t *input, int32_t *target) {
  const int64_t before = s->length - s->pairs;
  int64_t done = 0;
  for (int64_t t = 0; t < before; t++) {
    /* each set of places is equally likely: take this one with probability needed / left */
    bool taken = lm_task_below(random, before - t) < s->pairs - done;
    input[t] = taken ? (int32_t)(FIRST_DATA + lm_task_below(random, s->vocab - FIRST_DATA)) : BLANK;
    if (taken) target[before + done++] = input[t];
  }
  for (int64_t t = before; t < s->length; t++) input[t] = ASK;
}

const lm_task lm_task_copy = {.name = "copy",
                              .help = "tokens scattered among blanks, to be said again in order",
                              .usual = {.length = 128, .pairs = 16, .vocab = 18},
                              .resolve = resolve,
                              .make = make};
