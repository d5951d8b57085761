/* Token by token, backward: the adjoint of the recurrence, derived by hand.
 *
 * dS and dR are the gradients of S_t and R_t as later tokens and the final states see them. The
 * states before each token of a chunk are recomputed from those saved at its start, so memory is
 * that of one chunk however long the sequence is. R's adjoint does not depend on S's; S's depends
 * on R's through du, the gradient of the unclipped residual. */
#ifndef RILL_OPS_RECURRENCE_REFERENCE_BACKWARD_IMPL_H_
#define RILL_OPS_RECURRENCE_REFERENCE_BACKWARD_IMPL_H_

#include "ops/recurrence/reference_token_impl.h"

typedef struct {
  real *go;      /* [V] gradient of o */
  real *dq, *dk; /* [D] */
  real *da;      /* [D] gradient of each channel's decay */
  real *dv;      /* [V] */
  real dbeta, dgamma, down;
  real *dS, *dR; /* [V, D] */
  real *S, *R;   /* [C + 1, V, D] states before each token of the chunk, and after the last */
} gradients;

static real *gradients_lay_out(gradients *g, const token *t, int64_t chunk, real *scratch) {
  int64_t state = t->V * t->D;
  real **keys[] = {&g->dq, &g->dk, &g->da};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++, scratch += t->D) *keys[i] = scratch;
  g->go = scratch, scratch += t->V;
  g->dv = scratch, scratch += t->V;
  g->dS = scratch, scratch += state;
  g->dR = scratch, scratch += state;
  g->S = scratch, scratch += (chunk + 1) * state;
  g->R = scratch;
  return scratch + (t->fitted ? (chunk + 1) * state : 0);
}

/* R's part of row i; S, R rows before the token, Rn after it. Returns the gradient of r. */
RILLI_INLINE real row_backward_of_r(const token *t, gradients *g, int64_t i, row_values y,
                                    const real *R, const real *Rn) {
  int64_t D = t->D;
  real go = g->go[i], out = t->output_gamma * go, *dR = g->dR + i * D;
  if (t->gated) g->dgamma += go * inner(D, Rn, t->q);
  add_scaled(D, g->dq, out, Rn);
  add_scaled(D, dR, out, t->q);
  real write = inner(D, dR, t->k), df = t->gamma * write, dx = t->delta ? -df : 0;
  g->dgamma += y.f * write;
  real put = t->gamma * y.f;
#pragma omp simd
  for (int64_t j = 0; j < D; j++) {
    g->dk[j] += put * dR[j] + dx * t->a[j] * R[j];
    g->da[j] += (dR[j] + dx * t->k[j]) * R[j];
    dR[j] = t->a[j] * dR[j] + dx * t->ak[j];
  }
  return df;
}

/* S's part of row i, given du. */
RILLI_INLINE void row_backward_of_s(const token *t, gradients *g, int64_t i, row_values y, real du,
                                    const real *S, const real *Sn) {
  int64_t D = t->D;
  real go = g->go[i], *dS = g->dS + i * D;
  if (!t->residual) {
    add_scaled(D, g->dq, go, Sn);
    add_scaled(D, dS, go, t->q);
  }
  real write = inner(D, dS, t->k), de = t->beta * write, dx = t->delta ? -de : 0;
  g->dbeta += y.e * write;
  g->dv[i] = de + du;
  real put = t->beta * y.e, read = t->residual ? go : 0, gated = t->gated ? go : 0;
  real plain = read - gated;
#pragma omp simd
  for (int64_t j = 0; j < D; j++) {
    real a = t->a[j], s = S[j];
    g->dk[j] += put * dS[j] + (dx * a - du) * s;
    g->da[j] += (dS[j] + dx * t->k[j] + gated * t->q[j]) * s;
    g->dq[j] += (gated * a + plain) * s;
    dS[j] = a * dS[j] + dx * t->ak[j] - du * t->k[j] + read * t->aq[j];
  }
}

static void token_backward(const token *t, gradients *g, const rilli_recur_bwd *out,
                           int64_t index) {
  const rilli_recur_in *in = t->in;
  int64_t D = t->D, V = t->V;
  const real *S = g->S + index * V * D, *Sn = S + V * D;
  const real *R = t->fitted ? g->R + index * V * D : NULL, *Rn = R ? R + V * D : NULL;
  read_row(in->dtype, out->do_, t->at * V, V, g->go);
  for (int64_t j = 0; j < D; j++) g->dq[j] = g->dk[j] = g->da[j] = 0;
  g->dbeta = g->dgamma = g->down = 0;
  for (int64_t i = 0; i < V; i++) {
    row_values y = row_read(t, i, S + i * D, R ? R + i * D : NULL);
    real dr = 0, go = g->go[i];
    if (t->fitted) {
      dr = row_backward_of_r(t, g, i, y, R + i * D, Rn + i * D);
    } else if (t->residual) {
      dr = t->output_gamma * t->own * go;
      if (t->gated) g->dgamma += go * y.r * t->own;
      g->down += t->output_gamma * go * y.r;
    }
    real du = t->residual ? clip_slope(t->clip, y.u, y.r) * dr : 0;
    row_backward_of_s(t, g, i, y, du, S + i * D, Sn + i * D);
  }
  add_scaled(D, g->dq, g->down, t->k);
  add_scaled(D, g->dk, g->down, t->q);
}

static void token_write(const token *t, const gradients *g, const rilli_recur_bwd *out) {
  const rilli_recur_in *in = t->in;
  int64_t D = t->D;
  write_row(in->dtype, out->dq, t->at * D, D, g->dq);
  write_row(in->dtype, out->dk, t->at * D, D, g->dk);
  write_row(in->dtype, out->dv, t->at * t->V, t->V, g->dv);
  bool tied = t->residual && in->rule->gamma == RILL_GAMMA_TIED;
  if (out->dbeta) ((real *)out->dbeta)[t->at] = g->dbeta + (tied ? g->dgamma : 0);
  if (out->dgamma && !tied) ((real *)out->dgamma)[t->at] = g->dgamma;
  if (!out->dg) return;
  real *dg = out->dg;
  if (in->rule->decay == RILL_DECAY_CHANNEL) {
    for (int64_t j = 0; j < D; j++) dg[t->at * D + j] = t->a[j] * g->da[j];
  } else {
    dg[t->at] = inner(D, t->a, g->da);
  }
}

static void reference_backward(const rilli_recur_in *in, const rilli_recur_bwd *out,
                               int64_t sequence, int64_t head, char *scratch) {
  token t = token_of(in, sequence, head);
  gradients g;
  int64_t longest = t.to - t.from < in->C ? t.to - t.from : in->C, state = t.V * t.D;
  gradients_lay_out(&g, &t, longest, token_lay_out(&t, (real *)(void *)scratch));
  state_copy(&t, g.dS, state_of(&t, out->ds));
  state_copy(&t, g.dR, t.fitted ? state_of(&t, out->dr) : NULL);
  int64_t chunks = in->chunk_start[sequence + 1] - in->chunk_start[sequence];
  for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
    int64_t first = t.from + chunk * in->C, end = first + in->C < t.to ? first + in->C : t.to;
    state_copy(&t, g.S, saved_of(&t, out->states, chunk, 0));
    if (t.fitted) state_copy(&t, g.R, saved_of(&t, out->states, chunk, 1));
    for (int64_t i = first; i < end; i++) {
      real *S = g.S + (i - first) * state, *R = t.fitted ? g.R + (i - first) * state : NULL;
      state_copy(&t, S + state, S);
      if (R) state_copy(&t, R + state, R);
      token_read(&t, i);
      for (int64_t j = 0; j < t.V; j++)
        row_step(&t, j, S + state + j * t.D, R ? R + state + j * t.D : NULL, false);
    }
    for (int64_t i = end - 1; i >= first; i--) {
      token_read(&t, i);
      token_backward(&t, &g, out, i - first);
      token_write(&t, &g, out);
    }
  }
  if (out->ds0) state_copy(&t, state_of(&t, out->ds0), g.dS);
  if (t.fitted && out->dr0) state_copy(&t, state_of(&t, out->dr0), g.dR);
}

#endif /* RILL_OPS_RECURRENCE_REFERENCE_BACKWARD_IMPL_H_ */
