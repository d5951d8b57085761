/* Scratch memory of one thread of the chunked form.
 *
 * The first matrices outlive a chunk (states and their gradients); the rest belongs to the chunk at
 * hand and is laid out anew for each, since the last chunk of a sequence may be short. All sizes
 * are padded to PAD; the padding is zero in every operand, hence in everything computed from them:
 * padding tokens have q = k = v = 0, alpha = 1, beta = gamma = 0 and change nothing. */
#ifndef RILL_OPS_RECURRENCE_WORKSPACE_IMPL_H_
#define RILL_OPS_RECURRENCE_WORKSPACE_IMPL_H_

#include "ops/recurrence/product_impl.h"
#include "tensor/checked.h"

typedef struct {
  /* Kept from chunk to chunk. */
  matrix s, r;     /* [V, D] states at the start of the chunk (forward: s is scratch) */
  matrix ds, dr;   /* [V, D] gradients of the states at its end (backward) */
  matrix st, rt;   /* [D, V] states, transposed */
  matrix dst, drt; /* [D, V] gradients, transposed (backward) */

  /* Operands, zero-padded. */
  matrix q, k, v, kt;         /* [C, D] [C, D] [C, V] [D, C] */
  real *alpha, *beta, *gamma; /* [C] */
  real *am, *tail;            /* [C] decay from the start to before, and from after to the end */
  real *d;                    /* [C] alpha for the delta rule, else 0 */
  real *s1, *s2, *r1, *r2;    /* [C] factors of the four products of the output */
  real *diagonal;             /* [C] q_i . k_i */
  matrix decay;               /* [C, C] decay between j and i, both excluded; 0 for j >= i */

  matrix n, b;       /* [C, C] (k_i . k_j) and (q_i . k_j), times decay */
  matrix z, e, w;    /* [C, V] read, error and write of S */
  matrix res, slope; /* [C, V] clipped residual, derivative of the clip */
  matrix x, f, y;    /* [C, V] read, error and write of R */
  matrix o, tmp;     /* [C, V] */

  /* Decay per channel (channel_impl.h). */
  matrix alphas, start,
      block;                /* [C, D] alpha; its products from the chunk's and the block's start */
  matrix fade, qd, kd;      /* [C, D] decay after a key so far, and queries and keys with it */
  real *whole;              /* [D] decay of the chunk */
  matrix pair, dg, between; /* [C, D] (backward) */

  /* Backward. */
  matrix go, dy, dyr;            /* [C, V] gradient of o, and of what o reads from S and R */
  matrix dw, dz, df, dx, du;     /* [C, V] */
  matrix wt, yt;                 /* [V, C] w and y, transposed */
  matrix ms, mr, dn;             /* [C, C] */
  matrix t1, t2, t3, t4, dq, dk; /* [C, D] */
  real *dalpha, *dbeta, *dgamma, *ddiagonal, *reads, *writes, *column; /* [C] */
} workspace;

typedef struct {
  char *memory; /* NULL: only measure */
  size_t used;
  bool overflow;
} arena;

static real *arena_take(arena *a, int64_t rows, int64_t columns) {
  size_t bytes = 0, end = 0;
  if (!rilli_mul_size((size_t)rows, (size_t)columns, &bytes) ||
      !rilli_mul_size(bytes, sizeof(real), &bytes) || !rilli_add_size(a->used, bytes, &end) ||
      !rilli_add_size(end, 63, &end)) {
    a->overflow = true;
    return NULL;
  }
  real *at = a->memory ? (real *)(void *)(a->memory + a->used) : NULL;
  a->used = end & ~(size_t)63;
  return at;
}

static matrix arena_matrix(arena *a, int64_t rows, int64_t columns) {
  return (matrix){arena_take(a, rows, columns), rows, columns, columns, 1};
}

static int64_t padded(int64_t n) { return (n + PAD - 1) / PAD * PAD; }

static void lay_out_backward(workspace *x, arena *a, int64_t C, int64_t D, int64_t V) {
  matrix *values[] = {&x->go, &x->dy, &x->dyr, &x->dw, &x->dz, &x->df, &x->dx, &x->du};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) *values[i] = arena_matrix(a, C, V);
  matrix *keys[] = {&x->t1, &x->t2, &x->t3, &x->t4, &x->dq, &x->dk};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) *keys[i] = arena_matrix(a, C, D);
  x->wt = arena_matrix(a, V, C), x->yt = arena_matrix(a, V, C);
  x->ms = arena_matrix(a, C, C), x->mr = arena_matrix(a, C, C), x->dn = arena_matrix(a, C, C);
  real **tokens[] = {&x->dalpha, &x->dbeta,  &x->dgamma, &x->ddiagonal,
                     &x->reads,  &x->writes, &x->column};
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) *tokens[i] = arena_take(a, 1, C);
}

/* Lays out scratch for a chunk of `tokens` tokens. */
static void lay_out(workspace *x, arena *a, const rilli_recur_in *in, int64_t tokens,
                    bool backward) {
  int64_t C = padded(tokens), D = padded(in->D), V = padded(in->V);
  x->st = arena_matrix(a, D, V), x->rt = arena_matrix(a, D, V);
  x->s = arena_matrix(a, V, D);
  if (backward) {
    x->r = arena_matrix(a, V, D);
    x->ds = arena_matrix(a, V, D), x->dr = arena_matrix(a, V, D);
    x->dst = arena_matrix(a, D, V), x->drt = arena_matrix(a, D, V);
  }
  x->q = arena_matrix(a, C, D), x->k = arena_matrix(a, C, D), x->v = arena_matrix(a, C, V);
  x->kt = arena_matrix(a, D, C);
  real **tokens_of[] = {&x->alpha, &x->beta, &x->gamma, &x->am, &x->tail,    &x->d,
                        &x->s1,    &x->s2,   &x->r1,    &x->r2, &x->diagonal};
  for (size_t i = 0; i < sizeof tokens_of / sizeof *tokens_of; i++)
    *tokens_of[i] = arena_take(a, 1, C);
  x->decay = arena_matrix(a, C, C), x->n = arena_matrix(a, C, C), x->b = arena_matrix(a, C, C);
  matrix *values[] = {&x->z, &x->e, &x->w, &x->res, &x->slope, &x->x, &x->f, &x->y, &x->o, &x->tmp};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) *values[i] = arena_matrix(a, C, V);
  if (backward) lay_out_backward(x, a, C, D, V);
  if (in->rule->decay != RILL_DECAY_CHANNEL) return;
  matrix *channels[] = {&x->alphas, &x->start, &x->block, &x->fade,   &x->qd,
                        &x->kd,     &x->pair,  &x->dg,    &x->between};
  for (size_t i = 0; i < (backward ? 9 : 6); i++) *channels[i] = arena_matrix(a, C, D);
  x->whole = arena_take(a, 1, D);
}

/* Bytes that lay_out needs for the longest chunk; 0 when they overflow. */
static size_t workspace_bytes(const rilli_recur_in *in, int64_t longest, bool backward) {
  workspace x;
  arena a = {0};
  lay_out(&x, &a, in, longest, backward);
  return a.overflow ? 0 : a.used + 64;
}

#endif /* RILL_OPS_RECURRENCE_WORKSPACE_IMPL_H_ */
