/* What forward and backward of a chunk share: operands, decays, and the reads, errors and writes of
 * S and R inside it.
 *
 * All that a token reads from a state before it is one form, for keys and queries, S and R alike:
 *     S_{i-1} x_i = am_i (S_0 x_i) + sum_{j < i} (x_i . k_j) decay_ij w_j,     w_j = beta_j e_j
 * so the rest of the recurrence is arithmetic on single tokens, as in its definition. Decays are
 * products of alpha, not exponentials of differences of sums: a closed gate (alpha = 0) is exact,
 * nothing overflows, and the relative error grows only with the distance of the tokens. */
#ifndef RILL_OPS_RECURRENCE_CHUNK_CORE_IMPL_H_
#define RILL_OPS_RECURRENCE_CHUNK_CORE_IMPL_H_

#include "ops/recurrence/solve_impl.h"
#include "ops/recurrence/workspace_impl.h"

/* A sequence and head at work, and its chunk at hand. */
typedef struct {
  const rilli_recur_in *in;
  int64_t sequence, head;
  int64_t first, tokens; /* of the chunk */
  int64_t index;         /* of the chunk among all chunks */
  bool delta, residual, fitted, gated;
  bool reads; /* do keys read the state (delta rule or residual)? */
  residual_clip clip;
} passage;

static passage passage_of(const rilli_recur_in *in, int64_t sequence, int64_t head) {
  const rill_rule *rule = in->rule;
  bool delta = rule->write == RILL_WRITE_DELTA, residual = rule->residual != RILL_RESIDUAL_NONE;
  return (passage){.in = in,
                   .sequence = sequence,
                   .head = head,
                   .delta = delta,
                   .residual = residual,
                   .fitted = rule->residual == RILL_RESIDUAL_FITTED,
                   .gated = residual && rule->output == RILL_OUTPUT_GATED,
                   .reads = delta || residual,
                   .clip = clip_of(in)};
}

static int64_t passage_chunks(const passage *p) {
  return p->in->chunk_start[p->sequence + 1] - p->in->chunk_start[p->sequence];
}

/* Turns to chunk i of the sequence. */
static void passage_turn(passage *p, int64_t i) {
  const int64_t *start = p->in->token_start + p->sequence;
  p->first = start[0] + i * p->in->C;
  p->tokens = start[1] - p->first < p->in->C ? start[1] - p->first : p->in->C;
  p->index = p->in->chunk_start[p->sequence] + i;
}

/* Rows [tokens, ...] of one head of an operand [tokens, H, width]. */
static void read_operand(const passage *p, const void *operand, int64_t width, matrix to) {
  for (int64_t i = 0; i < to.rows; i++) {
    real *x = row(to, i);
    int64_t n = i < p->tokens ? width : 0;
    read_row(p->in->dtype, operand, ((p->first + i) * p->in->H + p->head) * width, n, x);
    for (int64_t j = n; j < to.columns; j++) x[j] = 0;
  }
}

static void write_operand(const passage *p, void *operand, int64_t width, matrix from) {
  for (int64_t i = 0; i < p->tokens; i++)
    write_row(p->in->dtype, operand, ((p->first + i) * p->in->H + p->head) * width, width,
              row(from, i));
}

static void write_gate(const passage *p, void *gate, const real *x) {
  for (int64_t i = 0; gate && i < p->tokens; i++)
    ((real *)gate)[(p->first + i) * p->in->H + p->head] = x[i];
}

/* A state [V, D] of the caller (NULL = 0) into padded scratch, and back. */
static void read_state(const passage *p, const void *states, int64_t index, matrix to) {
  int64_t V = p->in->V, D = p->in->D;
  for (int64_t i = 0; i < to.rows; i++) {
    int64_t n = states && i < V ? D : 0;
    if (n > 0)
      memcpy(row(to, i), (const real *)states + (index * V + i) * D, (size_t)n * sizeof(real));
    for (int64_t j = n; j < to.columns; j++) row(to, i)[j] = 0;
  }
}

static void write_state(const passage *p, void *states, int64_t index, matrix from) {
  int64_t V = p->in->V, D = p->in->D;
  for (int64_t i = 0; i < V && D > 0; i++)
    memcpy((real *)states + (index * V + i) * D, row(from, i), (size_t)D * sizeof(real));
}

static int64_t state_index(const passage *p) { return p->sequence * p->in->H + p->head; }
static int64_t saved_index(const passage *p, int which) {
  return (p->index * p->in->H + p->head) * (p->fitted ? 2 : 1) + which;
}

/* ---- rows ---- */

/* y_i = s_i x_i */
static void scale_rows(matrix y, matrix x, const real *s) {
  for (int64_t i = 0; i < y.rows; i++) {
    vec factor = broadcast(s[i]);
    for (int64_t j = 0; j < y.columns; j += LANES)
      store(row(y, i) + j, factor * load(row(x, i) + j));
  }
}

/* y += s x */
RILLI_INLINE void add_row(int64_t n, real *y, real s, const real *x) {
  vec factor = broadcast(s);
  for (int64_t j = 0; j < n; j += LANES)
    store(y + j, multiply_add(factor, load(x + j), load(y + j)));
}

/* ---- the chunk ---- */

static void read_gates(const passage *p, workspace *x) {
  const rilli_recur_in *in = p->in;
  for (int64_t i = 0; i < x->q.rows; i++) {
    bool there = i < p->tokens;
    int64_t at = (p->first + i) * in->H + p->head;
    x->alpha[i] = there && in->g ? real_exp(((const real *)in->g)[at]) : 1;
    x->beta[i] = there ? read_gate(in->beta, at) : 0;
    x->gamma[i] = there ? read_gate(in->gamma, at) : 0;
    x->d[i] = p->delta ? x->alpha[i] : 0;
    x->diagonal[i] = dot(x->q.columns, row(x->q, i), row(x->k, i));
  }
}

RILLI_INLINE real faded_one(real x) { return x < REAL_SMALLEST ? 0 : x; }

/* Decays along the chunk; returns the decay of the whole chunk. */
static real decay_along(workspace *x) {
  int64_t C = x->q.rows;
  real decay = 1;
  for (int64_t i = 0; i < C; i++) {
    x->am[i] = decay;
    decay = faded_one(decay * x->alpha[i]);
  }
  real tail = 1;
  for (int64_t i = C - 1; i >= 0; i--) {
    x->tail[i] = tail;
    tail = faded_one(tail * x->alpha[i]);
  }
  return decay;
}

static void decay_between(workspace *x) {
  int64_t C = x->q.rows;
  memset(x->decay.at, 0, (size_t)(C * C) * sizeof(real));
  for (int64_t i = 1; i < C; i++) {
    real *to = row(x->decay, i), alpha = x->alpha[i - 1];
    const real *from = row(x->decay, i - 1);
    for (int64_t j = 0; j < i - 1; j += LANES)
      store(to + j, faded(broadcast(alpha) * load(from + j)));
    to[i - 1] = 1;
  }
}

/* pairs_ij = (a_i . k_j) decay_ij, j < i */
static void pairs(matrix to, matrix a, const workspace *x) {
  product(to, a, x->kt, (product_opts){.part = TO_LOWER});
  for (int64_t i = 0; i < to.rows; i++)
    for (int64_t j = 0; j < row_end(i); j += LANES)
      store(row(to, i) + j, load(row(to, i) + j) * load(row(x->decay, i) + j));
}

/* The clipped residual of every token and the slope of the clip there. */
static void clip_residual(const passage *p, workspace *x) {
  residual_clip clip = p->clip;
  for (int64_t i = 0; i < x->v.rows; i++) {
    const real *v = row(x->v, i), *z = row(x->z, i);
    real *r = row(x->res, i), *slope = row(x->slope, i);
    if (clip.kind == RILL_CLIP_TANH) {
      for (int64_t j = 0; j < x->v.columns; j++) {
        r[j] = clip_value(clip, v[j] - z[j]);
        slope[j] = clip_slope(clip, v[j] - z[j], r[j]);
      }
      continue;
    }
    real bound = clip.kind == RILL_CLIP_HARD ? clip.bound : (real)INFINITY;
    vec high = broadcast(bound), low = broadcast(-bound), one = broadcast(1);
    for (int64_t j = 0; j < x->v.columns; j += LANES) {
      vec u = load(v + j) - load(z + j);
      lanes_mask above = u > high, below = u < low, inside = ~(above | below);
      store(r + j, (vec)(((lanes_mask)u & inside) | ((lanes_mask)high & above) |
                         ((lanes_mask)low & below)));
      store(slope + j, (vec)((lanes_mask)one & inside));
    }
  }
}

static reading reading_of_s(const workspace *x) {
  return (reading){.n = x->n, .am = x->am, .d = x->d, .gate = x->beta};
}
static reading reading_of_r(const workspace *x) {
  return (reading){.n = x->n, .am = x->am, .d = x->d, .gate = x->gamma};
}

/* Fills all of the workspace that does not belong to outputs or gradients, from x->st and x->rt;
 * returns the decay of the whole chunk. */
static real chunk_core(const passage *p, workspace *x) {
  const rilli_recur_in *in = p->in;
  read_operand(p, in->q, in->D, x->q);
  read_operand(p, in->k, in->D, x->k);
  read_operand(p, in->v, in->V, x->v);
  read_gates(p, x);
  transpose(x->kt, x->k);
  real whole = decay_along(x);
  decay_between(x);
  pairs(x->b, x->q, x);
  if (!p->reads) {
    x->e = x->v;
    scale_rows(x->w, x->e, x->beta);
    return whole;
  }
  pairs(x->n, x->k, x);
  product(x->z, x->k, x->st, (product_opts){0});
  read_down(reading_of_s(x), x->v, x->z, x->e, x->w);
  if (p->residual) clip_residual(p, x);
  if (p->fitted) {
    product(x->x, x->k, x->rt, (product_opts){0});
    read_down(reading_of_r(x), x->res, x->x, x->f, x->y);
  }
  return whole;
}

/* The factors of what o reads: o_i = s2_i (S_{i-1} q_i) + r2_i (R_{i-1} q_i) + ..., and their
 * products s1, r1 with the decay from the chunk's start. */
static void output_factors(const passage *p, workspace *x) {
  for (int64_t i = 0; i < x->q.rows; i++) {
    x->s2[i] = !p->residual || p->gated ? x->alpha[i] : 1;
    x->r2[i] = (p->gated ? x->gamma[i] : 1) * x->alpha[i];
    x->s1[i] = x->s2[i] * x->am[i];
    x->r1[i] = x->r2[i] * x->am[i];
  }
}

/* What token i's own write contributes to o_i is `own` times this row: w (no residual), the
 * residual (stateless) or y (fitted). */
static matrix own_write(const passage *p, const workspace *x) {
  return p->fitted ? x->y : p->residual ? x->res : x->w;
}
static real own_factor(const passage *p, const workspace *x, int64_t i) {
  return x->diagonal[i] * (p->gated ? x->gamma[i] : 1);
}

#endif /* RILL_OPS_RECURRENCE_CHUNK_CORE_IMPL_H_ */
