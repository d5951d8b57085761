/* Language models in folders: this library's own checkpoints and those of Hugging Face (nn/hf.h).
 *
 *   rill_lm *lm = rill_lm_load(ctx, "gdn-340M", RILL_F32);       either kind
 *   rill_lm_save(lm, "out", (rill_lm_save_opts){.naming = RILL_NAMING_HF});
 *
 * A folder holds config.json, and the weights in model.safetensors or in the files that
 * model.safetensors.index.json names. */
#ifndef RILL_NN_CHECKPOINT_H_
#define RILL_NN_CHECKPOINT_H_

#include "nn/hf.h"
#include "nn/lm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The model of a folder, new, its weights converted to dtype; its parameters are those of
 * lm->module. NULL and an error that names the file when something is missing, left over, damaged
 * or of another shape. */
rill_lm *rill_lm_load(rill_context *ctx, const char *folder, rill_dtype dtype);

/* The dtype to load a folder's weights in so that nothing is lost or widened: bf16 when most of
 * them are stored so, else f32. False, and an error, when its files cannot be read. */
bool rill_lm_stored_dtype(rill_context *ctx, const char *folder, rill_dtype *dtype);

typedef struct {
  rill_naming naming;
  bool bf16; /* matrices and convolutions in bf16; vectors (norms, gates) stay as they are */
  int64_t shard_bytes; /* files of at most so many bytes of tensors, and an index; 0 = one file. A
                          tensor that is larger has a file of its own */
} rill_lm_save_opts;

/* Writes a folder (made if it is not there), config.json last. The void parts of an older
 * checkpoint in it are removed. False, and an error, also when the naming cannot express the model:
 * rill_hf_config_print says when. */
bool rill_lm_save(const rill_lm *f, const char *folder, rill_lm_save_opts opts);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_CHECKPOINT_H_ */
