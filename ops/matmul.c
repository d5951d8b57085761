/* a . b over the last two axes, leading axes broadcast.
 *
 * The kernel reads operands as they lie (transposed views need no copy) and hands all products of
 * the batch to one tiled call. When b is a single matrix and the rows of a are evenly spaced, the
 * batch is one tall product. */
#include <inttypes.h>

#include "ops/cpu/gemm.h"
#include "ops/expect.h"
#include "ops/ops.h"
#include "tensor/iterate.h"

enum { A, B };

extern const rill_op rilli_op_matmul;
bool rilli_cuda_matmul(const rill_call *call);

static bool infer(rill_infer *q) {
  const rill_array *a = &q->in[A], *b = &q->in[B];
  if (!rilli_expect_float(q, A) || !rilli_expect_float(q, B)) return false;
  if (a->dtype != b->dtype)
    return rill_refuse(q, "a is %s and b is %s; rill_cast converts", rill_dtype_name(a->dtype),
                       rill_dtype_name(b->dtype));
  if (!rilli_expect_rank(q, A, 2) || !rilli_expect_rank(q, B, 2)) return false;
  int64_t k = a->size[a->rank - 1], k_b = b->size[b->rank - 2];
  if (k != k_b) return rill_refuse(q, "inner sizes %" PRId64 " and %" PRId64 " differ", k, k_b);
  rill_shape lead_a = rill_array_shape(a), lead_b = rill_array_shape(b), out;
  lead_a.rank -= 2;
  lead_b.rank -= 2;
  if (!rill_shape_broadcast(lead_a, lead_b, &out))
    return rill_refuse(q, "leading axes %s and %s do not broadcast", rill_shape_print(lead_a).text,
                       rill_shape_print(lead_b).text);
  out.size[out.rank++] = a->size[a->rank - 2];
  out.size[out.rank++] = b->size[b->rank - 1];
  return rill_infer_output(q, 0, a->dtype, out);
}

/* Can the leading axes of x and its rows be walked with one step? */
static bool rows_even(const rill_array *x) {
  int64_t step = x->stride[x->rank - 2], size = x->size[x->rank - 2];
  for (int d = x->rank - 3; d >= 0; d--) {
    if (x->size[d] != 1 && x->stride[d] != step * size) return false;
    size *= x->size[d];
  }
  return true;
}

static int64_t lead_count(const rill_array *x) {
  int64_t n = 1;
  for (int d = 0; d < x->rank - 2; d++) n *= x->size[d];
  return n;
}

/* Where product i finds its matrix, for a stretched to the leading axes of the output. */
static void offsets(const rill_array *x, const rill_array *out, int64_t count, int64_t *at) {
  int64_t size[RILL_MAX_RANK];
  for (int d = 0; d < out->rank; d++) size[d] = out->size[d];
  size[out->rank - 2] = x->size[x->rank - 2];
  size[out->rank - 1] = x->size[x->rank - 1];
  rill_array wide = rill_array_broadcast(x, out->rank, size);
  for (int64_t i = 0; i < count; i++) {
    int64_t rest = i;
    at[i] = 0;
    for (int d = out->rank - 3; d >= 0; d--) {
      at[i] += rest % size[d] * wide.stride[d];
      rest /= size[d];
    }
  }
}

static bool run(const rill_call *call) {
  const rill_array *a = &call->in[A], *b = &call->in[B], *c = &call->out[0];
  int ra = a->rank, rb = b->rank, rc = c->rank;
  rilli_gemm_args g = {.dtype = a->dtype,
                       .m = c->size[rc - 2],
                       .n = c->size[rc - 1],
                       .k = a->size[ra - 1],
                       .a = {a->data, a->stride[ra - 2], a->stride[ra - 1]},
                       .b = {b->data, b->stride[rb - 2], b->stride[rb - 1]},
                       .c = c->data,
                       .c_row = c->size[rc - 1],
                       .alpha = 1};
  int64_t count = lead_count(c);
  if (rill_array_count(c) == 0) return true;
  if (lead_count(b) == 1 && lead_count(a) == count && rows_even(a)) {
    g.m *= count;
    return rilli_gemm(call->env, &g);
  }
  int64_t *at = rill_env_alloc(call->env, (size_t)count * 3 * sizeof *at);
  if (!at) return false;
  offsets(a, c, count, at);
  offsets(b, c, count, at + count);
  offsets(c, c, count, at + 2 * count);
  g.count = count;
  g.a_at = at;
  g.b_at = at + count;
  g.c_at = at + 2 * count;
  return rilli_gemm(call->env, &g);
}

/* x with its leading axes and rows made one axis. */
static rill_tensor *tall(rill_tensor *x) {
  return rill_reshape(x, RILL_SHAPE(rill_count(x) / rill_size(x, -1), rill_size(x, -1)));
}

static void vjp(rill_vjp *g) {
  rill_tensor *a = g->in[A], *b = g->in[B], *dc = g->grad[0];
  if (rill_vjp_wants(g, A)) rill_vjp_give(g, A, rill_matmul(dc, rill_transpose(b, -1, -2)));
  if (!rill_vjp_wants(g, B)) return;
  bool one =
      lead_count(&g->like[B]) == 1 && rill_rank(a) > 2 && rill_count(a) > 0 && rill_count(dc) > 0;
  if (one) {
    rill_tensor *db = rill_matmul(rill_transpose(tall(a), 0, 1), tall(dc));
    rill_vjp_give(g, B, rill_reshape(db, rill_array_shape(&g->like[B])));
  } else {
    rill_vjp_give(g, B, rill_matmul(rill_transpose(a, -1, -2), dc));
  }
}

static void sample(rill_samples *s) {
  static const struct {
    const char *name;
    rill_shape a, b;
  } shape[] = {
      {"one number", {2, {1, 1}}, {2, {1, 1}}},
      {"row by column", {2, {1, 7}}, {2, {7, 1}}},
      {"column by row", {2, {5, 1}}, {2, {1, 6}}},
      {"row by matrix", {2, {1, 13}}, {2, {13, 11}}},
      {"matrix by column", {2, {11, 13}}, {2, {13, 1}}},
      {"small", {2, {2, 3}}, {2, {3, 4}}},
      {"primes", {2, {7, 11}}, {2, {11, 5}}},
      {"square", {2, {8, 8}}, {2, {8, 8}}},
      {"one less than a power", {2, {15, 7}}, {2, {7, 31}}},
      {"one more than a power", {2, {17, 9}}, {2, {9, 33}}},
      {"no rows", {2, {0, 3}}, {2, {3, 4}}},
      {"no columns", {2, {3, 4}}, {2, {4, 0}}},
      {"nothing to add", {2, {3, 0}}, {2, {0, 4}}},
      {"batch", {3, {3, 4, 5}}, {3, {3, 5, 2}}},
      {"batch of one", {3, {1, 4, 5}}, {3, {1, 5, 2}}},
      {"empty batch", {3, {0, 4, 5}}, {3, {0, 5, 2}}},
      {"matrix for all of a batch", {3, {3, 4, 5}}, {2, {5, 2}}},
      {"batch for one matrix", {2, {4, 5}}, {3, {3, 5, 2}}},
      {"batch axes stretch", {4, {2, 1, 3, 4}}, {4, {1, 3, 4, 2}}},
      {"batch axes of unlike rank", {3, {3, 2, 4}}, {4, {2, 1, 4, 3}}},
      {"no rows in a batch", {3, {2, 0, 3}}, {2, {3, 4}}},
      {"deep batch", {5, {2, 1, 2, 3, 2}}, {5, {1, 2, 2, 2, 3}}},
      {"row in a batch", {3, {5, 1, 6}}, {3, {5, 6, 3}}},
      {"long inner axis", {2, {2, 257}}, {2, {257, 3}}},
      {"wide", {2, {3, 5}}, {2, {5, 67}}},
  };
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
    rill_sample_add(s, (rill_sample){.name = shape[i].name,
                                     .in = {{.shape = shape[i].a}, {.shape = shape[i].b}}});
  rill_sample_add(
      s, (rill_sample){.name = "several tiles",
                       .in = {{.shape = RILL_SHAPE(530, 129)}, {.shape = RILL_SHAPE(129, 1031)}},
                       .no_gradient = true});
  rill_sample_add(
      s, (rill_sample){.name = "inner sizes",
                       .in = {{.shape = RILL_SHAPE(8, 256)}, {.shape = RILL_SHAPE(128, 64)}},
                       .refused = "inner sizes 256 and 128 differ"});
  rill_sample_add(
      s, (rill_sample){.name = "leading axes",
                       .in = {{.shape = RILL_SHAPE(2, 4, 3)}, {.shape = RILL_SHAPE(3, 3, 5)}},
                       .refused = "leading axes [2] and [3] do not broadcast"});
  rill_sample_add(s, (rill_sample){.name = "rank",
                                   .in = {{.shape = RILL_SHAPE(3)}, {.shape = RILL_SHAPE(3, 5)}},
                                   .refused = "a must have rank 2 or more, not 1"});
  rill_sample_add(s,
                  (rill_sample){.name = "integers",
                                .in = {{.shape = RILL_SHAPE(2, 3), .dtype = RILL_I32, .below = 4},
                                       {.shape = RILL_SHAPE(3, 5), .dtype = RILL_I32, .below = 4}},
                                .refused = "a must be f64, f32 or bf16, not i32"});
}

const rill_op rilli_op_matmul = {
    .name = "matmul",
    .in = {"a", "b"},
    .out = {"c"},
    .infer = infer,
    .kernels = {{RILL_CPU, "blas", NULL, run},
                RILL_CUDA_KERNEL("cublaslt", NULL, rilli_cuda_matmul)},
    .strided = true,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(A) | RILL_SAVE_INPUT(B),
    .sample = sample,
};

rill_tensor *rill_matmul(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_matmul, NULL, a, b);
}
