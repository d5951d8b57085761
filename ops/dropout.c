/* dropout: element i is kept when draw i of its stretch of the random stream is at least p.
 *
 * The mask is never stored: it is a function of (seed, counter), which the attributes hold, so the
 * derivative is the same op on the gradient. */
#include <math.h>

#include "ops/cpu/clones.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/attributes.h"
#include "ops/ops.h"
#include "tensor/random.h"

typedef rilli_dropout_attr attributes;

extern const rill_op rilli_op_dropout;
bool rilli_cuda_dropout(const rill_call *call);

static bool infer(rill_infer *q) {
  double p = ((const attributes *)q->attr)->p;
  if (!rilli_expect_float(q, 0)) return false;
  if (!(p >= 0 && p < 1)) return rill_refuse(q, "p must be in [0, 1), not %g", p);
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

enum { PIECE = 512 };

/* keep[i] = 1 where draw 2 first + i, i < 2 blocks, is at least threshold / 2^53, else 0. */
RILLI_CLONES static void draw(uint64_t seed, uint64_t first, int64_t blocks, uint64_t threshold,
                              float *restrict keep) {
  for (int64_t b = 0; b < blocks; b++) {
    rill_philox_block block = rill_random_block(seed, first + (uint64_t)b);
    keep[2 * b] = rill_random_half(block, 0) >> 11 < threshold ? 0.0f : 1.0f;
    keep[2 * b + 1] = rill_random_half(block, 1) >> 11 < threshold ? 0.0f : 1.0f;
  }
}

RILLI_CLONES static void scale_f32(int64_t n, const float *restrict x, const float *restrict keep,
                                   float scale, float *restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * (keep[i] * scale);
}
RILLI_CLONES static void scale_f64(int64_t n, const double *restrict x, const float *restrict keep,
                                   double scale, double *restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * ((double)keep[i] * scale);
}

static void run_pieces(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const rill_call *call = user;
  const attributes *attr = call->attr;
  const rill_array *x = &call->in[0], *y = &call->out[0];
  double scale = 1 / (1 - attr->p);
  uint64_t threshold = (uint64_t)ceil(attr->p * 9007199254740992.0); /* 2^53 */
  float keep[PIECE + 2], wide[PIECE];
  (void)task;
  (void)scratch;
  for (int64_t at = begin; at < end; at += PIECE) {
    int64_t n = end - at < PIECE ? end - at : PIECE;
    uint64_t first = attr->state.counter + (uint64_t)at;
    const float *kept = keep + first % 2;
    draw(attr->state.seed, first / 2, (n + 1 + (int64_t)(first % 2)) / 2, threshold, keep);
    if (x->dtype == RILL_F64) {
      scale_f64(n, (const double *)x->data + at, kept, scale, (double *)y->data + at);
    } else {
      const float *from = rilli_row_load(x->dtype, x->data, at, n, wide);
      float *to = rilli_row_target(y->dtype, y->data, at, wide);
      if (from == to) { /* bf16: in the buffer */
        for (int64_t i = 0; i < n; i++) to[i] *= kept[i] * (float)scale;
      } else {
        scale_f32(n, from, kept, (float)scale, to);
      }
      rilli_row_store(y->dtype, to, y->data, at, n);
    }
  }
}

static bool run(const rill_call *call) {
  rill_call job = *call;
  return rilli_rows_run(call->env, rill_array_count(&call->in[0]), 16384, 0, run_pieces, &job);
}

static void vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_dropout, g->attr, g->grad[0]));
}

static void sample(rill_samples *samples) {
  static const rill_shape shapes[] = {{0, {0}},    {1, {1}},       {1, {7}},      {1, {0}},
                                      {2, {3, 4}}, {3, {2, 3, 5}}, {2, {31, 33}}, {2, {1, 17}}};
  static const double p[] = {0, 0.1, 0.9};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (int j = 0; j < 3; j++) {
      attributes attr = {p[j], {7, 10 * i}};
      rill_sample_add(samples, (rill_sample){.in = {{.shape = shapes[i]}}, .attr = &attr});
    }
  attributes attr = {1, {0, 0}};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &attr,
                                         .refused = "p must be in [0, 1), not 1"});
  attr.p = (double)NAN;
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &attr,
                                         .refused = "p must be in [0, 1)"});
}

const rill_op rilli_op_dropout = {
    .name = "dropout",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "pieces", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_dropout)},
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_dropout(rill_tensor *x, double p) {
  attributes attr = {p, rill_random_take(rill_context_of(x), (uint64_t)rill_count(x))};
  return RILL_APPLY(&rilli_op_dropout, &attr, x);
}
