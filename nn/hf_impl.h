/* fla's models, and the names of their parameters. */
#ifndef RILL_NN_HF_IMPL_H_
#define RILL_NN_HF_IMPL_H_

#include "nn/config_impl.h"
#include "nn/hf.h"

/* Models as bits, so that a row of a table can be for several. */
enum {
  RILLI_HF_GDN = 1,
  RILLI_HF_DELTANET = 2,
  RILLI_HF_GLA = 4,
  RILLI_HF_RETNET = 8,
  RILLI_HF_LINEAR = 16,
  RILLI_HF_TRANSFORMER = 32,
  RILLI_HF_MAMBA2 = 64,
  RILLI_HF_RILL = 128,
};

/* ---- hf_keys.c ---- */

/* What a config.json says. Integers that may be null are 0 then. */
typedef struct {
  int64_t vocab_size, hidden_size, num_hidden_layers, intermediate_size, hidden_ratio;
  int64_t num_heads, num_kv_heads, num_v_heads, head_dim, state_size, conv_size;
  double expand, expand_k, expand_v, norm_eps, rope_theta, initializer_range;
  bool tie_word_embeddings, use_short_conv, use_conv_bias, use_gate, use_beta, allow_neg_eigval;
  bool rmsnorm, norm_before_gate;
  int feature; /* a rill_feature; for GLA and RetNet only whether feature_map is "swish" */
} rilli_hf_keys;

/* The JSON of a config.json as Python writes it: numbers may be Infinity. NULL and a message when
 * it is none; json_decref releases it. */
json_t *rilli_hf_load(const char *text, size_t length, char *message);
bool rilli_hf_read_keys(const json_t *root, int model, rilli_hf_keys *k, char *message);
/* Each key on a line of its own, after a comma. */
void rilli_hf_write_keys(rilli_writer *w, int model, const rilli_hf_keys *k);

/* ---- hf_config.c ---- */

/* Reads a config.json of either kind: *model is a bit from above, or 0 when it is this library's
 * own (a "model" and no "model_type"). */
bool rilli_hf_parse(const char *text, size_t length, rill_lm_config *config, int *model,
                    char *message);

/* The bit under which a resolved configuration is written; 0 and a message when there is none. */
int rilli_hf_choose(const rill_lm_config *config, rill_naming naming, char *message);

/* ---- hf_names.c ---- */

enum { RILLI_HF_PIECES = 8, RILLI_HF_NAME = 160 };

/* One stored tensor and the parameters it is made of, row after row: most have one piece, Mamba-2's
 * in_proj has five. */
typedef struct {
  char name[RILLI_HF_NAME];
  char other[RILLI_HF_NAME]; /* what it is called when there is no `name`; "" = nothing */
  bool conv;                 /* stored [channels, 1, width], here [channels, width] */
  int pieces;
  char piece[RILLI_HF_PIECES][RILLI_HF_NAME]; /* paths of parameters that may be there */
} rilli_hf_tensor;

/* Where the parameter of that path is stored. gated: the mixer has an output gate. False when the
 * model has no such parameter. Model 0 stores every parameter under its own path. */
bool rilli_hf_locate(int model, bool gated, const char *path, rilli_hf_tensor *tensor);

#endif /* RILL_NN_HF_IMPL_H_ */
