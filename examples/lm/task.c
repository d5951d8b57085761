/* The table of tasks, and what they share: defaults, and the split of an example.
 *
 *   for attempt = 0, 1, ...: make an example from (seed, index, attempt); stop at one of the split
 *
 * One example in TEST_SHARE belongs to the test, by a hash of its tokens: so the splits cannot
 * meet, and within each the distribution is the task's own. */
#include "examples/lm/task.h"

#include <inttypes.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/task_impl.h"

enum { TEST_SHARE = 8, LONGEST = 1 << 24, LARGEST_VOCABULARY = 1 << 24 };

const lm_task *const lm_tasks[] = {
    &lm_task_mqar, &lm_task_mqar_forget, &lm_task_needle, &lm_task_needle_text,
    &lm_task_copy, &lm_task_parity,      &lm_task_s3,     NULL};

const char *const lm_task_names[] = {"mqar", "mqar_forget", "needle", "needle_text",
                                     "copy", "parity",      "s3",     NULL};

const lm_task *lm_task_find(const char *name, char *err) {
  for (const lm_task *const *task = lm_tasks; *task; task++)
    if (strcmp((*task)->name, name) == 0) return *task;
  const char *near = lm_nearest(name, lm_task_names);
  lm_fail(err, "there is no task '%.60s'%s%s%s", name, near ? "; did you mean '" : "",
          near ? near : "", near ? "'?" : "");
  return NULL;
}

bool lm_task_refuse(char *err, const char *what, int64_t low, int64_t high, int64_t value) {
  if (low > high)
    return lm_fail(err, "%s %" PRId64 ": the example is too short for that", what, value);
  return lm_fail(err, "%s must be from %" PRId64 " to %" PRId64 " here, not %" PRId64, what, low,
                 high, value);
}

bool lm_task_range(char *err, const char *what, int64_t low, int64_t high, int64_t value) {
  return (value >= low && value <= high) || lm_task_refuse(err, what, low, high, value);
}

bool lm_task_resolve(const lm_task *task, lm_task_shape *shape, char *err) {
  if (shape->length == 0) shape->length = task->usual.length;
  if (shape->pairs == 0) shape->pairs = task->usual.pairs;
  if (shape->vocab == 0) shape->vocab = task->usual.vocab;
  if (shape->rewrites < 0) shape->rewrites = task->usual.rewrites;
  if (shape->power == 0) shape->power = task->usual.power;
  bool fits = lm_task_range(err, "length", 16, LONGEST, shape->length) &&
              lm_task_range(err, "vocab", 2, LARGEST_VOCABULARY, shape->vocab) &&
              lm_task_range(err, "pairs", 0, shape->length, shape->pairs) &&
              task->resolve(shape, err);
  if (fits && !(shape->depth <= 1)) fits = lm_fail(err, "depth must be at most 1");
  return fits || lm_fail(err, "%s: %s", task->name, err);
}

static lm_split split_of(const int32_t *input, int64_t length) {
  uint64_t hash = 0;
  for (int64_t t = 0; t < length; t++) hash = (hash ^ (uint32_t)input[t]) * 0x9e3779b97f4a7c15u;
  return lm_mix(hash) % TEST_SHARE == 0 ? LM_SPLIT_TEST : LM_SPLIT_TRAIN;
}

void lm_task_example(const lm_task *task, const lm_task_shape *shape, uint64_t seed, lm_split split,
                     int64_t index, int32_t *input, int32_t *target) {
  const uint64_t key = lm_random(seed, (uint64_t)index);
  uint64_t attempt = 0;
  do {
    lm_task_stream random = {.key = lm_random(key, attempt++)};
    for (int64_t t = 0; t < shape->length; t++) target[t] = LM_NOT_COUNTED;
    task->make(shape, &random, input, target);
  } while (split_of(input, shape->length) != split);
}
