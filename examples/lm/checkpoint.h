/* Checkpoints of a run: written whole or not at all, and enough to go on bit for bit.
 *
 *   OUT/latest                    the name of the newest complete checkpoint
 *   OUT/step-00000100/config.json         the model's configuration
 *                     model.safetensors   its weights
 *                     tokenizer.model     its tokenizer, if tokens are no bytes (see tokenizer.h)
 *                     training.safetensors  the optimizer's state; step, data position, random
 * stream in its metadata
 *
 *   OUT/best/                     config.json and model.safetensors of the lowest validation loss
 *
 * `latest` moves only when everything before it is on disk; older checkpoints are deleted after
 * that. */
#ifndef RILL_EXAMPLES_LM_CHECKPOINT_H_
#define RILL_EXAMPLES_LM_CHECKPOINT_H_

#include "examples/lm/tokenizer.h"
#include "nn/nn.h"
#include "optim/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LM_PATH_SIZE = 4096 };

/* What a run is, between two steps. */
typedef struct {
  const rill_lm_config *config;
  rill_module *net;
  rill_optim *opt;
  const lm_tokenizer *tokenizer; /* NULL = bytes */
  int64_t step;                  /* updates so far */
  int64_t position;              /* windows of data drawn so far */
  uint64_t fingerprint;          /* of the data and of the options that decide what comes next */
  double best;                   /* lowest validation loss so far */
} lm_run_state;

/* Writes a checkpoint of `state` into the run folder and keeps the newest `keep` (at least 1).
 * Errors are recorded in the context of the net; the checkpoints that were there are as they were.
 */
bool lm_checkpoint_save(const char *out, const lm_run_state *state, int64_t keep);

/* Writes the model alone, weights and tokenizer, to the folder "best" of the run, in the place of
 * the one before. Errors as above. */
bool lm_checkpoint_save_best(const char *out, const lm_run_state *state, const rill_lm *lm);

/* Loads the latest checkpoint of a run folder into net, opt and the numbers of `state`, whose net
 * and optimizer must be of the same configuration. An error when there is none, or when its
 * fingerprint is another. */
bool lm_checkpoint_load(const char *out, lm_run_state *state);

/* The checkpoint folder that `path` stands for: itself when it holds config.json, else its latest.
 */
bool lm_checkpoint_folder(const char *path, char folder[LM_PATH_SIZE], char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_CHECKPOINT_H_ */
