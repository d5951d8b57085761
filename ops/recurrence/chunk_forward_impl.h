/* The chunked forward of one sequence and head. S and R are kept transposed, [D, V], so that every
 * product has contiguous rows on its right. */
#ifndef RILL_OPS_RECURRENCE_CHUNK_FORWARD_IMPL_H_
#define RILL_OPS_RECURRENCE_CHUNK_FORWARD_IMPL_H_

#include "ops/recurrence/chunk_core_impl.h"

static void read_state_turned(const passage *p, workspace *x, const void *states, int64_t index,
                              matrix to) {
  read_state(p, states, index, x->s);
  transpose(to, x->s);
}

static void write_state_turned(const passage *p, workspace *x, void *states, int64_t index,
                               matrix from) {
  transpose(x->s, from);
  write_state(p, states, index, x->s);
}

static void chunk_output(const passage *p, workspace *x) {
  output_factors(p, x);
  product(x->o, x->q, x->st, (product_opts){.scale = x->s1});
  product(x->o, x->b, x->w, (product_opts){.part = BELOW, .keep = 1, .scale = x->s2});
  if (p->fitted) {
    product(x->o, x->q, x->rt, (product_opts){.keep = 1, .scale = x->r1});
    product(x->o, x->b, x->y, (product_opts){.part = BELOW, .keep = 1, .scale = x->r2});
  }
  matrix own = own_write(p, x);
  for (int64_t i = 0; i < x->o.rows; i++)
    add_row(x->o.columns, row(x->o, i), own_factor(p, x, i), row(own, i));
}

/* state = whole state + k^T (tail writes) */
static void advance_state(const workspace *x, matrix state, real whole, matrix writes) {
  scale_rows(x->tmp, writes, x->tail);
  product(state, turned(x->k), x->tmp, (product_opts){.keep = whole});
}

static void chunk_forward(const rilli_recur_in *in, const rilli_recur_fwd *out, int64_t sequence,
                          int64_t head, char *memory) {
  passage p = passage_of(in, sequence, head);
  workspace x;
  arena a = {.memory = memory};
  lay_out(&x, &a, in, 0, false);
  read_state_turned(&p, &x, in->s0, state_index(&p), x.st);
  if (p.fitted) read_state_turned(&p, &x, in->r0, state_index(&p), x.rt);
  int64_t chunks = passage_chunks(&p);
  for (int64_t i = 0; i < chunks; i++) {
    passage_turn(&p, i);
    a.used = 0;
    lay_out(&x, &a, in, p.tokens, false);
    if (out->states) {
      write_state_turned(&p, &x, out->states, saved_index(&p, 0), x.st);
      if (p.fitted) write_state_turned(&p, &x, out->states, saved_index(&p, 1), x.rt);
    }
    real whole = chunk_core(&p, &x);
    chunk_output(&p, &x);
    write_operand(&p, out->o, in->V, x.o);
    advance_state(&x, x.st, whole, x.w);
    if (p.fitted) advance_state(&x, x.rt, whole, x.y);
  }
  write_state_turned(&p, &x, out->s, state_index(&p), x.st);
  if (p.fitted) write_state_turned(&p, &x, out->r, state_index(&p), x.rt);
}

#endif /* RILL_OPS_RECURRENCE_CHUNK_FORWARD_IMPL_H_ */
