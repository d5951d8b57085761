/* Attention forward: one task for each block of 128 queries of a head.
 *
 *   for each block of 128 keys that the queries see:
 *     s = scale q k^T          [m, n]   BLAS
 *     p = e^(s - max), running max and sum per row
 *     o = o e^(old max - max) + p v   [m, D]   BLAS
 *   o / sum is stored, and lse = max + log sum for the backward
 *
 * A task needs m n + m D reals of scratch, so memory does not grow with the product of lengths. */
#include <math.h>

#include "ops/cpu/attention_impl.h"

typedef struct {
  const rilli_attention *a;
  const rilli_row_math *math;
  void *o, *lse;
  int64_t blocks;                    /* of queries */
  size_t scores, out, queries, keys; /* bytes of a thread's parts, in this order; values follow */
} job;

/* Scores to weights, row by row; hidden keys weigh 0. Earlier output is rescaled. */
static void weigh(const job *j, int64_t t0, int64_t m, int64_t k0, int64_t n, char *scores,
                  char *out, double *max, double *sum) {
  const rilli_attention *a = j->a;
  size_t size = rilli_real_size(a->dtype);
  for (int64_t i = 0; i < m; i++) {
    char *row = scores + (size_t)(i * n) * size, *o = out + (size_t)(i * a->D) * size;
    int64_t seen = visible(a, t0 + i, k0, n);
    memset(row + (size_t)seen * size, 0, (size_t)(n - seen) * size);
    if (seen == 0) continue;
    double factor = j->math->attend(row, seen, &max[i], &sum[i]);
    if (k0 > 0 && factor != 1) j->math->scale(o, factor, o, a->D);
  }
}

static void run_block(const job *j, int64_t task, char *scratch) {
  const rilli_attention *a = j->a;
  rill_dtype d = a->dtype, real = rilli_real_of(d);
  int64_t t0 = task % j->blocks * BLOCK_Q, h = task / j->blocks % a->H, b = task / j->blocks / a->H;
  int64_t m = least(BLOCK_Q, a->T - t0), g = h / (a->H / a->G), D = a->D;
  int64_t q_apart = a->H * D, k_apart = a->G * D, q_at = ((b * a->T + t0) * a->H + h) * D;
  char *scores = scratch, *out = scores + j->scores, *queries = out + j->out;
  char *keys = queries + j->queries, *values = keys + j->keys;
  double max[BLOCK_Q], sum[BLOCK_Q] = {0};
  for (int i = 0; i < BLOCK_Q; i++) max[i] = -(double)INFINITY;
  rilli_blas_matrix q = block_of(d, a->q, q_at, q_apart, m, D, queries);
  for (int64_t k0 = 0; k0 < a->S; k0 += BLOCK_K) {
    int64_t n = least(BLOCK_K, a->S - k0), k_at = ((b * a->S + k0) * a->G + g) * D;
    if (visible(a, t0 + m - 1, k0, n) == 0) break;
    rilli_blas_matrix k = block_of(d, a->k, k_at, k_apart, n, D, keys);
    rilli_blas_matrix v = block_of(d, a->v, k_at, k_apart, n, D, values);
    rilli_gemm_here(real, (int)m, (int)n, (int)D, a->scale, q, flipped(k), 0, scores, (int)n);
    weigh(j, t0, m, k0, n, scores, out, max, sum);
    rilli_blas_matrix p = {scores, (int)n, false};
    rilli_gemm_here(real, (int)m, (int)D, (int)n, 1, p, v, k0 > 0, out, (int)D);
  }
  for (int64_t i = 0; i < m; i++) {
    char *row = out + (size_t)(i * D) * rilli_real_size(d);
    int64_t at = q_at + i * q_apart;
    void *to = rilli_row_target(d, j->o, at, row);
    j->math->scale(row, 1 / sum[i], to, D);
    rilli_row_store(d, to, j->o, at, D);
    real_put(real, j->lse, (b * a->H + h) * a->T + t0 + i, max[i] + log(sum[i]));
  }
}

static void run_blocks(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  (void)task;
  for (int64_t i = begin; i < end; i++) run_block(user, i, scratch);
}

bool rilli_attention_forward(rill_env *env, const rilli_attention *a, void *o, void *lse) {
  size_t size = rilli_real_size(a->dtype);
  int64_t m = least(BLOCK_Q, a->T), n = least(BLOCK_K, a->S);
  job j = {.a = a, .math = rilli_row_math_of(a->dtype), .o = o, .lse = lse};
  j.blocks = blocks_of(a->T, BLOCK_Q);
  j.scores = rilli_round64((size_t)(m * n) * size);
  j.out = rilli_round64((size_t)(m * a->D) * size);
  size_t values = 0;
  if (staged(a->dtype, a->H * a->D)) {
    j.queries = j.out;
    j.keys = values = rilli_round64((size_t)(n * a->D) * size);
  }
  return rilli_rows_run(env, a->B * a->H * j.blocks, 1,
                        j.scores + j.out + j.queries + j.keys + values, run_blocks, &j);
}
