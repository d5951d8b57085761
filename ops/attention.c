/* Softmax attention, computed in blocks so that memory is linear in the lengths
 * (ops/cpu/attention.h says how). Hidden output 1 is the logarithm of each query's sum of
 * exponentials; the backward computes the weights again from it. */
#include <inttypes.h>
#include <math.h>

#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/attention.h"
#include "ops/expect.h"
#include "ops/ops.h"

enum { Q, K, V };
enum { DO, DLSE, BACK_Q, BACK_K, BACK_V, BACK_O, BACK_LSE };

extern const rill_op rilli_op_attention, rilli_op_attention_backward;

typedef rilli_attention_attr attributes;

bool rilli_cuda_attention(const rill_call *call);
bool rilli_cuda_attention_backward(const rill_call *call);
bool rilli_cuda_attention_fits(const rill_call *call);
bool rilli_cuda_attention_backward_fits(const rill_call *call);
bool rilli_cuda_attention_mma(const rill_call *call);
bool rilli_cuda_attention_mma_backward(const rill_call *call);
bool rilli_cuda_attention_mma_fits(const rill_call *call);
bool rilli_cuda_attention_mma_backward_fits(const rill_call *call);

static bool check(rill_infer *q, int at) {
  const attributes *attr = q->attr;
  const rill_array *x = &q->in[at + Q], *k = &q->in[at + K];
  if (!rilli_expect_float(q, at + Q)) return false;
  if (x->rank != 4) return rill_refuse(q, "q must have rank 4, [B, T, H, D], not %d", x->rank);
  if (k->rank != 4) return rill_refuse(q, "k must have rank 4, [B, S, G, D], not %d", k->rank);
  int64_t H = x->size[2], G = k->size[2], T = x->size[1], S = k->size[1];
  rill_shape keys = RILL_SHAPE(x->size[0], S, G, x->size[3]);
  if (!rilli_expect(q, at + K, x->dtype, keys) || !rilli_expect(q, at + V, x->dtype, keys))
    return false;
  if (x->size[3] == 0) return rill_refuse(q, "heads have no channels");
  if (G == 0 ? H != 0 : H % G != 0)
    return rill_refuse(q, "%" PRId64 " heads are no multiple of %" PRId64 " key heads", H, G);
  if (T > 0 && S == 0) return rill_refuse(q, "there are no keys to attend to");
  if (attr->causal && S < T)
    return rill_refuse(q, "causal attention needs a key for each query: %" PRId64 " < %" PRId64, S,
                       T);
  if (!isfinite(attr->scale)) return rill_refuse(q, "scale must be finite, not %g", attr->scale);
  return true;
}

static rill_shape lse_shape(const rill_array *q) {
  return RILL_SHAPE(q->size[0], q->size[2], q->size[1]);
}

static bool infer(rill_infer *q) {
  if (!check(q, 0)) return false;
  const rill_array *x = &q->in[Q];
  rill_infer_output(q, 0, x->dtype, rill_array_shape(x));
  return rill_infer_output(q, 1, rilli_statistics_dtype(x->dtype), lse_shape(x));
}

static bool backward_infer(rill_infer *q) {
  if (!check(q, BACK_Q)) return false;
  const rill_array *x = &q->in[BACK_Q];
  rill_dtype real = rilli_statistics_dtype(x->dtype);
  if (!rilli_expect_like(q, DO, BACK_Q) || !rilli_expect_like(q, BACK_O, BACK_Q) ||
      !rilli_expect(q, DLSE, real, lse_shape(x)) || !rilli_expect(q, BACK_LSE, real, lse_shape(x)))
    return false;
  for (int i = 0; i < 3; i++)
    rill_infer_output(q, i, x->dtype, rill_array_shape(&q->in[BACK_Q + i]));
  return true;
}

/* ---- kernels ---- */

static rilli_attention args_of(const rill_call *call, int at) {
  const attributes *attr = call->attr;
  const rill_array *q = &call->in[at + Q], *k = &call->in[at + K];
  return (rilli_attention){.dtype = q->dtype,
                           .B = q->size[0],
                           .T = q->size[1],
                           .S = k->size[1],
                           .H = q->size[2],
                           .G = k->size[2],
                           .D = q->size[3],
                           .causal = attr->causal,
                           .scale = attr->scale,
                           .q = q->data,
                           .k = k->data,
                           .v = call->in[at + V].data};
}

static bool run(const rill_call *call) {
  rilli_attention args = args_of(call, 0);
  return rilli_attention_forward(call->env, &args, call->out[0].data, call->out[1].data);
}

static const void *data_of(const rill_array *a) { return rill_present(a) ? a->data : NULL; }

static bool backward_run(const rill_call *call) {
  rilli_attention args = args_of(call, BACK_Q);
  rilli_attention_gradients g = {.o = call->in[BACK_O].data,
                                 .lse = call->in[BACK_LSE].data,
                                 .do_ = data_of(&call->in[DO]),
                                 .dlse = data_of(&call->in[DLSE]),
                                 .dq = call->out[0].data,
                                 .dk = call->out[1].data,
                                 .dv = call->out[2].data};
  return rilli_attention_backward(call->env, &args, &g);
}

/* ---- in other ops: the whole matrix of scores ---- */

/* [B, T, H, D] <-> [B, H, T, D] */
static rill_tensor *turn(rill_tensor *x) { return rill_transpose(x, 1, 2); }

/* Each of the G heads of x, [B, S, G, D], for all of its queries: [B, H, S, D]. */
static rill_tensor *spread(rill_tensor *x, int64_t H) {
  int64_t B = rill_size(x, 0), S = rill_size(x, 1), G = rill_size(x, 2), D = rill_size(x, 3);
  if (G == H) return turn(x);
  rill_tensor *y = rill_expand(rill_unsqueeze(x, 3), RILL_SHAPE(B, S, G, H / G, D));
  return turn(rill_reshape(y, RILL_SHAPE(B, S, H, D)));
}

/* scale q k^T with -infinity where a key is hidden, [B, H, T, S] */
static rill_tensor *scores_of(rill_context *ctx, rill_tensor *q, rill_tensor *k,
                              const attributes *attr) {
  int64_t T = rill_size(q, 2), S = rill_size(k, 2);
  rill_tensor *s = rill_scale(rill_matmul(q, rill_transpose(k, -1, -2)), attr->scale);
  if (!attr->causal) return s;
  rill_tensor *key = rill_arange(ctx, RILL_I64, S);
  rill_tensor *last =
      rill_add(rill_arange(ctx, RILL_I64, T), rill_scalar(ctx, RILL_I64, (double)(S - T)));
  rill_tensor *seen = rill_less_equal(key, rill_unsqueeze(last, 1));
  rill_tensor *hidden = rill_scalar(ctx, rill_dtype_of(s), -(double)INFINITY);
  return rill_where(seen, s, hidden);
}

static void compose(rill_compose *c) {
  rill_tensor *q = turn(rilli_as_real(c->in[Q])), *k = rilli_as_real(c->in[K]),
              *v = rilli_as_real(c->in[V]);
  int64_t H = rill_size(q, 1);
  k = spread(k, H);
  v = spread(v, H);
  rill_dtype dtype = rill_dtype_of(c->in[Q]), real = rill_dtype_of(q);
  rill_shape rows = RILL_SHAPE(rill_size(q, 0), H, rill_size(q, 2));
  if (rill_size(k, 2) == 0) {
    c->out[0] = rill_zeros(c->ctx, dtype, rill_shape_of(c->in[Q]));
    c->out[1] = rill_zeros(c->ctx, real, rows);
    return;
  }
  rill_tensor *s = scores_of(c->ctx, q, k, c->attr), *lse = rill_logsumexp(s, -1, true);
  rill_tensor *o = rill_matmul(rill_exp(rill_sub(s, lse)), v);
  c->out[0] = rilli_as_dtype(rill_contiguous(turn(o)), dtype);
  c->out[1] = rill_reshape(lse, rows);
}

/* Sums a gradient [B, H, S, D] over the heads of each group: [B, S, G, D]. */
static rill_tensor *gather_heads(rill_tensor *x, rill_tensor *like) {
  int64_t B = rill_size(like, 0), S = rill_size(like, 1), G = rill_size(like, 2);
  int64_t D = rill_size(like, 3), H = rill_size(x, 1);
  int64_t R = G ? H / G : 1;
  rill_tensor *y = rill_sum(rill_reshape(x, RILL_SHAPE(B, G, R, S, D)), 2, false);
  return rilli_as_dtype(rill_contiguous(turn(y)), rill_dtype_of(like));
}

static void backward_compose(rill_compose *c) {
  const attributes *attr = c->attr;
  rill_tensor *q = turn(rilli_as_real(c->in[BACK_Q])), *o = turn(rilli_as_real(c->in[BACK_O]));
  int64_t H = rill_size(q, 1);
  rill_tensor *k = spread(rilli_as_real(c->in[BACK_K]), H),
              *v = spread(rilli_as_real(c->in[BACK_V]), H);
  rill_tensor *do_ = c->in[DO] ? turn(rilli_as_real(c->in[DO])) : rill_scale(o, 0);
  rill_tensor *lse = rill_unsqueeze(c->in[BACK_LSE], 3);
  rill_tensor *p = rill_exp(rill_sub(scores_of(c->ctx, q, k, attr), lse));
  rill_tensor *delta = rill_sum(rill_mul(do_, o), -1, true);
  if (c->in[DLSE]) delta = rill_sub(delta, rill_unsqueeze(c->in[DLSE], 3));
  rill_tensor *dp = rill_matmul(do_, rill_transpose(v, -1, -2));
  rill_tensor *ds = rill_scale(rill_mul(p, rill_sub(dp, delta)), attr->scale);
  rill_tensor *dk = rill_matmul(rill_transpose(ds, -1, -2), q);
  rill_tensor *dv = rill_matmul(rill_transpose(p, -1, -2), do_);
  c->out[0] =
      rilli_as_dtype(rill_contiguous(turn(rill_matmul(ds, k))), rill_dtype_of(c->in[BACK_Q]));
  c->out[1] = gather_heads(dk, c->in[BACK_K]);
  c->out[2] = gather_heads(dv, c->in[BACK_V]);
}

static void vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->grad[0], g->grad[1], g->in[Q], g->in[K], g->in[V], g->out[0], g->out[1]};
  rill_tensor *out[3];
  rill_apply_all(&rilli_op_attention_backward, 7, in, g->attr, out);
  for (int i = 0; i < 3; i++) rill_vjp_give(g, i, out[i]);
}

/* ---- samples ---- */

typedef struct {
  int64_t B, T, S, H, G, D;
  bool causal;
} sizes;

static rill_sample sample_of(const char *name, sizes z, const attributes *attr, bool backward) {
  rill_sample_input q = {.shape = RILL_SHAPE(z.B, z.T, z.H, z.D)};
  rill_sample_input k = {.shape = RILL_SHAPE(z.B, z.S, z.G, z.D)};
  rill_sample_input lse = {.shape = RILL_SHAPE(z.B, z.H, z.T), .low = 2, .high = 3, .state = true};
  rill_sample s = {.name = name, .in = {q, k, k}, .attr = attr};
  if (!backward) return s;
  s.in[DO] = s.in[BACK_Q] = s.in[BACK_O] = q;
  s.in[BACK_K] = s.in[BACK_V] = k;
  s.in[DLSE] = s.in[BACK_LSE] = lse;
  s.in[DLSE].low = -1;
  s.in[DLSE].high = 1;
  return s;
}

static void sample_as(rill_samples *s, bool backward) {
  static const sizes at[] = {
      {1, 1, 1, 1, 1, 1, false},  {1, 1, 1, 1, 1, 1, true},   {1, 1, 5, 1, 1, 4, false},
      {1, 1, 5, 2, 1, 4, true},   {1, 3, 3, 1, 1, 2, true},   {1, 3, 3, 1, 1, 2, false},
      {2, 4, 4, 2, 2, 3, true},   {2, 4, 4, 2, 2, 3, false},  {1, 5, 7, 3, 1, 5, true},
      {1, 7, 5, 3, 3, 5, false},  {2, 2, 9, 4, 2, 3, true},   {1, 0, 3, 2, 1, 4, true},
      {1, 0, 0, 2, 1, 4, false},  {0, 3, 3, 2, 1, 4, true},   {1, 3, 3, 0, 0, 4, false},
      {1, 13, 13, 2, 1, 7, true}, {1, 11, 13, 1, 1, 8, true}, {3, 2, 3, 2, 2, 1, true},
      {1, 6, 6, 6, 3, 2, true},   {1, 8, 8, 2, 1, 16, false}, {1, 15, 17, 1, 1, 3, true},
      {1, 17, 17, 1, 1, 3, true}, {2, 1, 16, 4, 1, 8, true},  {1, 2, 31, 2, 1, 5, false},
      {1, 1, 33, 1, 1, 9, true},  {1, 4, 4, 4, 4, 4, true}};
  static const sizes large[] = {{1, 127, 129, 2, 1, 16, true},
                                {1, 130, 260, 4, 2, 8, false},
                                {2, 257, 257, 2, 2, 32, true},
                                {1, 1, 300, 8, 2, 64, true}};
  for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
    attributes attr = {i % 4 == 3 ? 0.3 : 1 / sqrt((double)at[i].D), at[i].causal};
    rill_sample one = sample_of("shape", at[i], &attr, backward);
    if (backward && i % 3 == 0) one.in[DLSE].absent = true;
    if (backward && i % 3 == 1) one.in[DO].absent = true;
    rill_sample_add(s, one);
  }
  for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
    attributes attr = {1 / sqrt((double)large[i].D), large[i].causal};
    rill_sample one = sample_of("several blocks", large[i], &attr, backward);
    one.no_gradient = true;
    rill_sample_add(s, one);
  }
  attributes causal = {0.5, true}, plain = {0.5, false}, bad = {(double)INFINITY, false};
  const struct {
    sizes z;
    const attributes *attr;
    const char *why;
  } refused[] = {
      {{1, 3, 3, 3, 2, 4, false}, &plain, "3 heads are no multiple of 2 key heads"},
      {{1, 4, 3, 1, 1, 4, true}, &causal, "causal attention needs a key for each query: 3 < 4"},
      {{1, 4, 0, 1, 1, 4, false}, &plain, "there are no keys to attend to"},
      {{1, 4, 4, 1, 1, 4, false}, &bad, "scale must be finite, not inf"},
      {{1, 4, 4, 1, 1, 0, false}, &plain, "heads have no channels"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    rill_sample one = sample_of("refused", refused[i].z, refused[i].attr, backward);
    one.refused = refused[i].why;
    rill_sample_add(s, one);
  }
}
static void sample(rill_samples *s) { sample_as(s, false); }
static void backward_sample(rill_samples *s) { sample_as(s, true); }

const rill_op rilli_op_attention = {
    .name = "attention",
    .in = {"q", "k", "v"},
    .out = {"o", "lse"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "blocks", NULL, run},
                RILL_CUDA_KERNEL("mma", rilli_cuda_attention_mma_fits, rilli_cuda_attention_mma),
                RILL_CUDA_KERNEL("tiles", rilli_cuda_attention_fits, rilli_cuda_attention)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_ALL_INPUTS | RILL_SAVE_OUTPUT(0) | RILL_SAVE_OUTPUT(1),
    .sample = sample,
};
const rill_op rilli_op_attention_backward = {
    .name = "attention_backward",
    .in = {"do?", "dlse?", "q", "k", "v", "o", "lse"},
    .out = {"dq", "dk", "dv"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "blocks", NULL, backward_run},
                RILL_CUDA_KERNEL("mma", rilli_cuda_attention_mma_backward_fits,
                                 rilli_cuda_attention_mma_backward),
                RILL_CUDA_KERNEL("tiles", rilli_cuda_attention_backward_fits,
                                 rilli_cuda_attention_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of attention is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_attention_op(rill_tensor *q, rill_tensor *k, rill_tensor *v, bool causal,
                               double scale) {
  rill_tensor *in[] = {q, k, v}, *out[2];
  attributes attr = {scale, causal};
  if (q && scale == 0 && rill_rank(q) == 4 && rill_size(q, 3) > 0)
    attr.scale = 1 / sqrt((double)rill_size(q, 3));
  rill_apply_all(&rilli_op_attention, 3, in, &attr, out);
  return out[0];
}
