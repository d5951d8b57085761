/* Decay per channel (gated linear attention): S_t = S_{t-1} diag(alpha_t) + beta_t v_t k_t^T, and
 * o_t = S_t q_t.
 *
 * The pair (i, j) is sum over d of q_id k_jd decay_d(j, i], so the decay no longer leaves the sum.
 * Between blocks of PAD tokens it splits at the start of the later block: queries carry the decay
 * from there to i, keys the decay from j to there, both products of alphas and at most 1; then the
 * pairs are an ordinary product. Inside a block they are summed one by one. No decay is ever
 * divided by, so closed gates are exact here too. */
#ifndef RILL_OPS_RECURRENCE_CHANNEL_IMPL_H_
#define RILL_OPS_RECURRENCE_CHANNEL_IMPL_H_

#include "ops/recurrence/chunk_forward_impl.h"

/* Rows [i, i + rows) and columns [j, j + columns) of a. */
RILLI_INLINE matrix part_of(matrix a, int64_t i, int64_t rows, int64_t j, int64_t columns) {
  return (matrix){a.at + i * a.down + j * a.right, rows, columns, a.down, a.right};
}

/* y *= x, faded */
RILLI_INLINE void fade_row(int64_t n, real *y, const real *x) {
  for (int64_t j = 0; j < n; j += LANES) store(y + j, faded(load(y + j) * load(x + j)));
}
/* z = x y */
RILLI_INLINE void multiply_row(int64_t n, real *z, const real *x, const real *y) {
  for (int64_t j = 0; j < n; j += LANES) store(z + j, load(x + j) * load(y + j));
}
RILLI_INLINE void copy_row(int64_t n, real *y, const real *x) {
  for (int64_t j = 0; j < n; j += LANES) store(y + j, load(x + j));
}
RILLI_INLINE void fill_row(int64_t n, real *y, real value) {
  for (int64_t j = 0; j < n; j += LANES) store(y + j, broadcast(value));
}

/* alphas, and their products up to and with each token from the chunk's start and from its block's
 * start; qd = q with the latter; whole. */
static void channel_decays(const passage *p, workspace *x) {
  const rilli_recur_in *in = p->in;
  int64_t D = x->q.columns;
  fill_row(D, x->whole, 1);
  for (int64_t i = 0; i < x->q.rows; i++) {
    real *alpha = row(x->alphas, i), *block = row(x->block, i);
    int64_t n = i < p->tokens ? in->D : 0;
    if (n > 0)
      memcpy(alpha, (const real *)in->g + ((p->first + i) * in->H + p->head) * in->D,
             (size_t)n * sizeof *alpha);
    for (int64_t j = n; j < D; j++) alpha[j] = 0;
    for (int64_t j = 0; j < D; j += LANES) store(alpha + j, exp_faded(load(alpha + j)));
    fade_row(D, x->whole, alpha);
    copy_row(D, row(x->start, i), x->whole);
    copy_row(D, block, alpha);
    if (i % PAD != 0) fade_row(D, block, row(x->block, i - 1));
    multiply_row(D, row(x->qd, i), row(x->q, i), block);
  }
}

/* Pairs within the block at `at`; leaves the decay to the block's end after each of its keys in
 * fade. */
static void channel_block(workspace *x, int64_t at) {
  int64_t D = x->q.columns;
  for (int64_t i = at; i < at + PAD; i++) {
    for (int64_t j = at; j < i; j++) {
      const real *q = row(x->q, i), *k = row(x->k, j), *alpha = row(x->alphas, i);
      real *fade = row(x->fade, j);
      vec sum = broadcast(0);
      for (int64_t d = 0; d < D; d += LANES) {
        vec decay = faded(load(fade + d) * load(alpha + d));
        store(fade + d, decay);
        sum = multiply_add(load(q + d) * load(k + d), decay, sum);
      }
      row(x->b, i)[j] = sum_lanes(sum);
    }
    fill_row(D, row(x->fade, i), 1);
  }
}

/* Carries the decay after the keys before `at` on through the block at `at`. */
static void channel_fade(workspace *x, int64_t at) {
  for (int64_t j = 0; j < at; j++)
    fade_row(x->q.columns, row(x->fade, j), row(x->block, at + PAD - 1));
}

/* kd = k with the decay after it so far, rows [0, end). */
static void channel_keys(workspace *x, int64_t end) {
  for (int64_t j = 0; j < end; j++)
    multiply_row(x->q.columns, row(x->kd, j), row(x->k, j), row(x->fade, j));
}

/* Operands, decays, w = beta v, and b (strictly lower). At the end kd is k with the decay to the
 * chunk's end. */
static void channel_core(const passage *p, workspace *x) {
  const rilli_recur_in *in = p->in;
  int64_t C = x->q.rows, D = x->q.columns;
  read_operand(p, in->q, in->D, x->q);
  read_operand(p, in->k, in->D, x->k);
  read_operand(p, in->v, in->V, x->v);
  for (int64_t i = 0; i < C; i++) {
    x->beta[i] = i < p->tokens ? read_gate(in->beta, (p->first + i) * in->H + p->head) : 0;
    x->diagonal[i] = dot(D, row(x->q, i), row(x->k, i));
  }
  scale_rows(x->w, x->v, x->beta);
  channel_decays(p, x);
  for (int64_t at = 0; at < C; at += PAD) {
    channel_keys(x, at);
    transpose(x->kt, part_of(x->kd, 0, at, 0, D));
    product(part_of(x->b, at, PAD, 0, at), part_of(x->qd, at, PAD, 0, D),
            part_of(x->kt, 0, D, 0, at), (product_opts){0});
    channel_block(x, at);
    channel_fade(x, at);
  }
  channel_keys(x, C);
}

static void channel_forward(const rilli_recur_in *in, const rilli_recur_fwd *out, int64_t sequence,
                            int64_t head, char *memory) {
  passage p = passage_of(in, sequence, head);
  workspace x;
  arena a = {.memory = memory};
  lay_out(&x, &a, in, 0, false);
  read_state_turned(&p, &x, in->s0, state_index(&p), x.st);
  int64_t chunks = passage_chunks(&p);
  for (int64_t i = 0; i < chunks; i++) {
    passage_turn(&p, i);
    a.used = 0;
    lay_out(&x, &a, in, p.tokens, false);
    if (out->states) write_state_turned(&p, &x, out->states, saved_index(&p, 0), x.st);
    channel_core(&p, &x);
    for (int64_t t = 0; t < x.q.rows; t++)
      multiply_row(x.q.columns, row(x.qd, t), row(x.q, t), row(x.start, t));
    product(x.o, x.qd, x.st, (product_opts){0});
    product(x.o, x.b, x.w, (product_opts){.part = BELOW, .keep = 1});
    for (int64_t t = 0; t < x.o.rows; t++)
      add_row(x.o.columns, row(x.o, t), x.diagonal[t], row(x.w, t));
    write_operand(&p, out->o, in->V, x.o);
    scale_rows(x.st, x.st, x.whole);
    product(x.st, turned(x.kd), x.w, (product_opts){.keep = 1});
  }
  write_state_turned(&p, &x, out->s, state_index(&p), x.st);
}

#endif /* RILL_OPS_RECURRENCE_CHANNEL_IMPL_H_ */
