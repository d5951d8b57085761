/* The backward of the decay per channel.
 *
 * With M_ij = go_i . w_j the gradient of pair (i, j):
 *     dq_i = start_i (go_i S_0) + sum_{j <= i} M_ij decay(j, i] k_j
 *     dk_j = tail_j (w_j dS)    + sum_{i >= j} M_ij decay(j, i] q_i
 *     dw   = b^T go + kd dS^T,    dS_0 = whole dS + go^T (start q)
 * d log alpha_i is, channel by channel, the sum of what crosses token i: pairs with j < i <= l,
 * reads of S_0 at or after i, writes before i that reach the end, and S_0 itself. Pairs are summed
 * where they lie: inside a block one by one, between blocks as sums that start or end inside one of
 * the two blocks, or pass whole blocks between them. */
#ifndef RILL_OPS_RECURRENCE_CHANNEL_BACKWARD_IMPL_H_
#define RILL_OPS_RECURRENCE_CHANNEL_BACKWARD_IMPL_H_

#include "ops/recurrence/channel_impl.h"
#include "ops/recurrence/chunk_backward_impl.h"

/* Pairs inside the block at `at`: into dq, dk and dg. */
static void channel_unpair_block(workspace *x, int64_t at) {
  for (int64_t d = 0; d < x->q.columns; d += LANES) {
    vec crossing[PAD]; /* of token l, with all keys up to j */
    for (int l = 0; l < PAD; l++) crossing[l] = broadcast(0);
    for (int j = 0; j + 1 < PAD; j++) {
      vec decay = broadcast(1), k = load(row(x->k, at + j) + d), dk = broadcast(0),
          all = broadcast(0);
      for (int l = j + 1; l < PAD; l++) {
        decay = faded(decay * load(row(x->alphas, at + l) + d));
        vec m = broadcast(row(x->ms, at + l)[at + j]) * decay, mk = m * k,
            q = load(row(x->q, at + l) + d);
        real *dq = row(x->dq, at + l) + d;
        store(dq, load(dq) + mk);
        dk = multiply_add(m, q, dk);
        crossing[l] = multiply_add(mk, q, crossing[l]);
        all += crossing[l];
      }
      real *to = row(x->dk, at + j) + d, *dg = row(x->dg, at + j + 1) + d;
      store(to, load(to) + dk);
      store(dg, load(dg) + all);
    }
  }
}

/* Pairs of queries in the block at `later` with keys in the block at `earlier`: into dq and dk, and
 * their crossings into between, dg of the later block (through t1) and of the earlier (t2). */
static void channel_unpair_blocks(workspace *x, int64_t later, int64_t earlier) {
  int64_t D = x->q.columns;
  matrix m = part_of(x->ms, later, PAD, earlier, PAD), pair = part_of(x->pair, 0, PAD, 0, D);
  real *total = row(x->pair, 0);
  product(pair, m, part_of(x->kd, earlier, PAD, 0, D), (product_opts){0});
  for (int64_t d = 0; d < D; d += LANES) {
    vec sum = broadcast(0);
    for (int64_t i = 0; i < PAD; i++) {
      vec g = load(row(pair, i) + d);
      real *dq = row(x->dq, later + i) + d, *t1 = row(x->t1, later + i) + d;
      vec crossing = g * load(row(x->qd, later + i) + d);
      store(dq, multiply_add(g, load(row(x->block, later + i) + d), load(dq)));
      store(t1, load(t1) + crossing);
      sum += crossing;
    }
    store(total + d, sum);
  }
  for (int64_t block = earlier + PAD; block < later; block += PAD)
    add_row(D, row(x->between, block), 1, total);
  product(pair, turned(m), part_of(x->qd, later, PAD, 0, D), (product_opts){0});
  for (int64_t i = 0; i < PAD; i++) {
    real *dk = row(x->dk, earlier + i), *t2 = row(x->t2, earlier + i);
    for (int64_t d = 0; d < D; d += LANES) {
      vec g = load(row(pair, i) + d) * load(row(x->fade, earlier + i) + d);
      store(dk + d, load(dk + d) + g);
      store(t2 + d, multiply_add(g, load(row(x->k, earlier + i) + d), load(t2 + d)));
    }
  }
}

static void channel_unpair(workspace *x) {
  int64_t C = x->q.rows, D = x->q.columns;
  matrix *zeroed[] = {&x->dq, &x->dk, &x->dg, &x->t1, &x->t2, &x->between};
  for (size_t i = 0; i < sizeof zeroed / sizeof *zeroed; i++)
    memset(zeroed[i]->at, 0, (size_t)(C * D) * sizeof(real));
  for (int64_t at = 0; at < C; at += PAD) {
    channel_keys(x, at);
    for (int64_t earlier = 0; earlier < at; earlier += PAD) channel_unpair_blocks(x, at, earlier);
    channel_unpair_block(x, at);
    for (int64_t i = at; i < at + PAD; i++) { /* the decay to the block's end */
      fill_row(D, row(x->fade, i), 1);
      for (int64_t j = at; j < i; j++) fade_row(D, row(x->fade, j), row(x->alphas, i));
    }
    channel_fade(x, at);
  }
  channel_keys(x, C);
}

/* Sums over tokens that start or end in a block or the chunk: t1 and t2 are crossings that reach
 * from token i back out of its block and forth out of it, t3 and t4 those that reach out of the
 * chunk. */
static void channel_sum_crossings(workspace *x, const real *through) {
  int64_t C = x->q.rows;
  for (int64_t d = 0; d < x->q.columns; d += LANES) {
    vec block = broadcast(0), chunk = broadcast(0);
    for (int64_t i = 0; i < C; i++) {
      if (i % PAD == 0) block = broadcast(0);
      real *dg = row(x->dg, i) + d;
      store(dg, load(dg) + (block + chunk) + load(through + d) +
                    load(row(x->between, i / PAD * PAD) + d));
      block += load(row(x->t2, i) + d);
      chunk += load(row(x->t4, i) + d);
    }
    chunk = broadcast(0);
    for (int64_t i = C - 1; i >= 0; i--) {
      if (i % PAD == PAD - 1) block = broadcast(0);
      block += load(row(x->t1, i) + d);
      chunk += load(row(x->t3, i) + d);
      real *dg = row(x->dg, i) + d;
      store(dg, load(dg) + (block + chunk));
    }
  }
}

/* What queries read from S_0, keys write to the end, and tokens have with themselves. */
static void channel_ends(workspace *x) {
  int64_t D = x->q.columns;
  product(x->t3, x->go, x->s, (product_opts){0});
  product(x->t4, x->w, x->ds, (product_opts){0});
  for (int64_t i = 0; i < x->q.rows; i++) {
    vec own = broadcast(dot(x->v.columns, row(x->go, i), row(x->w, i)));
    for (int64_t d = 0; d < D; d += LANES) {
      vec q = load(row(x->q, i) + d), k = load(row(x->k, i) + d);
      vec from_start = load(row(x->t3, i) + d) * load(row(x->start, i) + d);
      vec to_end = load(row(x->t4, i) + d) * load(row(x->fade, i) + d);
      real *dq = row(x->dq, i) + d, *dk = row(x->dk, i) + d;
      store(dq, load(dq) + multiply_add(own, k, from_start));
      store(dk, load(dk) + multiply_add(own, q, to_end));
      store(row(x->t3, i) + d, q * from_start);
      store(row(x->t4, i) + d, k * to_end);
    }
  }
}

static void channel_backward_one(const passage *p, workspace *x, const rilli_recur_bwd *out) {
  const rilli_recur_in *in = p->in;
  int64_t D = x->q.columns, V = x->v.columns;
  read_state(p, out->states, saved_index(p, 0), x->s);
  channel_core(p, x);
  read_operand(p, out->do_, in->V, x->go);
  transpose(x->dst, x->ds);
  product(x->dw, x->kd, x->dst, (product_opts){0});
  product(x->dw, turned(x->b), x->go, (product_opts){.part = ABOVE, .keep = 1});
  for (int64_t i = 0; i < x->dw.rows; i++) {
    add_row(V, row(x->dw, i), x->diagonal[i], row(x->go, i));
    x->dbeta[i] = dot(V, row(x->v, i), row(x->dw, i));
  }
  scale_rows(x->tmp, x->dw, x->beta);
  transpose(x->wt, x->w);
  product(x->ms, x->go, x->wt, (product_opts){.part = TO_LOWER});
  channel_unpair(x);
  channel_ends(x);
  real *through = row(x->pair, 0);
  fill_row(D, through, 0);
  for (int64_t i = 0; i < V; i++)
    for (int64_t d = 0; d < D; d += LANES)
      store(through + d,
            multiply_add(load(row(x->ds, i) + d), load(row(x->s, i) + d), load(through + d)));
  multiply_row(D, through, through, x->whole);
  channel_sum_crossings(x, through);
  for (int64_t i = 0; i < x->q.rows; i++)
    multiply_row(D, row(x->qd, i), row(x->q, i), row(x->start, i));
  for (int64_t i = 0; i < V; i++) multiply_row(D, row(x->ds, i), row(x->ds, i), x->whole);
  product(x->ds, turned(x->go), x->qd, (product_opts){.keep = 1});
  write_operand(p, out->dq, in->D, x->dq);
  write_operand(p, out->dk, in->D, x->dk);
  write_operand(p, out->dv, in->V, x->tmp);
  write_gate(p, out->dbeta, x->dbeta);
  for (int64_t i = 0; out->dg && in->D > 0 && i < p->tokens; i++)
    memcpy((real *)out->dg + ((p->first + i) * in->H + p->head) * in->D, row(x->dg, i),
           (size_t)in->D * sizeof(real));
}

static void channel_backward(const rilli_recur_in *in, const rilli_recur_bwd *out, int64_t sequence,
                             int64_t head, char *memory) {
  passage p = passage_of(in, sequence, head);
  workspace x;
  arena a = {.memory = memory};
  lay_out(&x, &a, in, 0, true);
  read_state(&p, out->ds, state_index(&p), x.ds);
  for (int64_t i = passage_chunks(&p) - 1; i >= 0; i--) {
    passage_turn(&p, i);
    a.used = 0;
    lay_out(&x, &a, in, p.tokens, true);
    channel_backward_one(&p, &x, out);
  }
  if (out->ds0) write_state(&p, out->ds0, state_index(&p), x.ds);
}

#endif /* RILL_OPS_RECURRENCE_CHANNEL_BACKWARD_IMPL_H_ */
