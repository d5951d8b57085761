/* A needle in a haystack, of bytes: the form that RULER (Hsieh et al. 2024) gave it, for models of
 * text.
 *
 *   ... noise. One of the special magic numbers for mossy-otter is: 4829175. noise ...
 *   The special magic number for mossy-otter is: 4829175
 *                                                ^^^^^^^ counted
 *
 * The text is one byte longer than the example; input is all but the last byte, and the digits'
 * targets stand one to the left. All digits right, each after the right ones, is the same as
 * greedy decoding being right. */
#include <stdio.h>

#include "examples/lm/task_impl.h"

enum { DIGITS = 7, LINE = 128, KEYS = 16 * 16 };

static const char *const ADJECTIVE[16] = {"mossy", "silver", "quiet", "amber",  "early", "hollow",
                                          "brisk", "copper", "faded", "gentle", "ivory", "lively",
                                          "misty", "narrow", "proud", "rugged"};
static const char *const NOUN[16] = {"otter",  "harbour", "lantern", "meadow",  "anvil",  "falcon",
                                     "barrel", "orchard", "pebble",  "thistle", "candle", "glacier",
                                     "rudder", "sparrow", "timber",  "walnut"};
static const char *const SUBJECT[] = {"The river", "A cart",       "The old clock", "Rain",
                                      "The baker", "My neighbour", "A white sail",  "The road"};
static const char *const VERB[] = {"goes by",    "stands still", "turns", "waits",
                                   "comes back", "sings",        "rests", "is seen"};
static const char *const PLACE[] = {"in the morning", "under the bridge", "behind the hill",
                                    "at noon",        "near the mill",    "after supper",
                                    "along the wall", "all winter"};

#define COUNT(list) ((int64_t)(sizeof(list) / sizeof *(list)))

static const char NEEDLE[] = "One of the special magic numbers for %s-%s is: %s. ";
static const char QUESTION[] = "\nThe special magic number for %s-%s is: %s";

typedef struct {
  int64_t key;
  double place; /* part of the noise that comes before it */
  char digits[DIGITS + 1];
} needle;

/* A needle or a question, and its length. */
static int64_t line(char text[LINE], const char *form, const needle *n) {
  return snprintf(text, LINE, form, ADJECTIVE[n->key % COUNT(ADJECTIVE)],
                  NOUN[n->key / COUNT(ADJECTIVE)], n->digits);
}

static int64_t noise(char text[LINE], lm_task_stream *random) {
  return snprintf(text, LINE, "%s %s %s. ", SUBJECT[lm_task_below(random, COUNT(SUBJECT))],
                  VERB[lm_task_below(random, COUNT(VERB))],
                  PLACE[lm_task_below(random, COUNT(PLACE))]);
}

static bool resolve(lm_task_shape *s, char *err) {
  return lm_task_range(err, "vocab", 256, INT32_MAX, s->vocab) &&
         lm_task_range(err, "pairs", 1, KEYS, s->pairs) &&
         lm_task_range(err, "length", LINE * (s->pairs + 1), INT32_MAX, s->length);
}

static void put(int32_t *input, const char *text, int64_t count) {
  for (int64_t i = 0; i < count; i++) input[i] = (uint8_t)text[i];
}

/* The first is the asked one. */
static void draw_needles(const lm_task_shape *s, lm_task_stream *random, needle *list) {
  for (int64_t i = 0; i < s->pairs; i++) {
    int64_t j;
    do {
      list[i].key = lm_task_below(random, KEYS);
      for (j = 0; list[j].key != list[i].key; j++) {
      }
    } while (j < i);
    list[i].place = lm_task_unit(random);
    for (int d = 0; d < DIGITS; d++) list[i].digits[d] = (char)('0' + lm_task_below(random, 10));
    list[i].digits[DIGITS] = '\0';
  }
  if (s->depth >= 0) list[0].place = s->depth;
}

static void make(const lm_task_shape *s, lm_task_stream *random, int32_t *input, int32_t *target) {
  needle list[KEYS] = {{0}};
  char text[LINE];
  int64_t needles = 0, noised = 0, at = 0; /* bytes of all needles, of noise so far, of both */
  draw_needles(s, random, list);
  for (int64_t i = 0; i < s->pairs; i++) needles += line(text, NEEDLE, &list[i]);
  const int64_t question = line(text, QUESTION, &list[0]);
  const int64_t hay = s->length + 1 - question, room = hay - needles; /* room for noise */
  put(input + hay, text, question - 1);
  for (int64_t d = 0; d < DIGITS; d++) target[s->length - DIGITS + d] = (uint8_t)list[0].digits[d];
  /* between two sentences stand the needles whose part of the noise has passed since the last */
  for (double passed = -1; passed < (double)room;) {
    for (int64_t i = 0; i < s->pairs; i++) {
      double due = list[i].place * (double)room;
      if (!(due > passed && due <= (double)noised)) continue;
      int64_t count = line(text, NEEDLE, &list[i]);
      put(input + at, text, count);
      at += count;
    }
    passed = (double)noised;
    int64_t count = noise(text, random);
    if (count > room - noised) count = room - noised; /* the last sentence is cut off */
    put(input + at, text, count);
    at += count;
    noised += count;
  }
}

const lm_task lm_task_needle_text = {
    .name = "needle_text",
    .help = "a sentence with a number among others, asked for at the end, in bytes",
    .usual = {.length = 1024, .pairs = 1, .vocab = 256, .depth = -1},
    .hides = true,
    .text = true,
    .resolve = resolve,
    .make = make};
