/* Training a model on a task and testing it.
 *
 * Only the tokens that count reach the output layer: of 128 tokens of MQAR eight do, and with 8192
 * words the output layer would otherwise be most of the work. */
#ifndef RILL_EXAMPLES_LM_RECALL_H_
#define RILL_EXAMPLES_LM_RECALL_H_

#include "examples/lm/model.h"
#include "examples/lm/progress.h"
#include "examples/lm/task.h"
#include "optim/optim.h"
#include "optim/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  lm_task_shape shape; /* resolved */
  double weight;       /* in training: how often a step is of this setting, beside the others */
} lm_recall_setting;

/* "64:4,128:8:2": settings of LENGTH:PAIRS[:WEIGHT], or of LENGTH alone, that are `like` but for
 * that. Any text is either taken whole or refused with a message that begins with `label`. *count
 * of them; *list is released with free. */
bool lm_recall_settings(const lm_task *task, const lm_task_shape *like, const char *label,
                        const char *text, lm_recall_setting **list, int64_t *count, char *err);

typedef struct {
  double accuracy; /* of the targets that count */
  double whole;    /* of examples: all targets right */
  double nats;     /* a target */
  int64_t examples;
} lm_recall_score;

/* Tests on the first `examples` of the test split, `batch` at a time. False and a message after an
 * error. */
bool lm_recall_test(const lm_model *model, const lm_task *task, const lm_task_shape *shape,
                    uint64_t seed, int64_t examples, int64_t batch, lm_recall_score *score,
                    char *err);

typedef struct {
  const lm_task *task;
  const lm_recall_setting *setting; /* each step is of one of them */
  int64_t settings;
  int64_t steps, batch; /* updates, and examples in each */
  int64_t examples;     /* different ones of each setting; 0 = never the same twice */
  rill_schedule schedule;
  double clip;           /* of the gradient's norm; 0 = none */
  int64_t test_every;    /* steps between tests of what is trained; 0 = only at the end */
  int64_t test_examples; /* in such a test */
  double until;          /* stops after a test with this accuracy; above 1 = never */
  uint64_t seed;
  const char *out; /* folder of log.jsonl and of the checkpoint */
  bool save;       /* leave a checkpoint */
} lm_recall_opts;

typedef struct {
  int64_t steps;
  double seconds; /* of training, tests left out */
  double loss;    /* of the last step */
} lm_recall_result;

/* Trains until opts->steps or opts->until. False and a message after an error, or when five updates
 * in a row had gradients that were not finite. */
bool lm_recall_train(const lm_model *model, rill_optim *opt, const lm_recall_opts *opts,
                     lm_progress *progress, lm_recall_result *result, char *err);

/* Numbers that the model carries from one token to the next in its states S and R; what softmax
 * attention keeps of `length` tokens. Short convolutions are left out. */
int64_t lm_recall_state(const rill_lm_config *config, int64_t length);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_RECALL_H_ */
