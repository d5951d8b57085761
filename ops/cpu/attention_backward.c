/* Attention backward: scores are computed again from q, k and lse, block by block.
 *
 *   delta = sum(do o) - dlse                     per query
 *   for each block of keys, each head of its group, each block of queries that sees it:
 *     p = e^(scale q k^T - lse)                  [m, n]
 *     dv += p^T do
 *     ds = p (do v^T - delta)
 *     dk += scale ds^T q;  dq += scale ds k
 *
 * A task owns a stripe (every P-th block) of the keys of one group, so dk and dv need no one else.
 * Each stripe adds to a dq of its own; these are summed in order at the end. P depends on sizes
 * only and is 1 as soon as there are groups enough to share out. */
#include "ops/cpu/attention_impl.h"

enum { TASKS_WANTED = 8 };

typedef struct {
  const rilli_attention *a;
  const rilli_attention_gradients *g;
  const rilli_row_math *math;
  double *delta; /* [B, H, T] */
  char *partial; /* [stripes, B, H, T, D] reals: dq */
  int64_t stripes;
  size_t scores, keys, queries; /* bytes of one buffer of scores, of keys, of staged queries */
} job;

/* Work of one thread: where its buffers are. */
typedef struct {
  char *s, *dp, *dk, *dv, *k, *v, *q, *do_;
} buffers;

static buffers lay_out(const job *j, char *scratch) {
  buffers w;
  w.s = scratch;
  w.dp = w.s + j->scores;
  w.dk = w.dp + j->scores;
  w.dv = w.dk + j->keys;
  w.k = w.dv + j->keys;
  w.v = w.k + j->keys;
  w.q = w.v + j->keys;
  w.do_ = w.q + j->queries;
  return w;
}

/* Row (b, t) of o and do, all heads: delta of each. */
static void delta_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  const rilli_attention *a = j->a;
  rill_dtype d = a->dtype;
  size_t row = rilli_round64((size_t)a->D * rilli_real_size(d));
  (void)task;
  for (int64_t i = begin; i < end; i++) {
    int64_t h = i % a->H, t = i / a->H % a->T, b = i / a->H / a->T;
    int64_t to = (b * a->H + h) * a->T + t;
    double delta = 0;
    if (j->g->do_)
      delta = j->math->dot(rilli_row_load(d, j->g->o, i * a->D, a->D, scratch),
                           rilli_row_load(d, j->g->do_, i * a->D, a->D, scratch + row), a->D);
    if (j->g->dlse) delta -= real_at(rilli_real_of(d), j->g->dlse, to);
    j->delta[to] = delta;
  }
}

/* Scores and their gradients in place of s and dp; hidden keys get 0. */
static void backward_rows(const job *j, const buffers *w, int64_t head, int64_t t0, int64_t m,
                          int64_t k0, int64_t n) {
  const rilli_attention *a = j->a;
  size_t size = rilli_real_size(a->dtype);
  for (int64_t i = 0; i < m; i++) {
    char *s = w->s + (size_t)(i * n) * size, *dp = w->dp + (size_t)(i * n) * size;
    int64_t seen = visible(a, t0 + i, k0, n), row = head * a->T + t0 + i;
    size_t hidden = (size_t)(n - seen) * size;
    j->math->attend_backward(s, dp, seen, real_at(rilli_real_of(a->dtype), j->g->lse, row),
                             j->delta[row]);
    memset(s + (size_t)seen * size, 0, hidden);
    memset(dp + (size_t)seen * size, 0, hidden);
  }
}

/* Block of queries t0 of head h against the keys in w: adds to dk, dv and the stripe's dq. */
static void run_pair(const job *j, const buffers *w, int64_t stripe, int64_t b, int64_t h,
                     int64_t t0, int64_t k0, int64_t n, rilli_blas_matrix k, rilli_blas_matrix v) {
  const rilli_attention *a = j->a;
  rill_dtype d = a->dtype, real = rilli_real_of(d);
  int64_t m = least(BLOCK_Q, a->T - t0), D = a->D, apart = a->H * D, head = b * a->H + h;
  int64_t at = ((b * a->T + t0) * a->H + h) * D;
  char *dq =
      j->partial + (size_t)(((stripe * a->B * a->H + head) * a->T + t0) * D) * rilli_real_size(d);
  rilli_blas_matrix q = block_of(d, a->q, at, apart, m, D, w->q);
  rilli_blas_matrix s = {w->s, (int)n, false}, ds = {w->dp, (int)n, false};
  rilli_gemm_here(real, (int)m, (int)n, (int)D, a->scale, q, flipped(k), 0, w->s, (int)n);
  if (j->g->do_) {
    rilli_blas_matrix do_ = block_of(d, j->g->do_, at, apart, m, D, w->do_);
    rilli_gemm_here(real, (int)m, (int)n, (int)D, 1, do_, flipped(v), 0, w->dp, (int)n);
    backward_rows(j, w, head, t0, m, k0, n);
    rilli_gemm_here(real, (int)n, (int)D, (int)m, 1, flipped(s), do_, 1, w->dv, (int)D);
  } else {
    memset(w->dp, 0, (size_t)(m * n) * rilli_real_size(d));
    backward_rows(j, w, head, t0, m, k0, n);
  }
  rilli_gemm_here(real, (int)n, (int)D, (int)m, a->scale, flipped(ds), q, 1, w->dk, (int)D);
  rilli_gemm_here(real, (int)m, (int)D, (int)n, a->scale, ds, k, 1, dq, (int)D);
}

static void run_stripe(const job *j, int64_t task, char *scratch) {
  const rilli_attention *a = j->a;
  rill_dtype d = a->dtype;
  size_t size = rilli_real_size(d), head = (size_t)(a->T * a->D) * size;
  int64_t stripe = task % j->stripes, group = task / j->stripes, R = a->H / a->G;
  int64_t b = group / a->G, g = group % a->G, D = a->D, apart = a->G * D;
  buffers w = lay_out(j, scratch);
  memset(j->partial + (size_t)(stripe * a->B * a->H + b * a->H + g * R) * head, 0,
         (size_t)R * head);
  for (int64_t k0 = stripe * BLOCK_K; k0 < a->S; k0 += j->stripes * BLOCK_K) {
    int64_t n = least(BLOCK_K, a->S - k0), at = ((b * a->S + k0) * a->G + g) * D;
    int64_t first = a->causal && k0 > a->S - a->T ? k0 - (a->S - a->T) : 0;
    rilli_blas_matrix k = block_of(d, a->k, at, apart, n, D, w.k);
    rilli_blas_matrix v = block_of(d, a->v, at, apart, n, D, w.v);
    memset(w.dk, 0, (size_t)(n * D) * size);
    memset(w.dv, 0, (size_t)(n * D) * size);
    for (int64_t h = g * R; h < (g + 1) * R; h++)
      for (int64_t t0 = first / BLOCK_Q * BLOCK_Q; t0 < a->T; t0 += BLOCK_Q)
        run_pair(j, &w, stripe, b, h, t0, k0, n, k, v);
    for (int64_t i = 0; i < n; i++) {
      void *to = rilli_row_target(d, j->g->dk, at + i * apart, w.dk + (size_t)(i * D) * size);
      if (!rilli_is_bf16(d)) memcpy(to, w.dk + (size_t)(i * D) * size, (size_t)D * size);
      rilli_row_store(d, to, j->g->dk, at + i * apart, D);
      to = rilli_row_target(d, j->g->dv, at + i * apart, w.dv + (size_t)(i * D) * size);
      if (!rilli_is_bf16(d)) memcpy(to, w.dv + (size_t)(i * D) * size, (size_t)D * size);
      rilli_row_store(d, to, j->g->dv, at + i * apart, D);
    }
  }
}

static void run_stripes(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  (void)task;
  for (int64_t i = begin; i < end; i++) run_stripe(user, i, scratch);
}

/* dq of row (b, t, h): the stripes' parts, in order. */
static void sum_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  const rilli_attention *a = j->a;
  int64_t all = a->B * a->H * a->T * a->D, D = a->D;
  (void)task;
  for (int64_t i = begin; i < end; i++) {
    int64_t h = i % a->H, t = i / a->H % a->T, b = i / a->H / a->T;
    int64_t from = ((b * a->H + h) * a->T + t) * D;
    void *to = rilli_row_target(a->dtype, j->g->dq, i * D, scratch);
    if (j->stripes == 1)
      j->math->scale(rilli_at(rilli_real_of(a->dtype), j->partial, from), 1, to, D);
    for (int64_t e = 0; j->stripes > 1 && e < D; e++) {
      double sum = 0;
      for (int64_t p = 0; p < j->stripes; p++)
        sum += real_at(rilli_real_of(a->dtype), j->partial, p * all + from + e);
      real_put(rilli_real_of(a->dtype), to, e, sum);
    }
    rilli_row_store(a->dtype, to, j->g->dq, i * D, D);
  }
}

bool rilli_attention_backward(rill_env *env, const rilli_attention *a,
                              const rilli_attention_gradients *g) {
  size_t size = rilli_real_size(a->dtype);
  int64_t rows = a->B * a->T * a->H, groups = a->B * a->G, m = least(BLOCK_Q, a->T);
  int64_t n = least(BLOCK_K, a->S), blocks = blocks_of(a->S, BLOCK_K);
  if (a->S == 0 || groups == 0) return true;
  job j = {.a = a, .g = g, .math = rilli_row_math_of(a->dtype)};
  j.stripes = least(blocks, blocks_of(TASKS_WANTED, groups));
  j.scores = rilli_round64((size_t)(m * n) * size);
  j.keys = rilli_round64((size_t)(n * a->D) * size);
  j.queries = rilli_round64((size_t)(m * a->D) * size);
  j.delta = rill_env_alloc(env, (size_t)rows * sizeof(double));
  j.partial = rill_env_alloc(env, (size_t)(j.stripes * rows * a->D) * size);
  if (!j.delta || !j.partial) return false;
  int64_t block = rilli_rows_block(rows, a->D, false);
  size_t row = rilli_round64((size_t)a->D * size);
  return rilli_rows_run(env, rows, block, 2 * row, delta_rows, &j) &&
         rilli_rows_run(env, groups * j.stripes, 1, 2 * j.scores + 4 * j.keys + 2 * j.queries,
                        run_stripes, &j) &&
         rilli_rows_run(env, rows, block, row, sum_rows, &j);
}
