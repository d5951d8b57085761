/* A recurrence as the CPU kernels see it: plain contiguous arrays, no tensors.
 *
 * The op (op.c) checks and prepares operands; a kernel gets this struct and may rely on it. All
 * arrays are contiguous, in the layouts named below. `real` below is double when dtype is RILL_F64,
 * else float: gates, decays, states and their gradients are always `real`; q, k, v, o and their
 * gradients are in dtype (f64, f32, bf16). Absent operands are NULL.
 *
 * Every sequence (a batch row, or a packed sequence) is cut into chunks of C tokens counted from
 * its own start. `states` holds S and R at the start of each chunk: the forward writes it when it
 * is not NULL (training), the backward reads it. Chunks of sequence n begin at index
 * chunk_start[n]. */
#ifndef RILL_OPS_RECURRENCE_PROBLEM_IMPL_H_
#define RILL_OPS_RECURRENCE_PROBLEM_IMPL_H_

#include "ops/recurrence/recurrence.h"

typedef struct {
  const rill_rule *rule;
  double clip; /* c > 0; may be INFINITY */
  rill_dtype dtype;
  int64_t N; /* sequences */
  int64_t H, D, V;
  int64_t C;                  /* chunk length */
  const int64_t *token_start; /* [N + 1] first token of each sequence in the flattened [B*T] axis */
  const int64_t *chunk_start; /* [N + 1] first chunk of each sequence */

  const void *q, *k;   /* [tokens, H, D] */
  const void *v;       /* [tokens, H, V] */
  const void *g;       /* log alpha: [tokens, H] or [tokens, H, D] (RILL_DECAY_CHANNEL) or NULL;
                          RILL_DECAY_HEAD       arrives expanded to [tokens, H] */
  const void *beta;    /* [tokens, H] or NULL (1) */
  const void *gamma;   /* [tokens, H] or NULL (1); when tied, the same pointer as beta */
  const void *s0, *r0; /* [N, H, V, D] or NULL (0) */
} rilli_recur_in;

typedef struct {
  void *o;      /* [tokens, H, V] */
  void *s, *r;  /* [N, H, V, D] final states; r NULL unless fitted */
  void *states; /* [chunks, H, P, V, D], P = 2 (S then R) when fitted else 1; NULL when not training
                 */
} rilli_recur_fwd;

typedef struct {
  const void *states;        /* as written by the forward */
  const void *do_;           /* [tokens, H, V], dtype */
  const void *ds, *dr;       /* [N, H, V, D] gradients of the final states, or NULL (0) */
  void *dq, *dk, *dv;        /* as q, k, v */
  void *dg, *dbeta, *dgamma; /* as g, beta, gamma; NULL when that operand is absent. When gamma is
                                tied, dgamma is NULL and dbeta receives both */
  void *ds0, *dr0;           /* [N, H, V, D] or NULL (not wanted) */
} rilli_recur_bwd;

/* All four return false only when scratch memory is short (rill_env_alloc). They parallelise with
 * OpenMP over sequences and heads (num_threads(env->threads)); results do not depend on the number
 * of threads. */

/* Token by token, straight from the equations: the specification. Runs every rule. */
bool rilli_recur_reference_forward(rill_env *env, const rilli_recur_in *in,
                                   const rilli_recur_fwd *out);
bool rilli_recur_reference_backward(rill_env *env, const rilli_recur_in *in,
                                    const rilli_recur_bwd *out);

/* Chunk-parallel: small matrix products over C tokens at a time. False from _fits means the
 * reference must run. */
bool rilli_recur_chunk_fits(const rill_rule *rule);
bool rilli_recur_chunk_forward(rill_env *env, const rilli_recur_in *in, const rilli_recur_fwd *out);
bool rilli_recur_chunk_backward(rill_env *env, const rilli_recur_in *in,
                                const rilli_recur_bwd *out);

#endif /* RILL_OPS_RECURRENCE_PROBLEM_IMPL_H_ */
