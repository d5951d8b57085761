/* The recurrent mixer: a rule of the recurrence family with its projections, gates and norms
 * (figure 1 of the paper).
 *
 *   q, k, v  = projections of x, through a short convolution if there is one
 *   q, k     = l2norm(silu(q)), l2norm(silu(k))           (or what `parts` says)
 *   log alpha = -exp(a_log) softplus(w_alpha x + dt_bias)  a decay for each token and head
 *   beta, gamma = sigmoid(w_beta x), sigmoid(w_gamma x)
 *   o        = rule(q, k, v, alpha, beta, gamma)
 *   y        = w_o (norm(o) * silu(w_g x))
 *
 * Gates and states are f32, also in a bf16 model (f64 in an f64 one). */
#ifndef RILL_NN_MIXER_H_
#define RILL_NN_MIXER_H_

#include "nn/conv.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/parts.h"
#include "nn/state.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t width;      /* of x */
  int64_t heads;      /* of values */
  int64_t key_size;   /* of a head; 0 = width / heads */
  int64_t value_size; /* of a head; 0 = width / heads */
  rill_parts parts;
  double norm_eps;    /* of the output norm; 0 = that of the layer in nn/norm.h */
  rill_init out_init; /* of o_proj; default: as every linear layer */
} rill_mixer_opts;

typedef struct {
  rill_module *module;
  rill_mixer_opts opts;                /* no size left at 0 */
  rill_linear *q, *k, *v, *g, *o;      /* "q_proj" ...; g, the output gate, may be NULL */
  rill_conv *q_conv, *k_conv, *v_conv; /* or NULL */
  rill_linear *alpha, *beta, *gamma;   /* "alpha_proj" ...: [heads, width], or NULL */
  rill_linear *decay_down, *decay_up;  /* GLA: [rank, width], [heads * key_size, rank], or NULL */
  rill_tensor *a_log, *dt_bias;        /* [heads] */
  rill_tensor *log_decay;              /* RetNet: [heads], fixed */
  rill_tensor *skip;                   /* [heads] */
  rill_rmsnorm *norm;
  rill_groupnorm *group_norm;
} rill_mixer;

/* Registers its parameters in m itself. Sizes that do not fit each other are an error and NULL. */
rill_mixer *rill_mixer_new(rill_module *m, rill_mixer_opts opts);

/* x [B, T, width] -> the same; causal. With a state (NULL = none) it goes on from there. */
rill_tensor *rill_mixer_apply(const rill_mixer *f, rill_tensor *x, rill_state *state);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_MIXER_H_ */
