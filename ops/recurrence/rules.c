/* The named rules; the paper's ablations are one changed field of rla or rdn. */
#include <string.h>

#include "ops/recurrence/recurrence.h"

const rill_rule rill_linear_attention = {.name = "linear_attention"};
const rill_rule rill_retnet = {.name = "retnet", .decay = RILL_DECAY_HEAD};
const rill_rule rill_gla = {.name = "gla", .decay = RILL_DECAY_CHANNEL};
const rill_rule rill_deltanet = {.name = "deltanet", .write = RILL_WRITE_DELTA, .beta = true};

/* beta is Mamba-2's step size; the rule is that of sgla. */
const rill_rule rill_mamba2 = {.name = "mamba2", .decay = RILL_DECAY_TOKEN, .beta = true};
const rill_rule rill_sgla = {.name = "sgla", .decay = RILL_DECAY_TOKEN, .beta = true};
const rill_rule rill_gdn = {
    .name = "gdn", .decay = RILL_DECAY_TOKEN, .write = RILL_WRITE_DELTA, .beta = true};

const rill_rule rill_rla = {
    .name = "rla", .decay = RILL_DECAY_TOKEN, .beta = true, .residual = RILL_RESIDUAL_FITTED};
const rill_rule rill_rdn = {.name = "rdn",
                            .decay = RILL_DECAY_TOKEN,
                            .write = RILL_WRITE_DELTA,
                            .beta = true,
                            .residual = RILL_RESIDUAL_FITTED};

/* Table 4: no state for the residual; printed there without a clip. */
static const rill_rule rla_stateless = {.name = "rla_stateless",
                                        .decay = RILL_DECAY_TOKEN,
                                        .beta = true,
                                        .residual = RILL_RESIDUAL_STATELESS,
                                        .clip = RILL_CLIP_NONE};
static const rill_rule rdn_stateless = {.name = "rdn_stateless",
                                        .decay = RILL_DECAY_TOKEN,
                                        .write = RILL_WRITE_DELTA,
                                        .beta = true,
                                        .residual = RILL_RESIDUAL_STATELESS,
                                        .clip = RILL_CLIP_NONE};

/* Figure 3: one gate for both writes. */
static const rill_rule rla_tied = {.name = "rla_tied",
                                   .decay = RILL_DECAY_TOKEN,
                                   .beta = true,
                                   .residual = RILL_RESIDUAL_FITTED,
                                   .gamma = RILL_GAMMA_TIED};
static const rill_rule rdn_tied = {.name = "rdn_tied",
                                   .decay = RILL_DECAY_TOKEN,
                                   .write = RILL_WRITE_DELTA,
                                   .beta = true,
                                   .residual = RILL_RESIDUAL_FITTED,
                                   .gamma = RILL_GAMMA_TIED};

/* Table 5: the two reads are added without gates. */
static const rill_rule rla_sum = {.name = "rla_sum",
                                  .decay = RILL_DECAY_TOKEN,
                                  .beta = true,
                                  .residual = RILL_RESIDUAL_FITTED,
                                  .output = RILL_OUTPUT_SUM};
static const rill_rule rdn_sum = {.name = "rdn_sum",
                                  .decay = RILL_DECAY_TOKEN,
                                  .write = RILL_WRITE_DELTA,
                                  .beta = true,
                                  .residual = RILL_RESIDUAL_FITTED,
                                  .output = RILL_OUTPUT_SUM};

/* Section 4.3 and appendix B: no clip, a smooth clip. */
static const rill_rule rla_noclip = {.name = "rla_noclip",
                                     .decay = RILL_DECAY_TOKEN,
                                     .beta = true,
                                     .residual = RILL_RESIDUAL_FITTED,
                                     .clip = RILL_CLIP_NONE};
static const rill_rule rdn_noclip = {.name = "rdn_noclip",
                                     .decay = RILL_DECAY_TOKEN,
                                     .write = RILL_WRITE_DELTA,
                                     .beta = true,
                                     .residual = RILL_RESIDUAL_FITTED,
                                     .clip = RILL_CLIP_NONE};
static const rill_rule rla_tanh = {.name = "rla_tanh",
                                   .decay = RILL_DECAY_TOKEN,
                                   .beta = true,
                                   .residual = RILL_RESIDUAL_FITTED,
                                   .clip = RILL_CLIP_TANH};
static const rill_rule rdn_tanh = {.name = "rdn_tanh",
                                   .decay = RILL_DECAY_TOKEN,
                                   .write = RILL_WRITE_DELTA,
                                   .beta = true,
                                   .residual = RILL_RESIDUAL_FITTED,
                                   .clip = RILL_CLIP_TANH};

const rill_rule *const rill_rules[] = {&rill_linear_attention,
                                       &rill_retnet,
                                       &rill_mamba2,
                                       &rill_sgla,
                                       &rill_gla,
                                       &rill_deltanet,
                                       &rill_gdn,
                                       &rill_rla,
                                       &rill_rdn,
                                       &rla_stateless,
                                       &rdn_stateless,
                                       &rla_tied,
                                       &rdn_tied,
                                       &rla_sum,
                                       &rdn_sum,
                                       &rla_noclip,
                                       &rdn_noclip,
                                       &rla_tanh,
                                       &rdn_tanh,
                                       NULL};

const rill_rule *rill_rule_find(const char *name) {
  for (const rill_rule *const *rule = rill_rules; *rule; rule++)
    if (strcmp((*rule)->name, name) == 0) return *rule;
  return NULL;
}
