/* The parts of each model, from its own paper. */
#include "nn/parts.h"

#include <string.h>

rill_parts rill_parts_alike(const rill_rule *rule) {
  return (rill_parts){.rule = *rule,
                      .feature = RILL_FEATURE_SILU,
                      .qk_norm = true,
                      .norm = RILL_OUTPUT_NORM_RMS,
                      .gate = true};
}

/* Katharopoulos et al. 2020, equations 7 and 9. */
static const rill_parts linear_attention = {.feature = RILL_FEATURE_ELU, .normaliser = true};

/* Sun et al. 2023, equations 7 and 8; each head's norm is RMS, as in the authors' code. */
static const rill_parts retnet = {
    .qk_scale = true, .rotary = true, .norm = RILL_OUTPUT_NORM_RMS, .gate = true};

/* Dao and Gu 2024, section 7 and figure 6. */
static const rill_parts mamba2 = {.feature = RILL_FEATURE_SILU,
                                  .conv = 4,
                                  .conv_bias = true,
                                  .groups = 1,
                                  .step_gate = true,
                                  .skip = true,
                                  .norm = RILL_OUTPUT_NORM_ALL,
                                  .gate = true,
                                  .gate_first = true};

/* Yang et al. 2023, section 4.4. */
static const rill_parts gla = {
    .qk_scale = true, .rank = 16, .norm = RILL_OUTPUT_NORM_RMS, .gate = true};

/* Yang et al. 2024b, section 3.3. */
static const rill_parts deltanet = {.feature = RILL_FEATURE_SILU,
                                    .qk_norm = true,
                                    .qk_scale = true,
                                    .conv = 4,
                                    .norm = RILL_OUTPUT_NORM_RMS};

/* Yang et al. 2024a, figure 1. */
static const rill_parts gdn = {.feature = RILL_FEATURE_SILU,
                               .qk_norm = true,
                               .qk_scale = true,
                               .conv = 4,
                               .norm = RILL_OUTPUT_NORM_RMS,
                               .gate = true};

static const struct {
  const rill_rule *rule;
  const rill_parts *parts;
} TABLE[] = {{&rill_linear_attention, &linear_attention},
             {&rill_retnet, &retnet},
             {&rill_mamba2, &mamba2},
             {&rill_gla, &gla},
             {&rill_deltanet, &deltanet},
             {&rill_gdn, &gdn}};

rill_parts rill_parts_of(const rill_rule *rule) {
  for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
    if (!rule->name || strcmp(TABLE[i].rule->name, rule->name) != 0) continue;
    rill_parts parts = *TABLE[i].parts;
    parts.rule = *rule;
    return parts;
  }
  return rill_parts_alike(rule);
}

bool rill_rule_has_gamma(const rill_rule *rule) {
  return rule->residual != RILL_RESIDUAL_NONE && rule->gamma == RILL_GAMMA_OWN &&
         !(rule->residual == RILL_RESIDUAL_STATELESS && rule->output == RILL_OUTPUT_SUM);
}
