/* swiglu(gate, up) . weight^T: the second half of a SwiGLU layer.
 *
 * As one op it keeps gate and up alone for backward, and forms their product again there, which
 * costs one pass and saves the largest activation of a block. */
#include "ops/compose.h"
#include "ops/expect.h"
#include "ops/attributes.h"
#include "ops/ops.h"

enum { GATE, UP, WEIGHT };

extern const rill_op rilli_op_swiglu_linear, rilli_op_swiglu_backward, rilli_op_linear_backward;

static bool infer(rill_infer *q) {
  const rill_array *gate = &q->in[GATE], *w = &q->in[WEIGHT];
  if (!rilli_expect_float(q, GATE) || !rilli_expect_rank(q, GATE, 1)) return false;
  if (!rilli_expect_like(q, UP, GATE)) return false;
  if (w->rank != 2) return rill_refuse(q, "weight must have rank 2, [N, K], not %d", w->rank);
  rill_shape out = rill_array_shape(gate);
  if (!rilli_expect(q, WEIGHT, gate->dtype, RILL_SHAPE(w->size[0], out.size[out.rank - 1])))
    return false;
  out.size[out.rank - 1] = w->size[0];
  return rill_infer_output(q, 0, gate->dtype, out);
}

static void compose(rill_compose *c) {
  c->out[0] = rill_linear_op(rill_swiglu(c->in[GATE], c->in[UP]), c->in[WEIGHT], NULL);
}

static void vjp(rill_vjp *g) {
  rill_tensor *gate = g->in[GATE], *up = g->in[UP], *product[3], *part[2];
  rilli_linear_wanted wanted = {rill_vjp_wants(g, GATE) || rill_vjp_wants(g, UP),
                                rill_vjp_wants(g, WEIGHT), false};
  rill_tensor *in[] = {g->grad[0], rill_swiglu(gate, up), g->in[WEIGHT]};
  rill_apply_all(&rilli_op_linear_backward, 3, in, &wanted, product);
  if (wanted.weight) rill_vjp_give(g, WEIGHT, product[1]);
  if (!wanted.x) return;
  rill_tensor *back[] = {gate, up, product[0]};
  rill_apply_all(&rilli_op_swiglu_backward, 3, back, NULL, part);
  rill_vjp_give(g, GATE, part[0]);
  rill_vjp_give(g, UP, part[1]);
}

static void sample(rill_samples *s) {
  static const rill_shape shape[][2] = {
      /* gate and up, weight */
      {{1, {1}}, {2, {1, 1}}},          {{1, {5}}, {2, {3, 5}}},
      {{2, {1, 4}}, {2, {6, 4}}},       {{2, {2, 3}}, {2, {4, 3}}},
      {{2, {7, 11}}, {2, {13, 11}}},    {{2, {8, 8}}, {2, {8, 8}}},
      {{2, {17, 9}}, {2, {15, 9}}},     {{2, {0, 3}}, {2, {4, 3}}},
      {{2, {3, 0}}, {2, {4, 0}}},       {{2, {3, 4}}, {2, {0, 4}}},
      {{3, {2, 3, 4}}, {2, {5, 4}}},    {{3, {1, 1, 1}}, {2, {1, 1}}},
      {{4, {2, 1, 3, 5}}, {2, {2, 5}}},
  };
  for (size_t i = 0; i < 2 * (sizeof shape / sizeof shape[0]); i++) {
    rill_shape x = shape[i / 2][0];
    double wide = i % 2 ? 2 : 1;
    rill_sample_add(s, (rill_sample){.name = i % 2 ? "wide" : "narrow",
                                     .in = {{.shape = x, .low = -wide, .high = wide},
                                            {.shape = x},
                                            {.shape = shape[i / 2][1]}}});
  }
  rill_sample_add(s, (rill_sample){.name = "up",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(2, 4)},
                                          {.shape = RILL_SHAPE(5, 3)}},
                                   .refused = "up must have shape [2, 3], not [2, 4]"});
  rill_sample_add(s, (rill_sample){.name = "weight",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(5, 4)}},
                                   .refused = "weight must have shape [5, 3], not [5, 4]"});
}

const rill_op rilli_op_swiglu_linear = {
    .name = "swiglu_linear",
    .in = {"gate", "up", "weight"},
    .out = {"y"},
    .infer = infer,
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(GATE) | RILL_SAVE_INPUT(UP) | RILL_SAVE_INPUT(WEIGHT),
    .sample = sample,
};

rill_tensor *rill_swiglu_linear(rill_tensor *gate, rill_tensor *up, rill_tensor *weight) {
  return RILL_APPLY(&rilli_op_swiglu_linear, NULL, gate, up, weight);
}
