/* A language model as the programs use it: made from a configuration, loaded from a checkpoint
 * folder, measured on a text, asked to continue one. */
#ifndef RILL_EXAMPLES_LM_MODEL_H_
#define RILL_EXAMPLES_LM_MODEL_H_

#include "examples/lm/sampler.h"
#include "examples/lm/tokenizer.h"
#include "nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_context *ctx;
  rill_module *net;
  rill_lm *lm;
  lm_tokenizer *tokenizer;
  rill_state *packed; /* lm_model_pack; NULL = windows are read through */
} lm_model;

/* A context for --device ("cpu", "cuda", or "auto": a GPU if there is one), --threads and --seed,
 * whose errors are kept. False, with the message in err, when there is none to be had; *ctx is then
 * NULL. */
bool lm_context_open(rill_context **ctx, const char *device, int64_t threads, int64_t seed,
                     char *err);

/* A new model in ctx, without a tokenizer: the caller may set one, which stays his. Errors are
 * recorded in the context; false after one. */
bool lm_model_new(lm_model *model, rill_context *ctx, const rill_lm_config *config,
                  rill_dtype dtype);

/* The model of a checkpoint and its tokenizer: `path` is a folder with config.json and
 * model.safetensors, or a run folder, whose latest checkpoint is taken. Errors are recorded in ctx.
 * lm_model_close releases the tokenizer (the rest belongs to ctx); it may be called after a
 * failure, too. */
bool lm_model_load(lm_model *model, rill_context *ctx, const char *path);
/* The same in the dtype of --dtype: "f32", "bf16", or "auto": f32 on a CPU, as stored on a GPU. */
bool lm_model_load_as(lm_model *model, rill_context *ctx, const char *path, const char *dtype);
void lm_model_close(lm_model *model);

/* From now on every document is read from its own beginning, in training and measuring: within a
 * window, too, nothing is carried over a token that ends one. That token is the first that the next
 * document's reader sees, so every token is still predicted. False when the tokenizer has no such
 * token. */
bool lm_model_pack(lm_model *model, char *err);
/* Mean cross entropy of windows: ids and targets i32 [B, T], and `tokens`, the ids on the host. */
rill_tensor *lm_model_loss(const lm_model *model, rill_tensor *ids, rill_tensor *targets,
                           const int32_t *tokens);
/* Where the documents of B windows of T tokens begin, and the end: at most B T + 1 offsets, whose
 * number less one is returned. `end` is the token that ends a document. */
int64_t lm_document_offsets(const int32_t *tokens, int64_t B, int64_t T, int32_t end,
                            int64_t *offsets);

/* How well a model predicts a text. */
typedef struct {
  double nats; /* mean, of a token */
  int64_t tokens;
  int64_t bytes; /* of text that these tokens are; 0 = not known */
} lm_measure;

/* Measures a stream in windows of `seq` tokens, `batch` at a time, until `most` tokens (0 = all).
 * Only the tokens that full windows predict count. */
bool lm_model_measure(const lm_model *model, const lm_parts *stream, int64_t seq, int64_t batch,
                      int64_t most, lm_measure *measure, char *err);
/* Bits per byte of text, which do not depend on the tokenizer; NAN when the bytes are not known. */
double lm_measure_bits(const lm_measure *measure);

/* Continues `prompt` by up to `count` tokens, handing the text of each to `emit` as it is drawn
 * (false from it stops). The state has constant size for recurrent models. An empty prompt begins
 * with a newline. */
bool lm_model_generate(const lm_model *model, lm_text prompt, int64_t count, lm_sampler *sampler,
                       bool (*emit)(void *user, lm_text piece), void *user, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_MODEL_H_ */
