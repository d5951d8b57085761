/* Every public op: the page to read.
 *
 * Ops take tensors of one context and return a new tensor in its innermost scope. Unless said
 * otherwise:
 *   - "floating" is f32, f64 or bf16 (stored; computed in f32);
 *   - operands of one call have one dtype; rill_cast converts;
 *   - operands broadcast against each other (aligned at the last axis);
 *   - axes may be negative (counted from the end);
 *   - gradients flow to every floating operand;
 *   - what is refused (rank, size, dtype, a wrong option) is recorded as an error that names the
 *     op and its operands.
 *
 * reshape, permute, slice, expand, squeeze, unsqueeze, split return views of their operand's
 * memory. */
#ifndef RILL_OPS_OPS_H_
#define RILL_OPS_OPS_H_

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "ops/recurrence/recurrence.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All ops of the library, NULL-terminated, for tools and tests; and one by its name, or NULL. */
extern const rill_op *const rill_all_ops[];
const rill_op *rill_op_find(const char *name);

/* ---- arithmetic: floating and integer dtypes ---- */
rill_tensor *rill_add(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_sub(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_mul(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_div(rill_tensor *a, rill_tensor *b); /* floating */
rill_tensor *rill_pow(rill_tensor *a, rill_tensor *b); /* floating */
rill_tensor *rill_maximum(rill_tensor *a,
                          rill_tensor *b); /* NaN wins; ties split the gradient evenly */
rill_tensor *rill_minimum(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_neg(rill_tensor *x);
rill_tensor *rill_affine(rill_tensor *x, double scale, double shift); /* scale x + shift */
rill_tensor *rill_scale(rill_tensor *x, double factor);               /* factor x */

/* ---- comparisons: bool results, no gradient ---- */
rill_tensor *rill_equal(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_less(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_less_equal(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_greater(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_greater_equal(rill_tensor *a, rill_tensor *b);
rill_tensor *rill_logical_not(rill_tensor *a);
rill_tensor *rill_logical_and(rill_tensor *a, rill_tensor *b);
/* condition ? a : b; condition bool */
rill_tensor *rill_where(rill_tensor *condition, rill_tensor *a, rill_tensor *b);

/* ---- elementwise functions: floating ---- */
rill_tensor *rill_exp(rill_tensor *x);
rill_tensor *rill_log(rill_tensor *x);
rill_tensor *rill_sqrt(rill_tensor *x);
rill_tensor *rill_rsqrt(rill_tensor *x);
rill_tensor *rill_reciprocal(rill_tensor *x);
rill_tensor *rill_square(rill_tensor *x);
rill_tensor *rill_abs(rill_tensor *x); /* gradient 0 at 0 */
rill_tensor *rill_tanh(rill_tensor *x);
rill_tensor *rill_sigmoid(rill_tensor *x);
rill_tensor *rill_logsigmoid(rill_tensor *x);
rill_tensor *rill_silu(rill_tensor *x);     /* x sigmoid(x) */
rill_tensor *rill_gelu(rill_tensor *x);     /* x Phi(x), exact (erf) */
rill_tensor *rill_relu(rill_tensor *x);     /* gradient 0 at 0 */
rill_tensor *rill_softplus(rill_tensor *x); /* log(1 + e^x), without overflow */
rill_tensor *rill_sin(rill_tensor *x);
rill_tensor *rill_cos(rill_tensor *x);
/* min(max(x, low), high); gradient 1 where low <= x <= high */
rill_tensor *rill_clamp(rill_tensor *x, double low, double high);
/* silu(gate) * up, in one pass (SwiGLU); equal shapes */
rill_tensor *rill_swiglu(rill_tensor *gate, rill_tensor *up);
/* rill_linear_op(rill_swiglu(gate, up), weight, NULL), which keeps less for backward */
rill_tensor *rill_swiglu_linear(rill_tensor *gate, rill_tensor *up, rill_tensor *weight);

/* ---- reductions. axis RILL_ALL_AXES reduces everything to rank 0; keep leaves the axis with
 * size 1. Sums are accumulated in f32 (f64) in a fixed order. Reducing an empty axis: sum 0, mean
 * NaN, max and min refused ---- */
#define RILL_ALL_AXES (-1000)
rill_tensor *rill_sum(rill_tensor *x, int axis, bool keep); /* of integers and bool: i64 */
rill_tensor *rill_mean(rill_tensor *x, int axis, bool keep);
rill_tensor *rill_max(rill_tensor *x, int axis, bool keep); /* gradient to the first maximum */
rill_tensor *rill_min(rill_tensor *x, int axis, bool keep);
rill_tensor *rill_argmax(rill_tensor *x, int axis,
                         bool keep); /* i64; the first maximum; NaN is largest */
/* mean of squared deviations; correction 0 divides by n, 1 by n - 1 */
rill_tensor *rill_var(rill_tensor *x, int axis, bool keep, int correction);
rill_tensor *rill_logsumexp(rill_tensor *x, int axis, bool keep);
rill_tensor *rill_cumsum(rill_tensor *x, int axis); /* inclusive */

/* ---- shape ---- */
rill_tensor *rill_reshape(rill_tensor *x, rill_shape shape); /* one size may be -1: what is left */
rill_tensor *rill_permute(rill_tensor *x,
                          rill_axes axes); /* axis i of the result is axis axes[i] of x */
rill_tensor *rill_transpose(rill_tensor *x, int a, int b); /* exchanges two axes */
rill_tensor *rill_slice(rill_tensor *x, int axis, int64_t start, int64_t end, int64_t step);
/* start, end may be negative (from the end); end is clipped; step >= 1 */
rill_tensor *rill_expand(rill_tensor *x, rill_shape shape); /* broadcasts; -1 keeps a size */
rill_tensor *rill_squeeze(rill_tensor *x, int axis);        /* removes an axis of size 1 */
rill_tensor *rill_unsqueeze(rill_tensor *x, int axis); /* adds an axis of size 1 before `axis` */
rill_tensor *rill_concat(int count, rill_tensor *const *x, int axis);
rill_tensor *rill_stack(int count, rill_tensor *const *x, int axis); /* along a new axis */
/* Cuts an axis into `count` parts of sizes[i] (their sum is the axis); out has room for count.
 * sizes NULL = equal. */
void rill_split(rill_tensor *x, int axis, int count, const int64_t *sizes, rill_tensor **out);
rill_tensor *rill_cast(rill_tensor *x,
                       rill_dtype dtype);     /* floating to integer truncates toward 0 */
rill_tensor *rill_contiguous(rill_tensor *x); /* x itself, or a row-major copy; with gradient */

/* ---- indexing: indices i32 or i64, in [0, size); others are refused before anything runs ---- */
/* out[..., i, ...] = x[..., index[..., i, ...], ...] along axis; index has the shape of out and x's
 * rank */
rill_tensor *rill_gather(rill_tensor *x, int axis, rill_tensor *index);
/* picks slices: out[..., i, ...] = x[..., index[i], ...]; index of rank 1 */
rill_tensor *rill_index_select(rill_tensor *x, int axis, rill_tensor *index);
/* x with src added at index along axis (index and src have one shape): a sum in a fixed order */
rill_tensor *rill_scatter_add(rill_tensor *x, int axis, rill_tensor *index, rill_tensor *src);
/* weight [rows, width], index of any shape -> [..., width] */
rill_tensor *rill_embedding_lookup(rill_tensor *weight, rill_tensor *index);

/* ---- products: accumulated in f32 (f64) ---- */
/* a [..., M, K] . b [..., K, N] -> [..., M, N]; leading axes broadcast; rank >= 2 each */
rill_tensor *rill_matmul(rill_tensor *a, rill_tensor *b);
/* x [..., K], weight [N, K], bias [N] or NULL -> [..., N] */
rill_tensor *rill_linear_op(rill_tensor *x, rill_tensor *weight, rill_tensor *bias);

/* ---- normalisation over the last axis; statistics in f32 (f64) ---- */
rill_tensor *rill_softmax(rill_tensor *x, int axis);
rill_tensor *rill_log_softmax(rill_tensor *x, int axis);
/* x / sqrt(mean(x^2) + eps) * weight; weight [size of the last axis] or NULL; eps 0 = 1e-6 */
rill_tensor *rill_rmsnorm_op(rill_tensor *x, rill_tensor *weight, double eps);
/* rmsnorm(x) * weight * silu(gate): output norm and gate in one; gate has the shape of x */
rill_tensor *rill_rmsnorm_gated(rill_tensor *x, rill_tensor *gate, rill_tensor *weight, double eps);
/* (x - mean) / sqrt(var + eps) * weight + bias; both optional; eps 0 = 1e-5 */
rill_tensor *rill_layernorm_op(rill_tensor *x, rill_tensor *weight, rill_tensor *bias, double eps);
/* x / sqrt(sum(x^2) + eps); eps 0 = 1e-6 (MATH: zero rows give zero and a finite gradient) */
rill_tensor *rill_l2norm(rill_tensor *x, double eps);
/* l2norm(silu(x)) in one pass: what the paper does to q and k. silu, norm: which of the two are on
 */
rill_tensor *rill_qk_prepare(rill_tensor *x, bool silu, bool norm, double eps);

/* ---- sequence ---- */
/* Mean of -log softmax(logits)[target] over the targets that are not `ignore`. logits [...,
 * classes], target [...] i32 or i64. Rank 0, f32 (f64). No target left: 0 (and zero gradients). */
rill_tensor *rill_cross_entropy_ignoring(rill_tensor *logits, rill_tensor *target, int64_t ignore);
rill_tensor *rill_cross_entropy(rill_tensor *logits, rill_tensor *target); /* ignore = -100 */
/* The cross entropy of rill_linear_op(x, weight, NULL), in blocks of rows: the logits never exist
 * whole, in training as in evaluation. x [..., K], weight [classes, K], target [...] (-100 = not
 * counted). */
rill_tensor *rill_linear_cross_entropy(rill_tensor *x, rill_tensor *weight, rill_tensor *target);
/* Rotary positions on pairs (i, i + D/2): x [B, T, H, D], D even. Token t turns by (t + offset) /
 * base^(2i/D); base 0 = 10000 */
rill_tensor *rill_rotary(rill_tensor *x, int64_t offset, double base);
/* Causal depthwise convolution: x [B, T, C], weight [C, W], bias [C] or NULL, state [B, W - 1, C]
 * (the inputs before the first token) or NULL = 0. out[t] = sum_j weight[j] x[t - W + 1 + j]. silu:
 * apply SiLU to the result. */
rill_tensor *rill_conv1d_causal(rill_tensor *x, rill_tensor *weight, rill_tensor *bias,
                                rill_tensor *state, bool silu);
/* Softmax attention: q [B, T, H, D], k and v [B, S, G, D] with H a multiple of G; scale 0 = D^-1/2.
 * Causal: query t sees keys 0 .. S - T + t. Computed in blocks: memory is linear in T and S. */
rill_tensor *rill_attention_op(rill_tensor *q, rill_tensor *k, rill_tensor *v, bool causal,
                               double scale);
/* Zeroes elements with probability p in [0, 1) and divides the others by 1 - p. */
rill_tensor *rill_dropout(rill_tensor *x, double p);

/* The recurrence family (rill_recur, rill_recur_step) is in ops/recurrence/recurrence.h. */

#ifdef __cplusplus
}
#endif

#endif /* RILL_OPS_OPS_H_ */
