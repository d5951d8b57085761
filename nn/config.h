/* The configuration of a language model: one struct, one JSON object.
 *
 *   rill_lm_config config;
 *   rill_lm_preset("rdn", &config);
 *   config.width = 512;
 *
 * Presets: transformer, linear_attention, retnet, mamba2, sgla, gla, deltanet, gdn, rla, rdn, each
 * with the parts of its own paper; and with "paper_" before the name the 1.5B model of "Enhancing
 * Linear Attention with Residual Learning" (table 6), where all have the same parts around their
 * rule. Then any field may be changed. An ablation is one changed field of `parts.rule`. */
#ifndef RILL_NN_CONFIG_H_
#define RILL_NN_CONFIG_H_

#include "nn/module.h"
#include "nn/parts.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RILL_CONFIG_MESSAGE = 512 };

typedef struct {
  char model[32]; /* the preset it began as; "transformer" means softmax attention */
  int64_t vocab;  /* number of tokens */
  int64_t width;  /* of the residual stream */
  int64_t layers;
  int64_t heads;
  int64_t key_size;   /* of a head; 0 = width / heads, or what the model's paper takes (see
                         rill_lm_resolve) */
  int64_t value_size; /* the same for values */
  int64_t groups;     /* softmax attention: heads of k and v; 0 = heads */
  int64_t hidden;     /* of the feed-forward layers; 0 = rill_mlp_hidden(width) */
  bool mlp;           /* has feed-forward layers (Mamba-2 has none: give it twice the layers) */
  bool tied;          /* the output layer is the embedding */
  bool scale_out; /* layers that write to the residual stream begin smaller: std / sqrt(2 layers) */
  double rotary_base; /* softmax attention; 0 = 10000 */
  double norm_eps;    /* of all norms; 0 = 1e-6 */
  double std;         /* of initial weights; 0 = 0.8 / sqrt(width) */
  rill_parts parts;   /* of recurrent models; what `parts.rule.name` points to must outlive it */
} rill_lm_config;

/* How to train it: plain numbers that programs hand to the optimizer and the schedule. In JSON the
 * object "training" beside the model's keys; 0 = the program's default. */
typedef struct {
  double lr, min_lr; /* peak and last rate of a cosine schedule */
  double weight_decay, beta1, beta2, clip;
  int64_t batch_tokens, warmup_tokens, total_tokens;
} rill_lm_training;

/* Fills *config; false when there is no preset of that name. */
bool rill_lm_preset(const char *name, rill_lm_config *config);
/* Names of all presets, NULL-terminated. */
extern const char *const rill_lm_presets[];

/* Checks ranges and puts the derived values in place of zeros. False, and why in message, when the
 * fields do not fit each other. rill_lm_new does it by itself. */
bool rill_lm_resolve(rill_lm_config *config, char message[RILL_CONFIG_MESSAGE]);

/* Reads a JSON object. "model" (a preset), "vocab", "width", "layers" and "heads" are required
 * ("paper_" presets need only "model"); other keys change the preset. training may be NULL. False
 * and a message that names the key (and for unknown ones the nearest known) when a key is unknown,
 * given twice, missing, of the wrong type or out of range. */
bool rill_lm_config_parse(const char *text, size_t length, rill_lm_config *config,
                          rill_lm_training *training, char message[RILL_CONFIG_MESSAGE]);
/* The object with all keys, indented, in memory of ctx: rill_free releases it. NULL and an error
 * when memory is short. training may be NULL. */
char *rill_lm_config_print(rill_context *ctx, const rill_lm_config *config,
                           const rill_lm_training *training);

/* The same from and to a file; errors are recorded in ctx and name the file. */
bool rill_lm_config_load(rill_context *ctx, const char *path, rill_lm_config *config,
                         rill_lm_training *training);
bool rill_lm_config_save(rill_context *ctx, const char *path, const rill_lm_config *config,
                         const rill_lm_training *training);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_CONFIG_H_ */
