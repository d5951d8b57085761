/* What a recurrent mixer is made of: the rule, and the parts around it.
 *
 * Every model of the family is the same layer with other parts. rill_parts_of gives those of a
 * model's own paper; the like-for-like setting of "Enhancing Linear Attention with Residual
 * Learning" (rill_parts_alike) gives every rule the parts that RLA and RDN have. An ablation is one
 * changed field. */
#ifndef RILL_NN_PARTS_H_
#define RILL_NN_PARTS_H_

#include "ops/recurrence/recurrence.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Applied to queries and keys before they are normalised. */
typedef enum {
  RILL_FEATURE_NONE = 0,
  RILL_FEATURE_SILU,
  RILL_FEATURE_ELU, /* elu(x) + 1 (linear attention) */
} rill_feature;

typedef enum {
  RILL_OUTPUT_NORM_NONE = 0,
  RILL_OUTPUT_NORM_RMS,   /* of each head, one weight for all heads */
  RILL_OUTPUT_NORM_GROUP, /* mean and variance of each head, weight and bias a channel (RetNet) */
  RILL_OUTPUT_NORM_ALL,   /* RMS over all heads together (Mamba-2) */
} rill_output_norm;

typedef struct {
  rill_rule rule;
  double clip; /* bound of the residual; 0 = 1 */
  rill_feature feature;
  bool qk_norm;  /* queries and keys have length 1 */
  bool qk_scale; /* queries are divided by sqrt(key size) */
  bool rotary;   /* queries and keys are turned by their position */
  int64_t conv;  /* width of the short convolution of q, k and v; 0 = none. SiLU, if it is the
                    feature, then applies to v too */
  bool conv_bias;
  bool value_silu; /* SiLU on v, whatever the feature and the convolution */
  int64_t groups;  /* heads of q and k, shared by the heads of v; 0 = all heads */
  bool step_gate; /* beta = softplus(w x + b), the step size that also scales the decay (Mamba-2) */
  double beta_max; /* beta = beta_max sigmoid(w x); 0 = 1. 2 allows negative eigenvalues */
  int64_t rank;    /* of the channel decay's projection (GLA); 0 = 16 */
  bool skip;       /* o += d v with a number d for each head (Mamba-2) */
  bool normaliser; /* o is divided by the sum of its weights (linear attention) */
  rill_output_norm norm;
  bool gate;       /* o * silu(w x) */
  bool gate_first; /* before the norm (Mamba-2) instead of after it */
} rill_parts;

/* The parts of the rule's own model, found by the rule's name; those of the like-for-like setting
 * for names that are no model's. */
rill_parts rill_parts_of(const rill_rule *rule);

/* SiLU and length 1 for q and k, no convolution, output norm and gate: figure 1 of the paper. */
rill_parts rill_parts_alike(const rill_rule *rule);

/* Does a mixer with that rule have a gate gamma of its own? */
bool rill_rule_has_gamma(const rill_rule *rule);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_PARTS_H_ */
