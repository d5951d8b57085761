/* The chunked backward of one sequence and head: chunks from last to first, each recomputed from
 * the states at its start, with the gradients of the states carried along.
 *
 * The mirror of chunk_core: gradients of what tokens read (dy of S_{i-1} q_i, dyr of R_{i-1} q_i,
 * dz and dx of the key's reads) flow through the same pairs and decays. R's pass comes first; it
 * reaches S's only through du, the gradient of the unclipped residual.
 *
 * d log alpha_i sums only terms whose decay contains alpha_i: pairs that cross token i, reads of
 * the chunk's first state after it, writes before it that reach the end, and what is multiplied
 * with alpha_i itself. Nothing cancels, nothing is divided by alpha. */
#ifndef RILL_OPS_RECURRENCE_CHUNK_BACKWARD_IMPL_H_
#define RILL_OPS_RECURRENCE_CHUNK_BACKWARD_IMPL_H_

#include "ops/recurrence/chunk_core_impl.h"

static real sum_products(matrix a, matrix b) {
  real sum = 0;
  for (int64_t i = 0; i < a.rows; i++) sum += dot(a.columns, row(a, i), row(b, i));
  return sum;
}

/* Sum of the first n elements; what follows up to whole vectors is not looked at. */
static real sum_first(const real *x, int64_t n) {
  vec sum = broadcast(0);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) sum += load(x + i);
  real rest = 0;
  for (; i < n; i++) rest += x[i];
  return sum_lanes(sum) + rest;
}

static real dot_first(const real *x, const real *y, int64_t n) {
  vec sum = broadcast(0);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) sum = multiply_add(load(x + i), load(y + i), sum);
  real rest = 0;
  for (; i < n; i++) rest += x[i] * y[i];
  return sum_lanes(sum) + rest;
}

/* dw = what reaches a write from the final state and from the outputs that read it later. */
static void unread_outputs(const workspace *x, matrix dw, matrix dstate, matrix dread) {
  product(dw, x->k, dstate, (product_opts){.scale = x->tail});
  product(dw, turned(x->b), dread, (product_opts){.part = ABOVE, .keep = 1});
}

/* R's pass: from go to x->du (still without the clip's slope), df, dx, mr, t2. */
static void backward_of_r(const passage *p, workspace *x) {
  int64_t D = x->q.columns, V = x->v.columns;
  transpose(x->drt, x->dr);
  scale_rows(x->dyr, x->go, x->r2);
  unread_outputs(x, x->df, x->drt, x->dyr);
  for (int64_t i = 0; i < x->df.rows; i++)
    add_row(V, row(x->df, i), own_factor(p, x, i), row(x->go, i));
  if (p->delta) read_up(reading_of_r(x), x->df, NULL, x->dx);
  transpose(x->yt, x->y);
  product(x->mr, x->go, x->yt, (product_opts){.part = TO_LOWER});
  product(x->t2, x->go, x->r, (product_opts){0});
  for (int64_t i = 0; i < x->go.rows; i++) {
    const real *q = row(x->q, i), *go = row(x->go, i), *df = row(x->df, i);
    real from_start = dot(D, q, row(x->t2, i));
    real read = x->am[i] * from_start + dot_first(row(x->mr, i), row(x->b, i), i);
    real own = dot(V, go, row(x->y, i));
    x->dgamma[i] = dot(V, row(x->f, i), df);
    if (p->gated) x->dgamma[i] += x->alpha[i] * read + x->diagonal[i] * own;
    x->ddiagonal[i] = (p->gated ? x->gamma[i] : 1) * own;
    x->dalpha[i] = x->r2[i] * read;
    if (p->delta) x->dalpha[i] += dot(V, row(x->dx, i), row(x->x, i));
    x->reads[i] = x->r1[i] * from_start;
  }
  scale_rows(x->du, x->df, x->gamma);
}

/* The same for a residual without a state of its own: o_i = ... + gamma_i (q_i . k_i) r_i. */
static void backward_of_stateless(const passage *p, workspace *x) {
  for (int64_t i = 0; i < x->go.rows; i++) {
    real own = dot(x->v.columns, row(x->go, i), row(x->res, i));
    x->dgamma[i] = p->gated ? x->diagonal[i] * own : 0;
    x->ddiagonal[i] = (p->gated ? x->gamma[i] : 1) * own;
    real factor = own_factor(p, x, i);
    for (int64_t j = 0; j < x->v.columns; j++) row(x->du, i)[j] = factor * row(x->go, i)[j];
  }
}

/* S's pass: from go and du to dw, dz, dv (into x->tmp), ms, t1. */
static void backward_of_s(const passage *p, workspace *x) {
  int64_t D = x->q.columns, V = x->v.columns;
  transpose(x->dst, x->ds);
  scale_rows(x->dy, x->go, x->s2);
  unread_outputs(x, x->dw, x->dst, x->dy);
  if (!p->residual)
    for (int64_t i = 0; i < x->dw.rows; i++)
      add_row(V, row(x->dw, i), own_factor(p, x, i), row(x->go, i));
  if (p->reads) read_up(reading_of_s(x), x->dw, p->residual ? &x->du : NULL, x->dz);
  transpose(x->wt, x->w);
  product(x->ms, x->dy, x->wt, (product_opts){.part = TO_LOWER});
  product(x->t1, x->dy, x->s, (product_opts){0});
  for (int64_t i = 0; i < x->go.rows; i++) {
    real from_start = x->am[i] * dot(D, row(x->q, i), row(x->t1, i));
    x->dbeta[i] = dot(V, row(x->e, i), row(x->dw, i));
    if (!p->residual) x->ddiagonal[i] = dot(V, row(x->go, i), row(x->w, i));
    if (!p->residual || p->gated)
      x->dalpha[i] += from_start + dot_first(row(x->ms, i), row(x->b, i), i);
    if (p->delta) x->dalpha[i] -= x->d[i] * x->beta[i] * dot(V, row(x->dw, i), row(x->z, i));
    x->reads[i] += from_start;
  }
  scale_rows(x->tmp, x->dw, x->beta);
  if (p->residual)
    for (int64_t i = 0; i < x->tmp.rows; i++) add_row(V, row(x->tmp, i), 1, row(x->du, i));
}

/* Gradients of the pairs (i, j): of b into ms, of n into dn, both already without the decay; and
 * the share of crossing pairs in d log alpha. */
static void backward_of_pairs(const passage *p, workspace *x) {
  if (p->reads) product(x->dn, x->dz, x->wt, (product_opts){.part = TO_LOWER});
  if (p->fitted && p->delta)
    product(x->dn, x->dx, x->yt, (product_opts){.part = TO_LOWER, .keep = 1});
  for (int64_t j = 0; j < x->q.rows; j++) x->column[j] = 0;
  for (int64_t i = x->q.rows - 1; i >= 0; i--) {
    if (p->in->g) x->dalpha[i] += sum_first(x->column, i);
    vec factor = broadcast(x->r2[i]);
    for (int64_t j = 0; j < row_end(i); j += LANES) {
      vec decay = load(row(x->decay, i) + j), db = load(row(x->ms, i) + j);
      if (p->fitted) db = multiply_add(factor, load(row(x->mr, i) + j), db);
      vec crossing = db * load(row(x->b, i) + j);
      store(row(x->ms, i) + j, db * decay);
      if (p->reads) {
        vec dn = load(row(x->dn, i) + j);
        crossing = multiply_add(dn, load(row(x->n, i) + j), crossing);
        store(row(x->dn, i) + j, dn * decay);
      }
      store(x->column + j, load(x->column + j) + crossing);
    }
  }
}

/* dq, dk and the rest of d log alpha, from all of the above. */
static void backward_of_keys(const passage *p, workspace *x, real whole) {
  int64_t D = x->q.columns;
  if (p->reads) {
    product(x->t3, x->dz, x->s, (product_opts){0});
    if (p->fitted && p->delta) product(x->t3, x->dx, x->r, (product_opts){.keep = 1});
  }
  product(x->t4, x->w, x->ds, (product_opts){0});
  if (p->fitted) product(x->t4, x->y, x->dr, (product_opts){.keep = 1});
  for (int64_t i = 0; i < x->q.rows; i++) {
    const real *q = row(x->q, i), *k = row(x->k, i), *t1 = row(x->t1, i), *t2 = row(x->t2, i),
               *t3 = row(x->t3, i), *t4 = row(x->t4, i);
    real *dq = row(x->dq, i), *dk = row(x->dk, i);
    vec am = broadcast(x->am[i]), r1 = broadcast(x->r1[i]), tail = broadcast(x->tail[i]),
        own = broadcast(x->ddiagonal[i]), reads = broadcast(0), writes = broadcast(0);
    for (int64_t j = 0; j < D; j += LANES) {
      vec kj = load(k + j), from_end = tail * load(t4 + j);
      vec to_q = multiply_add(own, kj, am * load(t1 + j));
      vec to_k = multiply_add(own, load(q + j), from_end);
      if (p->fitted) to_q = multiply_add(r1, load(t2 + j), to_q);
      if (p->reads) {
        vec from_start = am * load(t3 + j);
        to_k += from_start;
        reads = multiply_add(kj, from_start, reads);
      }
      writes = multiply_add(kj, from_end, writes);
      store(dq + j, to_q);
      store(dk + j, to_k);
    }
    x->reads[i] += sum_lanes(reads);
    x->writes[i] = sum_lanes(writes);
  }
  product(x->dq, x->ms, x->k, (product_opts){.part = BELOW, .keep = 1});
  product(x->dk, turned(x->ms), x->q, (product_opts){.part = ABOVE, .keep = 1});
  if (p->reads) {
    product(x->dk, x->dn, x->k, (product_opts){.part = BELOW, .keep = 1});
    product(x->dk, turned(x->dn), x->k, (product_opts){.part = ABOVE, .keep = 1});
  }
  if (!p->in->g) return;
  real through = sum_products(x->ds, x->s), before = 0, after = 0;
  if (p->fitted) through += sum_products(x->dr, x->r);
  for (int64_t i = 0; i < x->q.rows; i++) {
    x->dalpha[i] += whole * through + before;
    before += x->writes[i];
  }
  for (int64_t i = x->q.rows - 1; i >= 0; i--) {
    x->dalpha[i] += after;
    after += x->reads[i];
  }
}

/* Gradients of the states at the chunk's start. */
static void backward_of_states(const passage *p, workspace *x, real whole) {
  scale_rows(x->t1, x->q, x->am);
  scale_rows(x->t2, x->k, x->am);
  product(x->ds, turned(x->dy), x->t1, (product_opts){.keep = whole});
  if (p->reads) product(x->ds, turned(x->dz), x->t2, (product_opts){.keep = 1});
  if (!p->fitted) return;
  product(x->dr, turned(x->dyr), x->t1, (product_opts){.keep = whole});
  if (p->delta) product(x->dr, turned(x->dx), x->t2, (product_opts){.keep = 1});
}

static void chunk_backward_one(const passage *p, workspace *x, const rilli_recur_bwd *out) {
  const rilli_recur_in *in = p->in;
  read_state(p, out->states, saved_index(p, 0), x->s);
  transpose(x->st, x->s);
  if (p->fitted) {
    read_state(p, out->states, saved_index(p, 1), x->r);
    transpose(x->rt, x->r);
  }
  real whole = chunk_core(p, x);
  output_factors(p, x);
  read_operand(p, out->do_, in->V, x->go);
  for (int64_t i = 0; i < x->q.rows; i++) x->dalpha[i] = x->reads[i] = x->dgamma[i] = 0;
  if (p->fitted) {
    backward_of_r(p, x);
  } else if (p->residual) {
    backward_of_stateless(p, x);
  }
  if (p->residual)
    for (int64_t i = 0; i < x->du.rows; i++)
      for (int64_t j = 0; j < x->du.columns; j += LANES)
        store(row(x->du, i) + j, load(row(x->du, i) + j) * load(row(x->slope, i) + j));
  backward_of_s(p, x);
  backward_of_pairs(p, x);
  backward_of_keys(p, x, whole);
  backward_of_states(p, x, whole);
  bool tied = p->residual && in->rule->gamma == RILL_GAMMA_TIED;
  for (int64_t i = 0; tied && i < p->tokens; i++) x->dbeta[i] += x->dgamma[i];
  write_operand(p, out->dq, in->D, x->dq);
  write_operand(p, out->dk, in->D, x->dk);
  write_operand(p, out->dv, in->V, x->tmp);
  write_gate(p, out->dg, x->dalpha);
  write_gate(p, out->dbeta, x->dbeta);
  if (!tied) write_gate(p, out->dgamma, x->dgamma);
}

static void chunk_backward(const rilli_recur_in *in, const rilli_recur_bwd *out, int64_t sequence,
                           int64_t head, char *memory) {
  passage p = passage_of(in, sequence, head);
  workspace x;
  arena a = {.memory = memory};
  lay_out(&x, &a, in, 0, true);
  read_state(&p, out->ds, state_index(&p), x.ds);
  if (p.fitted) read_state(&p, out->dr, state_index(&p), x.dr);
  for (int64_t i = passage_chunks(&p) - 1; i >= 0; i--) {
    passage_turn(&p, i);
    a.used = 0;
    lay_out(&x, &a, in, p.tokens, true);
    chunk_backward_one(&p, &x, out);
  }
  if (out->ds0) write_state(&p, out->ds0, state_index(&p), x.ds);
  if (p.fitted && out->dr0) write_state(&p, out->dr0, state_index(&p), x.dr);
}

#endif /* RILL_OPS_RECURRENCE_CHUNK_BACKWARD_IMPL_H_ */
