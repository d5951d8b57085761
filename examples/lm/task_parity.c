/* State tracking: the product so far of elements of a group.
 *
 *   parity   input   1 0 1 1 0 ...      two elements: is the number of ones odd?
 *            target  1 1 0 1 1 ...
 *   s3       the six permutations of three things, one after the other
 *
 * A recurrence whose transition has eigenvalues in [0, 1] alone cannot do it for any length, a
 * delta rule with beta in [0, 2] can (Grazzi et al. 2024): a reflection is I - 2 k k^T. */
#include "examples/lm/task_impl.h"

static bool of_size(lm_task_shape *s, int64_t size, char *err) {
  if (s->pairs != 0) return lm_fail(err, "there are no pairs in this task");
  return s->vocab == size || lm_task_refuse(err, "vocab", size, size, s->vocab);
}

static bool resolve_parity(lm_task_shape *s, char *err) { return of_size(s, 2, err); }
static bool resolve_s3(lm_task_shape *s, char *err) { return of_size(s, 6, err); }

static void make_parity(const lm_task_shape *s, lm_task_stream *random, int32_t *input,
                        int32_t *target) {
  int32_t odd = 0;
  for (int64_t t = 0; t < s->length; t++) {
    input[t] = (int32_t)lm_task_below(random, 2);
    target[t] = odd ^= input[t];
  }
}

static const int8_t PERMUTATION[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* First a, then b. */
static int32_t product(int32_t a, int32_t b) {
  const int8_t *p = PERMUTATION[a], *q = PERMUTATION[b];
  for (int32_t c = 0; c < 6; c++)
    if (PERMUTATION[c][0] == q[p[0]] && PERMUTATION[c][1] == q[p[1]]) return c;
  return -1;
}

static void make_s3(const lm_task_shape *s, lm_task_stream *random, int32_t *input,
                    int32_t *target) {
  int32_t state = 0;
  for (int64_t t = 0; t < s->length; t++) {
    input[t] = (int32_t)lm_task_below(random, 6);
    target[t] = state = product(state, input[t]);
  }
}

const lm_task lm_task_parity = {.name = "parity",
                                .help = "bits: is the number of ones so far odd?",
                                .usual = {.length = 64, .vocab = 2},
                                .resolve = resolve_parity,
                                .make = make_parity};

const lm_task lm_task_s3 = {.name = "s3",
                            .help = "permutations of three things: what do they make together?",
                            .usual = {.length = 64, .vocab = 6},
                            .resolve = resolve_s3,
                            .make = make_s3};
