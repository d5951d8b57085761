/* A language model of bytes as the programs use it: made from a configuration, loaded from a
 * checkpoint folder, measured on a text, asked to continue one. */
#ifndef RILL_EXAMPLES_LM_MODEL_H_
#define RILL_EXAMPLES_LM_MODEL_H_

#include "examples/lm/corpus.h"
#include "examples/lm/sampler.h"
#include "nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_context *ctx;
  rill_module *net;
  rill_lm *lm;
} lm_model;

/* A context for --device ("cpu", "cuda", or "auto": a GPU if there is one), --threads and --seed,
 * whose errors are kept. False, with the message in err, when there is none to be had; *ctx is then
 * NULL. */
bool lm_context_open(rill_context **ctx, const char *device, int64_t threads, int64_t seed,
                     char *err);

/* A new model in ctx. Errors are recorded in the context; false after one. */
bool lm_model_new(lm_model *model, rill_context *ctx, const rill_lm_config *config,
                  rill_dtype dtype);

/* The model of a checkpoint: `path` is a folder with config.json and model.safetensors, or a run
 * folder, whose latest checkpoint is taken. Errors are recorded in ctx. */
bool lm_model_load(lm_model *model, rill_context *ctx, const char *path);

/* Mean nats per byte of a text, read in windows of `seq` bytes, `batch` at a time. Only the bytes
 * that full windows predict count; *bytes says how many. NAN after an error. */
double lm_model_nats(const lm_model *model, lm_text text, int64_t seq, int64_t batch,
                     int64_t *bytes, char *err);

/* Continues `prompt` by up to `count` bytes, handing each to `emit` as it is drawn (false from it
 * stops). The state has constant size for recurrent models. An empty prompt begins with a newline.
 */
bool lm_model_generate(const lm_model *model, lm_text prompt, int64_t count, lm_sampler *sampler,
                       bool (*emit)(void *user, uint8_t byte), void *user, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_MODEL_H_ */
