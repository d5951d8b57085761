/* A block: x + mixer(norm(x)), then x + mlp(norm(x)). */
#ifndef RILL_NN_BLOCK_H_
#define RILL_NN_BLOCK_H_

#include "nn/attention.h"
#include "nn/mixer.h"
#include "nn/mlp.h"
#include "nn/norm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t width;
  int64_t heads;           /* 0 = 1 */
  const rill_rule *mixer;  /* mixes tokens by this rule; NULL = by softmax attention */
  const rill_parts *parts; /* of the mixer; NULL = rill_parts_of(mixer). Its rule is used if both
                              are given */
  int64_t hidden;          /* of the feed-forward layer; 0 = rill_mlp_hidden(width) */
  bool no_mlp;
  int64_t key_size,
      value_size;     /* of a head; 0 = width / heads. Attention has head_size = key_size */
  int64_t groups;     /* softmax attention: heads of k and v; 0 = heads */
  double rotary_base; /* softmax attention; 0 = 10000 */
  double norm_eps;    /* of all norms; 0 = 1e-6 */
  rill_init out_init; /* of o_proj and down_proj; default: as every linear layer */
} rill_block_opts;

typedef struct {
  rill_module *module;
  rill_rmsnorm *mixer_norm, *mlp_norm; /* "mixer_norm", "mlp_norm" */
  rill_attention *attention;           /* "mixer": one of the two, the other is NULL */
  rill_mixer *mixer;
  rill_mlp *mlp; /* "mlp", or NULL */
} rill_block;

/* Registers its parameters in m itself. Sizes that do not fit each other are an error and NULL. */
rill_block *rill_block_new(rill_module *m, rill_block_opts opts);

/* x [B, T, width] -> the same; causal. */
rill_tensor *rill_block_apply(const rill_block *f, rill_tensor *x);
/* The same, going on from a state (NULL = none). */
rill_tensor *rill_block_apply_state(const rill_block *f, rill_tensor *x, rill_state *state);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_BLOCK_H_ */
