/* The last layer of a language model and its loss in one: cross entropy of x . weight^T, without
 * ever holding all logits.
 *
 * Rows are taken in blocks. A block's logits are formed, give its loss and, while they are there,
 * its share of both gradients, and are dropped: memory is that of one block, and nothing is
 * computed twice. The gradients for a loss of 1 are hidden outputs; the derivative only scales
 * them. A block counts in the mean as much as it has targets that are not ignored. */
#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/expect.h"
#include "ops/ops.h"
#include "tensor/io.h"

enum { X, WEIGHT, TARGET };
enum { LOSS, DX, DWEIGHT, OUTPUTS };

#define BLOCK_LOGITS ((int64_t)1 << 29)
enum { BLOCK_ROWS = 1024 }; /* blocks are a multiple of it, so that products keep their speed */

extern const rill_op rilli_op_linear_cross_entropy, rilli_op_linear_backward,
    rilli_op_cross_entropy, rilli_op_cross_entropy_backward;

typedef struct {
  int64_t ignore;
  int64_t rows;   /* of a block; 0 = as many as make BLOCK_LOGITS logits */
  bool x, weight; /* gradients wanted */
} attributes;

static bool infer(rill_infer *q) {
  const rill_array *x = &q->in[X], *w = &q->in[WEIGHT], *t = &q->in[TARGET];
  const attributes *attr = q->attr;
  if (!rilli_expect_float(q, X) || !rilli_expect_rank(q, X, 1)) return false;
  if (w->rank != 2) return rill_refuse(q, "weight must have rank 2, [classes, K], not %d", w->rank);
  if (!rilli_expect(q, WEIGHT, x->dtype, RILL_SHAPE(w->size[0], x->size[x->rank - 1])))
    return false;
  if (w->size[0] == 0) return rill_refuse(q, "weight has no classes");
  if (t->dtype != RILL_I32 && t->dtype != RILL_I64)
    return rill_refuse(q, "target must be i32 or i64, not %s", rill_dtype_name(t->dtype));
  rill_shape rows = rill_array_shape(x);
  rows.rank--;
  if (!rilli_expect(q, TARGET, t->dtype, rows)) return false;
  rill_dtype real = rilli_statistics_dtype(x->dtype);
  rill_shape none = RILL_SHAPE(0);
  rill_infer_output(q, LOSS, real, RILL_SCALAR);
  rill_infer_output(q, DX, x->dtype, attr->x ? rill_array_shape(x) : none);
  return rill_infer_output(q, DWEIGHT, real, attr->weight ? rill_array_shape(w) : none);
}

/* How many targets are not ignored, as a real number. */
static rill_tensor *count_of(rill_tensor *target, int64_t ignore, rill_dtype real) {
  rill_tensor *out = rill_scalar(rill_context_of(target), rill_dtype_of(target), (double)ignore);
  rill_tensor *kept = rill_cast(rill_logical_not(rill_equal(target, out)), real);
  return rill_sum(kept, RILL_ALL_AXES, false);
}

/* Loss and gradients of some rows, whose mean counts `share` in the whole. */
static void block(const attributes *attr, rill_tensor *x, rill_tensor *weight, rill_tensor *target,
                  rill_tensor *share, rill_tensor **out) {
  rill_tensor *in[] = {rill_linear_op(x, weight, NULL), target}, *forward[RILL_MAX_OUTPUTS];
  rilli_cross_entropy_attr ignore = {attr->ignore};
  rill_apply_all(&rilli_op_cross_entropy, 2, in, &ignore, forward);
  out[LOSS] = rill_mul(forward[0], share);
  if (!attr->x && !attr->weight) return;
  rill_tensor *back[] = {share, NULL, in[0], target, forward[1]};
  rill_tensor *dlogits = rill_apply(&rilli_op_cross_entropy_backward, 5, back, &ignore);
  rilli_linear_wanted wanted = {attr->x, attr->weight, false};
  rill_tensor *product[] = {dlogits, x, weight}, *gradient[3];
  rill_apply_all(&rilli_op_linear_backward, 3, product, &wanted, gradient);
  out[DX] = gradient[0];
  out[DWEIGHT] = gradient[1];
}

static void compose(rill_compose *c) {
  const attributes *attr = c->attr;
  rill_dtype dtype = rill_dtype_of(c->in[X]), real = rilli_statistics_dtype(dtype);
  int64_t rows = rill_count(c->in[TARGET]), k = rill_size(c->in[WEIGHT], 1);
  int64_t classes = rill_size(c->in[WEIGHT], 0);
  int64_t most = BLOCK_LOGITS / classes / BLOCK_ROWS * BLOCK_ROWS;
  if (most < BLOCK_ROWS) most = BLOCK_ROWS;
  if (attr->rows) most = attr->rows;
  rill_tensor *x = rill_reshape(c->in[X], RILL_SHAPE(rows, k));
  rill_tensor *target = rill_reshape(c->in[TARGET], RILL_SHAPE(rows));
  rill_tensor *one = rill_full(c->ctx, real, RILL_SCALAR, 1);
  rill_tensor *all = rows > most ? rill_maximum(count_of(target, attr->ignore, real), one) : NULL;
  int64_t blocks = rows > most ? (rows + most - 1) / most : 1;
  rill_tensor *loss = NULL, *dweight = NULL;
  rill_tensor **dx = rill_alloc(c->ctx, (size_t)blocks * sizeof(rill_tensor *));
  for (int64_t i = 0; dx && i < blocks && !rill_error(c->ctx); i++) {
    int64_t begin = i * most, end = i + 1 < blocks ? begin + most : rows;
    rill_scope *scope = rill_scope_open(c->ctx);
    if (!scope) break;
    rill_tensor *out[OUTPUTS] = {NULL}, *part = rill_slice(target, 0, begin, end, 1);
    rill_tensor *share = all ? rill_div(count_of(part, attr->ignore, real), all) : one;
    block(attr, rill_slice(x, 0, begin, end, 1), c->in[WEIGHT], part, share, out);
    loss = rill_hoist(i ? rill_add(loss, out[LOSS]) : out[LOSS]);
    if (attr->x) dx[i] = rill_hoist(out[DX]);
    if (attr->weight) dweight = rill_hoist(i ? rill_add(dweight, out[DWEIGHT]) : out[DWEIGHT]);
    rill_scope_close(scope);
  }
  rill_shape none = RILL_SHAPE(0);
  if (!rill_error(c->ctx)) {
    c->out[LOSS] = loss;
    c->out[DX] = attr->x ? rill_reshape(blocks > 1 ? rill_concat((int)blocks, dx, 0) : dx[0],
                                        rill_shape_of(c->in[X]))
                         : rill_zeros(c->ctx, dtype, none);
    c->out[DWEIGHT] = dweight ? dweight : rill_zeros(c->ctx, real, none);
  }
  rill_free(c->ctx, dx);
}

static void vjp(rill_vjp *g) {
  rill_tensor *dloss = g->grad[LOSS];
  if (rill_vjp_wants(g, X)) {
    rill_tensor *factor = rilli_as_dtype(dloss, g->like[X].dtype);
    rill_vjp_give(g, X, rill_mul(g->out[DX], factor));
  }
  if (rill_vjp_wants(g, WEIGHT)) rill_vjp_give(g, WEIGHT, rill_mul(g->out[DWEIGHT], dloss));
}

static void sample(rill_samples *s) {
  static const struct {
    rill_shape x;
    int64_t classes;
  } shape[] = {{{1, {1}}, 1},        {{1, {5}}, 3},       {{2, {1, 4}}, 6},
               {{2, {2, 3}}, 4},     {{2, {7, 11}}, 13},  {{2, {8, 8}}, 8},
               {{2, {17, 9}}, 15},   {{2, {0, 3}}, 4},    {{2, {3, 0}}, 4},
               {{3, {2, 3, 4}}, 5},  {{3, {1, 1, 1}}, 1}, {{4, {2, 1, 3, 5}}, 2},
               {{3, {2, 5, 16}}, 33}};
  enum { SHAPES = (int)(sizeof shape / sizeof shape[0]) };
  for (int i = 0; i < 2 * SHAPES; i++) {
    attributes attr = {i % 3 ? -100 : 0, i % 4 ? 0 : 3, true, true};
    rill_shape x = shape[i / 2].x, rows = x;
    int64_t classes = shape[i / 2].classes, k = rows.size[--rows.rank];
    rill_sample_add(
        s, (rill_sample){
               .name = i % 3 ? "rows" : "ignoring class 0",
               .in = {{.shape = x},
                      {.shape = RILL_SHAPE(classes, k)},
                      {.shape = rows, .dtype = i % 2 ? RILL_I64 : RILL_I32, .below = classes}},
               .attr = &attr});
  }
  attributes attr = {-100, 0, true, true};
  rill_sample_add(s, (rill_sample){.name = "weight size",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(4, 5)},
                                          {.shape = RILL_SHAPE(2), .dtype = RILL_I32, .below = 2}},
                                   .attr = &attr,
                                   .refused = "weight must have shape [4, 3], not [4, 5]"});
  rill_sample_add(s, (rill_sample){.name = "target shape",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(4, 3)},
                                          {.shape = RILL_SHAPE(3), .dtype = RILL_I32, .below = 2}},
                                   .attr = &attr,
                                   .refused = "target must have shape [2], not [3]"});
}

const rill_op rilli_op_linear_cross_entropy = {
    .name = "linear_cross_entropy",
    .in = {"x", "weight", "target"},
    .out = {"loss", "dx", "dweight"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_OUTPUT(DX) | RILL_SAVE_OUTPUT(DWEIGHT),
    .hidden = 1u << DX | 1u << DWEIGHT,
    .sample = sample,
};

rill_tensor *rill_linear_cross_entropy(rill_tensor *x, rill_tensor *weight, rill_tensor *target) {
  rill_tensor *in[] = {x, weight, target}, *out[RILL_MAX_OUTPUTS];
  bool graph = rill_grad_enabled(rill_context_of(x));
  attributes attr = {.ignore = -100,
                     .x = graph && rill_requires_grad(x),
                     .weight = graph && rill_requires_grad(weight)};
  rill_apply_all(&rilli_op_linear_cross_entropy, 3, in, &attr, out);
  return out[LOSS];
}
