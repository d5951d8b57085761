/* The training loop of pretrain: batches, accumulation, clipping, schedule, validation,
 * checkpoints, the record. */
#ifndef RILL_EXAMPLES_LM_TRAINER_H_
#define RILL_EXAMPLES_LM_TRAINER_H_

#include "examples/lm/batches.h"
#include "examples/lm/corpus.h"
#include "examples/lm/model.h"
#include "examples/lm/progress.h"
#include "optim/optim.h"
#include "ops/ops.h"
#include "optim/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t steps;                  /* updates in all */
  int64_t seq, batch, accumulate; /* an update sees batch x accumulate windows of seq tokens */
  rill_schedule schedule;
  double clip;               /* of the global gradient norm; 0 = none */
  int64_t validate_every;    /* steps; 0 = only at the end */
  int64_t validation_tokens; /* how much of the held-out stream is read each time */
  int64_t save_every, keep;  /* checkpoints; 0 = only at the end, -1 = never */
  const char *out;           /* the run's folder */
  bool capture;              /* launch an update as one (tensor/capture.h); the same bits. Not with
                                packed documents, which lie elsewhere in every batch */
  uint64_t seed, fingerprint;
  bool resume;
  double stop_after; /* seconds after which the run stops as if interrupted; 0 = never */
} lm_trainer_opts;

typedef struct {
  int64_t steps;         /* made, earlier runs included */
  lm_measure validation; /* at the end */
  double seconds;        /* of this run's loop */
  int64_t tokens;        /* trained on in this run */
  bool interrupted;      /* stopped before the last step; it can be resumed */
} lm_trainer_result;

typedef enum { LM_TRAINED = 0, LM_FAILED = 1, LM_DIVERGED = 3 } lm_trainer_exit;

/* Trains until opts->steps. LM_DIVERGED when five updates in a row had gradients that were not
 * finite. SIGINT and SIGTERM save a checkpoint and stop. Errors are in err. */
lm_trainer_exit lm_train(const lm_model *model, rill_optim *opt, const lm_corpus *corpus,
                         const lm_trainer_opts *opts, lm_progress *progress,
                         lm_trainer_result *result, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_TRAINER_H_ */
