/* The config.json of language models on Hugging Face, as flash-linear-attention ("fla") and the
 * transformers library write it.
 *
 *   model_type        is here              parameters
 *   gated_deltanet    gdn                  model.layers.N.attn.q_proj.weight ...
 *   delta_net         deltanet             the same
 *   gla               gla                  the same
 *   retnet            retnet               the same
 *   linear_attn       linear_attention     the same
 *   transformer       transformer          the same
 *   mamba2            mamba2               backbone.layers.N.mixer.in_proj.weight ...
 *   rill              any model            model.layers.N.attn.q_proj.weight ...
 *
 * fla has no model for RLA, RDN, simple GLA and the ablations. "rill" is for these: names of the
 * same style, and this library's own configuration as the object "rill" of config.json.
 * examples/python/modeling_rill.py runs such a folder in PyTorch. hf_names.c has all names. */
#ifndef RILL_NN_HF_H_
#define RILL_NN_HF_H_

#include "nn/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the parameters and the configuration of a folder are named. */
typedef enum {
  RILL_NAMING_RILL = 0, /* this library's own: "block.0.mixer.q_proj.weight" */
  RILL_NAMING_HF,       /* fla's where it has the model, else "rill" */
  RILL_NAMING_FLA,      /* fla's, or a refusal */
  RILL_NAMING_HF_RILL,  /* "rill" for every model */
} rill_naming;

/* Reads a config.json with a "model_type". False, and a message that names the key and its value,
 * when something in it cannot be represented; keys that say nothing about the function computed
 * (transformers_version, use_cache, ...) are ignored, absent ones have fla's defaults. */
bool rill_hf_config_parse(const char *text, size_t length, rill_lm_config *config,
                          char message[RILL_CONFIG_MESSAGE]);

/* The config.json of such a model, in memory of ctx: rill_free releases it. NULL, and why in
 * message, when the configuration is not one, memory is short, or, for RILL_NAMING_FLA, when fla's
 * model is not this one: the message names the first key that differs. */
char *rill_hf_config_print(rill_context *ctx, const rill_lm_config *config, rill_naming naming,
                           char message[RILL_CONFIG_MESSAGE]);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_HF_H_ */
