/* Small tasks that ask one thing of a model: to remember, or to keep track.
 *
 * An example is a row of `length` tokens and a row of targets: what is to come next where it
 * counts, LM_NOT_COUNTED elsewhere.
 *
 *   mqar, 2 pairs   input   k1 v1 k2 v2  .  .  k2  .  .  .  k1  .
 *                   target   .  .  .  .  .  .  v2  .  .  .  v1  .
 *
 * Example i of a seed is a function of (task, shape, seed, split, i): there is no file, no order
 * and no state. Which split an example belongs to is a function of what it contains, so that no
 * example of the test is ever one of the training, whatever the seeds. */
#ifndef RILL_EXAMPLES_LM_TASK_H_
#define RILL_EXAMPLES_LM_TASK_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LM_NOT_COUNTED = -100 };

typedef enum { LM_SPLIT_TRAIN, LM_SPLIT_TEST } lm_split;

/* Zero (and a negative number of rewrites or depth) means what is usual in the task. */
typedef struct {
  int64_t length;   /* tokens of an example */
  int64_t pairs;    /* what there is to remember: pairs, needles, tokens to copy */
  int64_t vocab;    /* different tokens */
  int64_t rewrites; /* MQAR: keys that get another value later; the last one counts */
  double power;     /* MQAR: the gap g before a query has probability ~ (g + 1)^(power - 1) */
  double depth;     /* needle: where the asked one is hidden, 0 = at the beginning, 1 = at the end,
                       negative = anywhere */
  bool blank;       /* MQAR: what is neither pair nor query is token 0 instead of noise */
} lm_task_shape;

/* A stream of random numbers of one example. */
typedef struct {
  uint64_t key, counter;
} lm_task_stream;

typedef struct {
  const char *name;
  const char *help;    /* what is asked, in a line */
  lm_task_shape usual; /* length 0 ends a table */
  bool hides;          /* depth means something: a needle */
  bool text;           /* tokens are bytes of text, which ends behind the example with the last
                          target; what counts are its last bytes */
  /* Puts derived values in place of zeros; false, and why, when the shape cannot be. */
  bool (*resolve)(lm_task_shape *shape, char *err);
  /* Writes one example; every target is LM_NOT_COUNTED before. */
  void (*make)(const lm_task_shape *shape, lm_task_stream *random, int32_t *input, int32_t *target);
} lm_task;

/* All tasks, and their names, both ending with NULL. */
extern const lm_task *const lm_tasks[];
extern const char *const lm_task_names[];
/* NULL, and a message with the nearest name, when there is none of that name. */
const lm_task *lm_task_find(const char *name, char *err);

/* Fills what is left at its usual value and checks the rest. lm_task_example needs a shape for
 * which this was true. */
bool lm_task_resolve(const lm_task *task, lm_task_shape *shape, char *err);

/* Example `index` of the split: input [length], target [length]. */
void lm_task_example(const lm_task *task, const lm_task_shape *shape, uint64_t seed, lm_split split,
                     int64_t index, int32_t *input, int32_t *target);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_TASK_H_ */
