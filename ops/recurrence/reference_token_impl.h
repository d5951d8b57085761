/* One token of the recurrence, row by row: the equations of recurrence.h as they stand there, and
 * so the specification. Row i of S and R meets only element i of v, r and o. */
#ifndef RILL_OPS_RECURRENCE_REFERENCE_TOKEN_IMPL_H_
#define RILL_OPS_RECURRENCE_REFERENCE_TOKEN_IMPL_H_

#include "ops/recurrence/real_impl.h"
#include "ops/recurrence/kernel_impl.h"
#include "tensor/checked.h"

/* A sequence and head, and the operands of its token at hand. */
typedef struct {
  const rilli_recur_in *in;
  int64_t D, V, sequence, head;
  int64_t from, to; /* tokens of the sequence */
  bool delta, residual, fitted, gated;
  residual_clip clip;

  int64_t at;       /* the token's place in [tokens, H] */
  real *q, *k;      /* [D] */
  real *v;          /* [V] */
  real *a;          /* [D] decay of each channel */
  real *ak, *aq;    /* [D] a k; and what the output reads S with: a q, or q when o is a plain sum */
  real beta, gamma; /* write gates */
  real own;         /* k . q */
  real output_gamma; /* gamma, or 1 when o is a plain sum */
} token;

/* What a row computes on its way: the names of recurrence.h. */
typedef struct {
  real z;       /* S_{t-1} k */
  real u, r, e; /* residual, clipped residual, what S is told: v - [delta] alpha S_{t-1} k */
  real x, f;    /* alpha R_{t-1} k, what R is told: r - [delta] x */
} row_values;

RILLI_INLINE real inner(int64_t n, const real *a, const real *b) {
  real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* y += s x */
RILLI_INLINE void add_scaled(int64_t n, real *y, real s, const real *x) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] += s * x[i];
}

static token token_of(const rilli_recur_in *in, int64_t sequence, int64_t head) {
  const rill_rule *rule = in->rule;
  bool residual = rule->residual != RILL_RESIDUAL_NONE;
  return (token){.in = in,
                 .D = in->D,
                 .V = in->V,
                 .sequence = sequence,
                 .head = head,
                 .from = in->token_start[sequence],
                 .to = in->token_start[sequence + 1],
                 .delta = rule->write == RILL_WRITE_DELTA,
                 .residual = residual,
                 .fitted = rule->residual == RILL_RESIDUAL_FITTED,
                 .gated = residual && rule->output == RILL_OUTPUT_GATED,
                 .clip = clip_of(in)};
}

/* Lays the token's arrays into scratch; returns what is left. */
static real *token_lay_out(token *t, real *scratch) {
  real **keys[] = {&t->q, &t->k, &t->a, &t->ak, &t->aq};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++, scratch += t->D) *keys[i] = scratch;
  t->v = scratch;
  return scratch + t->V;
}

/* Turns to token i of the flattened [tokens] axis. */
static void token_read(token *t, int64_t i) {
  const rilli_recur_in *in = t->in;
  int64_t D = t->D;
  t->at = i * in->H + t->head;
  read_row(in->dtype, in->q, t->at * D, D, t->q);
  read_row(in->dtype, in->k, t->at * D, D, t->k);
  read_row(in->dtype, in->v, t->at * t->V, t->V, t->v);
  const real *g = in->g;
  bool channel = in->rule->decay == RILL_DECAY_CHANNEL;
  real alpha = g && !channel ? real_exp(g[t->at]) : 1;
  for (int64_t j = 0; j < D; j++) {
    t->a[j] = g && channel ? real_exp(g[t->at * D + j]) : alpha;
    t->ak[j] = t->a[j] * t->k[j];
    t->aq[j] = t->gated ? t->a[j] * t->q[j] : t->q[j];
  }
  t->beta = read_gate(in->beta, t->at);
  t->gamma = read_gate(in->gamma, t->at);
  t->own = inner(D, t->k, t->q);
  t->output_gamma = t->gated ? t->gamma : 1;
}

/* Row i before the token, S and R being rows of S_{t-1} and R_{t-1}. */
RILLI_INLINE row_values row_read(const token *t, int64_t i, const real *S, const real *R) {
  row_values y = {.e = t->v[i]};
  if (t->delta) y.e -= inner(t->D, S, t->ak);
  if (!t->residual) return y;
  y.z = inner(t->D, S, t->k);
  y.u = t->v[i] - y.z;
  y.r = y.f = clip_value(t->clip, y.u);
  if (t->fitted && t->delta) {
    y.x = inner(t->D, R, t->ak);
    y.f -= y.x;
  }
  return y;
}

/* state = a state + write k */
RILLI_INLINE void row_write(const token *t, real *state, real write) {
#pragma omp simd
  for (int64_t j = 0; j < t->D; j++) state[j] = t->a[j] * state[j] + write * t->k[j];
}

/* Takes row i over the token; returns its output when `wanted`. */
RILLI_INLINE real row_step(const token *t, int64_t i, real *S, real *R, bool wanted) {
  row_values y = row_read(t, i, S, R);
  real o = 0;
  if (wanted && t->residual) o = inner(t->D, S, t->aq);
  row_write(t, S, t->beta * y.e);
  if (t->fitted) row_write(t, R, t->gamma * y.f);
  if (!wanted) return 0;
  if (!t->residual) return inner(t->D, S, t->q);
  return o + t->output_gamma * (t->fitted ? inner(t->D, R, t->q) : y.r * t->own);
}

/* Copies a state [V, D] (NULL = 0). */
static void state_copy(const token *t, real *to, const real *from) {
  size_t bytes = (size_t)(t->V * t->D) * sizeof(real);
  if (bytes == 0) return;
  if (from) {
    memcpy(to, from, bytes);
  } else {
    memset(to, 0, bytes);
  }
}

/* The state of this sequence and head in an array [N, H, V, D]; NULL stays NULL. */
RILLI_INLINE real *state_of(const token *t, const void *states) {
  int64_t at = (t->sequence * t->in->H + t->head) * t->V * t->D;
  return states ? (real *)(uintptr_t)states + at : NULL;
}

/* The saved S (which = 0) or R (1) at the start of a chunk of the sequence. */
RILLI_INLINE real *saved_of(const token *t, const void *states, int64_t chunk, int which) {
  int64_t index = (t->in->chunk_start[t->sequence] + chunk) * t->in->H + t->head;
  return (real *)(uintptr_t)states + (index * (t->fitted ? 2 : 1) + which) * t->V * t->D;
}

#endif /* RILL_OPS_RECURRENCE_REFERENCE_TOKEN_IMPL_H_ */
