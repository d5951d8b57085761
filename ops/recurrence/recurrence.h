/* The recurrence family: one op, described by a rule.
 *
 * Every model of the family keeps a matrix state S [V, D] per head (V: value size, D: key size)
 * that is written with a key and a value and read with a query, one token after the other:
 *
 *     z_t = S_{t-1} k_t                                        what S predicts for k_t
 *     u_t = v_t - z_t ;  r_t = clip(u_t)                       its (clipped) error
 *     S_t = alpha_t S_{t-1} + beta_t  (v_t - [delta] alpha_t S_{t-1} k_t) k_t^T
 *     R_t = alpha_t R_{t-1} + gamma_t (r_t - [delta] alpha_t R_{t-1} k_t) k_t^T   (fitted residual)
 *     R_t = r_t k_t^T                                                         (stateless residual)
 *     o_t = S_t q_t                                                           (no residual)
 *     o_t = alpha_t S_{t-1} q_t + gamma_t R_t q_t                             (residual, gated)
 *     o_t =         S_{t-1} q_t +         R_t q_t                             (residual, sum)
 *
 * A rule says which of these terms a model has. The paper's ablations are one changed field of
 * rill_rla or rill_rdn. With a decay per channel, alpha_t is a diagonal matrix on the right of
 * S and R.
 *
 * Source: "Enhancing Linear Attention with Residual Learning", sections 2.3 and 3.4, Table 1,
 * appendix D. */
#ifndef RILL_OPS_RECURRENCE_RECURRENCE_H_
#define RILL_OPS_RECURRENCE_RECURRENCE_H_

#include <stdbool.h>
#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  RILL_DECAY_NONE = 0, /* alpha = 1; log_alpha must be NULL */
  RILL_DECAY_HEAD,     /* log_alpha [H], one constant a head (RetNet) */
  RILL_DECAY_TOKEN,    /* log_alpha [B, T, H] */
  RILL_DECAY_CHANNEL,  /* log_alpha [B, T, H, D] (GLA) */
} rill_rule_decay;

typedef enum {
  RILL_WRITE_ADD = 0, /* S += beta v k^T */
  RILL_WRITE_DELTA,   /* S += beta (v - alpha S k) k^T */
} rill_rule_write;

typedef enum {
  RILL_RESIDUAL_NONE = 0,  /* o_t = S_t q_t */
  RILL_RESIDUAL_STATELESS, /* R_t = r_t k_t^T (paper, Table 4) */
  RILL_RESIDUAL_FITTED,    /* R_t learns r_t like S_t learns v_t */
} rill_rule_residual;

typedef enum {
  RILL_GAMMA_OWN = 0, /* gamma [B, T, H] is given */
  RILL_GAMMA_TIED,    /* gamma = beta (paper, Figure 3) */
} rill_rule_gamma;

typedef enum {
  RILL_CLIP_HARD = 0, /* r = min(max(u, -c), c); the gradient is 1 where |u| <= c */
  RILL_CLIP_NONE,     /* r = u */
  RILL_CLIP_TANH,     /* r = c tanh(u / c) (paper, appendix B) */
} rill_rule_clip;

typedef enum {
  RILL_OUTPUT_GATED = 0, /* alpha S q + gamma R q */
  RILL_OUTPUT_SUM,       /* S q + R q (paper, Table 5) */
} rill_rule_output;

typedef struct {
  const char *name;
  rill_rule_decay decay;
  rill_rule_write write;
  bool beta;                   /* a write gate beta [B, T, H] is given; otherwise beta = 1 */
  rill_rule_residual residual; /* the fields below say nothing when this is RILL_RESIDUAL_NONE */
  rill_rule_gamma gamma;
  rill_rule_clip clip;
  rill_rule_output output;
} rill_rule;

/* The named rules. */
extern const rill_rule rill_linear_attention, rill_retnet, rill_mamba2, rill_sgla, rill_gla,
    rill_deltanet, rill_gdn, rill_rla, rill_rdn;

/* All named rules and the paper's ablations ("rla_stateless", "rdn_tied", ...); NULL-terminated. */
extern const rill_rule *const rill_rules[];

/* The rule of that name, or NULL. */
const rill_rule *rill_rule_find(const char *name);

/* Which implementation runs; RILL_IMPL_AUTO takes the first that fits. */
typedef enum { RILL_IMPL_AUTO = 0, RILL_IMPL_REFERENCE, RILL_IMPL_CHUNK } rill_recur_impl;

/* Optional operands and options of rill_recur and rill_recur_step; zero means absent or default. */
typedef struct {
  rill_tensor *log_alpha; /* log decay, <= 0, shape as rule->decay says; -inf closes the gate
                             (alpha = 0) exactly, and all gradients stay finite */
  rill_tensor *beta;      /* [B, T, H], write gate, usually in [0, 1] */
  rill_tensor *gamma;     /* [B, T, H], residual gate, usually in [0, 1] */
  rill_tensor *s0, *r0;   /* [N, H, V, D], initial states; absent = zero. N = B, or `sequences` */
  double clip;            /* c; 0 = 1.0 */
  const int64_t *offsets; /* packed sequences: B must be 1, and sequence i is tokens
                             offsets[i] .. offsets[i+1]; offsets[0] = 0, offsets[sequences] = T */
  int64_t sequences;      /* number of packed sequences (offsets has one more entry) */
  int chunk;              /* chunk length of the chunked form; 0 = 64 */
  rill_recur_impl impl;
} rill_recur_opts;

typedef struct {
  rill_tensor *o; /* [B, T, H, V], dtype of v */
  rill_tensor *s; /* [N, H, V, D] final state, f32 (f64 when v is f64) */
  rill_tensor *r; /* [N, H, V, D] final residual state; NULL unless the residual is fitted */
} rill_recur_out;

/* Runs a rule over whole sequences.
 * q, k [B, T, H, D] and v [B, T, H, V] in f64, f32 or bf16, one dtype for all three; gates and
 * states are f32, or f64 when q is f64. State and products accumulate in f32 (f64).
 *
 * Gradients: hand-derived, to every floating operand, final states included.
 *
 * Refuses: ranks, sizes or dtypes that do not match; operands the rule does not have; bad
 * offsets. */
rill_recur_out rill_recur(const rill_rule *rule, rill_tensor *q, rill_tensor *k, rill_tensor *v,
                          rill_recur_opts opts);

/* One token: q, k [B, H, D], v [B, H, V], gates without their T axis, states in opts.s0/r0 (absent
 * = zero). Returns o [B, H, V] and the next states. Equal to rill_recur with T = 1; memory does not
 * depend on the position. */
rill_recur_out rill_recur_step(const rill_rule *rule, rill_tensor *q, rill_tensor *k,
                               rill_tensor *v, rill_recur_opts opts);

#ifdef __cplusplus
}
#endif

#endif /* RILL_OPS_RECURRENCE_RECURRENCE_H_ */
