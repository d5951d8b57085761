/* Language models: embedding, blocks, norm, output layer.
 *
 *   rill_lm_config config;
 *   rill_lm_preset("rdn", &config);
 *   rill_module *net = rill_module_new_with(ctx, rill_lm_module_opts(&config, RILL_F32));
 *   rill_lm *lm = rill_lm_new(net, &config);
 *   rill_tensor *loss = rill_lm_loss(lm, ids, targets); */
#ifndef RILL_NN_LM_H_
#define RILL_NN_LM_H_

#include "nn/block.h"
#include "nn/config.h"
#include "nn/embedding.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_module *module;
  rill_lm_config config; /* resolved: no zeros that mean something else */
  rill_embedding *embed; /* "embed" */
  rill_block **block;    /* [layers], "block.0" ... */
  rill_rmsnorm *norm;    /* "norm" */
  rill_linear *head;     /* "head"; NULL when it is tied to the embedding */
  /* May be set at any time: that many of the first blocks keep only their inputs for backward and
   * are computed again there; -1 = all. */
  int64_t recompute;
} rill_lm;

/* Options for the module of such a model: its initial standard deviation. */
rill_module_opts rill_lm_module_opts(const rill_lm_config *config, rill_dtype dtype);

/* Registers a model's parameters in m. Initial weights are normal with the standard deviation of
 * the module. NULL and an error when the configuration is not one, or memory is short. */
rill_lm *rill_lm_new(rill_module *m, const rill_lm_config *config);

/* ids [B, T], i32 or i64 in [0, vocab) -> logits [B, T, vocab] */
rill_tensor *rill_lm_apply(const rill_lm *f, rill_tensor *ids);
/* The same, going on from a state and advancing it (NULL = none). */
rill_tensor *rill_lm_apply_state(const rill_lm *f, rill_tensor *ids, rill_state *state);
/* Only the logits of the last token, [B, vocab]: what generation needs. */
rill_tensor *rill_lm_next(const rill_lm *f, rill_tensor *ids, rill_state *state);

/* Does a state of such a model depend on how many tokens it has read (the cache of softmax
 * attention, rotary keys)? */
bool rill_lm_uses_position(const rill_lm_config *config);

/* What the output layer is given: ids [B, T] -> [B, T, width], normalised. With rill_lm_output the
 * logits of a few tokens can be had without those of the others. */
rill_tensor *rill_lm_hidden(const rill_lm *f, rill_tensor *ids);
/* Weight of the output layer: [vocab, width], the embedding's where they are tied. */
rill_tensor *rill_lm_output(const rill_lm *f);

/* Mean cross entropy, in nats, of targets [B, T] (-100 = not counted). */
rill_tensor *rill_lm_loss(const rill_lm *f, rill_tensor *ids, rill_tensor *targets);

/* The same of texts that are packed, ids [1, T] (rill_state_pack), or going on from a state. */
rill_tensor *rill_lm_loss_state(const rill_lm *f, rill_tensor *ids, rill_tensor *targets,
                                rill_state *state);

/* Number of parameters of such a model, without making it. -1, and why in message, when the
 * configuration is not one. */
int64_t rill_lm_count(const rill_lm_config *config, char message[RILL_CONFIG_MESSAGE]);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_LM_H_ */
