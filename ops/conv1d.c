/* Causal depthwise convolution over time, with the inputs before the first token as an optional
 * state and an optional SiLU: z[t] = bias + sum_j weight[j] x[t - W + 1 + j], out = silu(z).
 *
 * Work is cut into pieces of 32 tokens of a sequence; within one, whole rows of channels are
 * combined, so the innermost loop runs over channels whatever W is. The backward computes z again
 * where SiLU needs it. Rows before the first token come from the state, or are zero:
 *
 *   rows of a piece   t0-W+1 ... t0-1 | t0 ... t1-1 | t1 ... t1+W-2
 *   forward reads     x                 x
 *   backward reads    x                 x, dy         x, dy      and writes dx for t0 ... t1-1 */
#include <inttypes.h>
#include <string.h>

#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"
#include "tensor/io.h"

enum { X, WEIGHT, BIAS, STATE };
enum { DY, BACK };
enum { PIECE = 32, SUMS = 64 };

extern const rill_op rilli_op_conv1d_causal, rilli_op_conv1d_causal_backward;

typedef rilli_conv1d_attr attributes;

bool rilli_cuda_conv1d_causal(const rill_call *call);
bool rilli_cuda_conv1d_causal_backward(const rill_call *call);

static bool check(rill_infer *q, int at) {
  const rill_array *x = &q->in[at + X], *w = &q->in[at + WEIGHT];
  if (!rilli_expect_float(q, at + X)) return false;
  if (x->rank != 3) return rill_refuse(q, "x must have rank 3, [B, T, C], not %d", x->rank);
  if (w->rank != 2) return rill_refuse(q, "weight must have rank 2, [C, W], not %d", w->rank);
  int64_t B = x->size[0], C = x->size[2], W = w->size[1];
  if (W == 0) return rill_refuse(q, "weight has no taps");
  return rilli_expect(q, at + WEIGHT, x->dtype, RILL_SHAPE(C, W)) &&
         rilli_expect(q, at + BIAS, x->dtype, RILL_SHAPE(C)) &&
         rilli_expect(q, at + STATE, x->dtype, RILL_SHAPE(B, W - 1, C));
}

static bool infer(rill_infer *q) {
  return check(q, 0) && rill_infer_output(q, 0, q->in[X].dtype, rill_array_shape(&q->in[X]));
}

static bool backward_infer(rill_infer *q) {
  if (!check(q, BACK) || !rilli_expect_like(q, DY, BACK + X)) return false;
  for (int i = X; i <= STATE; i++) {
    const rill_array *a = &q->in[BACK + i];
    rill_infer_output(q, i, q->in[BACK + X].dtype,
                      rill_present(a) ? rill_array_shape(a) : RILL_SHAPE(0));
  }
  return true;
}

/* ---- kernels ---- */

typedef struct {
  rill_dtype dtype;
  const rilli_row_math *math;
  const rill_array *x, *state, *dy; /* dy NULL: forward */
  const rill_array *out;
  int64_t B, T, C, W, pieces; /* pieces of a sequence */
  bool silu;
  char *weight;     /* [W, C] reals */
  const void *bias; /* [C] reals, or NULL */
  char *zero;       /* [C] reals */
  double *sums;     /* backward: [tasks, W + 1, C] */
  size_t row;       /* bytes of a row of reals, rounded up */
} job;

/* Row t of x as reals; t < 0 is in the state. */
static const void *x_row(const job *j, int64_t b, int64_t t, void *buffer) {
  if (t >= 0) return rilli_row_load(j->dtype, j->x->data, (b * j->T + t) * j->C, j->C, buffer);
  if (!rill_present(j->state)) return j->zero;
  return rilli_row_load(j->dtype, j->state->data, (b * (j->W - 1) + j->W - 1 + t) * j->C, j->C,
                        buffer);
}

static void forward_piece(const job *j, int64_t piece, char *scratch) {
  int64_t b = piece / j->pieces, t0 = piece % j->pieces * PIECE;
  int64_t t1 = t0 + PIECE < j->T ? t0 + PIECE : j->T, before = j->W - 1;
  const void **x = (const void **)(void *)scratch;
  char *rows = scratch + rilli_round64((size_t)(PIECE + before) * sizeof *x);
  for (int64_t i = 0; i < t1 - t0 + before; i++)
    x[i] = x_row(j, b, t0 - before + i, rows + (size_t)i * j->row);
  char *buffer = rows + (size_t)(PIECE + before) * j->row;
  for (int64_t t = t0; t < t1; t++) {
    int64_t at = (b * j->T + t) * j->C;
    void *y = rilli_row_target(j->dtype, j->out->data, at, buffer);
    j->math->convolve(x + (t - t0), j->weight, j->W, j->bias, y, j->C);
    if (j->silu) j->math->silu(y, j->C);
    rilli_row_store(j->dtype, y, j->out->data, at, j->C);
  }
}

/* The gradient of z for row t of a piece whose rows of x begin at x. */
static const void *dz_row(const job *j, int64_t b, int64_t t, const void *const *x, void *z,
                          void *buffer) {
  const void *dy = rilli_row_load(j->dtype, j->dy->data, (b * j->T + t) * j->C, j->C, buffer);
  if (!j->silu) return dy;
  if (dy != buffer) memcpy(buffer, dy, (size_t)j->C * rilli_real_size(j->dtype));
  j->math->convolve(x, j->weight, j->W, j->bias, z, j->C);
  j->math->silu_backward(z, buffer, j->C);
  return buffer;
}

static void backward_piece(const job *j, int64_t piece, double *sums, char *scratch) {
  int64_t b = piece / j->pieces, t0 = piece % j->pieces * PIECE, C = j->C, before = j->W - 1;
  int64_t t1 = t0 + PIECE < j->T ? t0 + PIECE : j->T, end = t1 + before < j->T ? t1 + before : j->T;
  int64_t most = PIECE + 2 * before;
  const void **x = (const void **)(void *)scratch, **dz = x + most, **taps = dz + most;
  char *rows = scratch + rilli_round64((size_t)(2 * most + j->W) * sizeof *x);
  char *dz_rows = rows + (size_t)most * j->row, *z = dz_rows + (size_t)most * j->row;
  for (int64_t i = 0; i < end - t0 + before; i++)
    x[i] = x_row(j, b, t0 - before + i, rows + (size_t)i * j->row);
  for (int64_t t = t0; t < end; t++)
    dz[t - t0] = dz_row(j, b, t, x + (t - t0), z, dz_rows + (size_t)(t - t0) * j->row);
  for (int64_t t = t0; t < t1; t++) {
    for (int64_t k = 0; k < j->W; k++)
      j->math->add_product(dz[t - t0], x[t - t0 + k], sums + k * C, C);
    j->math->add(dz[t - t0], sums + j->W * C, C);
  }
  bool state = t0 == 0 && rill_present(j->state);
  for (int64_t t = state ? -before : t0; t < t1; t++) {
    for (int64_t k = 0; k < j->W; k++) {
      int64_t from = t + before - k;
      taps[k] = from >= 0 && from < end ? dz[from - t0] : j->zero;
    }
    const rill_array *to = t < 0 ? &j->out[STATE] : &j->out[X];
    int64_t at = t < 0 ? (b * before + before + t) * C : (b * j->T + t) * C;
    void *dx = rilli_row_target(j->dtype, to->data, at, z);
    j->math->convolve(taps, j->weight, j->W, NULL, dx, C);
    rilli_row_store(j->dtype, dx, to->data, at, C);
  }
}

static void run_pieces(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  double *sums = j->sums ? j->sums + task * (j->W + 1) * j->C : NULL;
  for (int64_t i = 0; sums && i < (j->W + 1) * j->C; i++) sums[i] = 0;
  for (int64_t i = begin; i < end; i++) {
    if (j->dy)
      backward_piece(j, i, sums, scratch);
    else
      forward_piece(j, i, scratch);
  }
}

/* weight [C, W] to reals [W, C]: a tap is a row. */
static void turn_weight(const job *j, const rill_array *w) {
  for (int64_t c = 0; c < j->C; c++)
    for (int64_t k = 0; k < j->W; k++) {
      int64_t from = c * j->W + k, to = k * j->C + c;
      if (j->dtype == RILL_F64)
        ((double *)(void *)j->weight)[to] = ((const double *)w->data)[from];
      else if (j->dtype == RILL_F32)
        ((float *)(void *)j->weight)[to] = ((const float *)w->data)[from];
      else
        ((float *)(void *)j->weight)[to] = rill_bf16_to_f32(((const rill_bf16 *)w->data)[from]);
    }
}

/* A job over call->in[at ...]; false when memory is short. */
static bool make_job(const rill_call *call, int at, job *j) {
  const rill_array *x = &call->in[at + X], *w = &call->in[at + WEIGHT], *b = &call->in[at + BIAS];
  size_t size = rilli_real_size(x->dtype);
  *j = (job){.dtype = x->dtype,
             .math = rilli_row_math_of(x->dtype),
             .x = x,
             .state = &call->in[at + STATE],
             .out = call->out,
             .B = x->size[0],
             .T = x->size[1],
             .C = x->size[2],
             .W = w->size[1],
             .pieces = (x->size[1] + PIECE - 1) / PIECE,
             .silu = ((const attributes *)call->attr)->silu};
  j->row = rilli_round64((size_t)j->C * size);
  j->weight = rill_env_alloc(call->env, (size_t)j->W * (size_t)j->C * size);
  j->zero = rill_env_alloc(call->env, j->row);
  char *bias = rill_env_alloc(call->env, j->row);
  if (!j->weight || !j->zero || !bias) return false;
  turn_weight(j, w);
  memset(j->zero, 0, j->row);
  if (rill_present(b)) j->bias = rilli_row_load(j->dtype, b->data, 0, j->C, bias);
  return true;
}

static bool run(const rill_call *call) {
  job j;
  if (!make_job(call, 0, &j)) return false;
  size_t rows = (size_t)(PIECE + j.W - 1);
  size_t scratch = rilli_round64(rows * sizeof(void *)) + (rows + 1) * j.row;
  return rilli_rows_run(call->env, j.C ? j.B * j.pieces : 0, 1, scratch, run_pieces, &j);
}

/* The taps' sums [W, C] to dweight [C, W]. */
static void store_weight(const job *j, const double *sum, const rill_array *to) {
  for (int64_t c = 0; c < j->C; c++)
    for (int64_t k = 0; k < j->W; k++) {
      double value = sum[k * j->C + c];
      if (j->dtype == RILL_F64)
        ((double *)to->data)[c * j->W + k] = value;
      else if (j->dtype == RILL_F32)
        ((float *)to->data)[c * j->W + k] = (float)value;
      else
        ((rill_bf16 *)to->data)[c * j->W + k] = rill_bf16_from_f32((float)value);
    }
}

static bool backward_run(const rill_call *call) {
  job j;
  if (!make_job(call, BACK, &j)) return false;
  j.dy = &call->in[DY];
  int64_t pieces = j.C ? j.B * j.pieces : 0, width = (j.W + 1) * j.C;
  int64_t block = (pieces + SUMS - 1) / SUMS, tasks = block ? rilli_rows_tasks(pieces, block) : 0;
  j.sums = rill_env_alloc(call->env, (size_t)(tasks * width) * sizeof(double));
  double *sum = rill_env_alloc(call->env, (size_t)width * sizeof(double));
  if (!j.sums || !sum) return false;
  size_t most = (size_t)(PIECE + 2 * (j.W - 1));
  size_t scratch =
      rilli_round64((2 * most + (size_t)j.W) * sizeof(void *)) + (2 * most + 1) * j.row;
  if (pieces && !rilli_rows_run(call->env, pieces, block, scratch, run_pieces, &j)) return false;
  const rill_array *dstate = &call->out[STATE];
  if (pieces == 0 && rill_array_count(dstate))
    memset(dstate->data, 0, (size_t)rill_array_count(dstate) * rill_dtype_size(j.dtype));
  rilli_rows_add(j.sums, tasks, width, RILL_F64, sum);
  store_weight(&j, sum, &call->out[WEIGHT]);
  if (rill_present(&call->in[BACK + BIAS]))
    rilli_rows_add(sum + j.W * j.C, 1, j.C, j.dtype, call->out[BIAS].data);
  return true;
}

/* ---- in other ops ---- */

/* `count` rows of zeros before and after x [B, T, C], or the state before it. */
static rill_tensor *padded(rill_tensor *x, rill_tensor *state, int64_t before, int64_t after) {
  rill_context *ctx = rill_context_of(x);
  rill_dtype dtype = rill_dtype_of(x);
  int64_t B = rill_size(x, 0), C = rill_size(x, 2);
  rill_tensor *part[] = {state ? state : rill_zeros(ctx, dtype, RILL_SHAPE(B, before, C)), x,
                         rill_zeros(ctx, dtype, RILL_SHAPE(B, after, C))};
  return rill_concat(3, part, 1);
}

static rill_tensor *tap(rill_tensor *weight, int64_t k) {
  return rill_squeeze(rill_slice(weight, 1, k, k + 1, 1), 1);
}

/* sum_k weight[k] x[t + k] for T rows; weights in reverse when `reversed`. */
static rill_tensor *correlate(rill_tensor *x, rill_tensor *weight, int64_t T, bool reversed) {
  int64_t W = rill_size(weight, 1);
  rill_tensor *sum = NULL;
  for (int64_t k = 0; k < W; k++) {
    rill_tensor *term =
        rill_mul(rill_slice(x, 1, k, k + T, 1), tap(weight, reversed ? W - 1 - k : k));
    sum = sum ? rill_add(sum, term) : term;
  }
  return sum;
}

static void compose(rill_compose *c) {
  rill_tensor *x = rilli_as_real(c->in[X]), *w = rilli_as_real(c->in[WEIGHT]);
  rill_tensor *all = padded(x, rilli_as_real(c->in[STATE]), rill_size(w, 1) - 1, 0);
  rill_tensor *z = correlate(all, w, rill_size(x, 1), false);
  if (c->in[BIAS]) z = rill_add(z, rilli_as_real(c->in[BIAS]));
  if (((const attributes *)c->attr)->silu) z = rill_silu(z);
  c->out[0] = rilli_as_dtype(z, rill_dtype_of(c->in[X]));
}

static void backward_compose(rill_compose *c) {
  rill_tensor *const *in = c->in + BACK;
  rill_tensor *x = rilli_as_real(in[X]), *w = rilli_as_real(in[WEIGHT]),
              *state = rilli_as_real(in[STATE]);
  rill_tensor *dz = rilli_as_real(c->in[DY]);
  rill_dtype dtype = rill_dtype_of(in[X]);
  int64_t W = rill_size(w, 1), T = rill_size(x, 1), B = rill_size(x, 0), C = rill_size(x, 2);
  rill_tensor *all = padded(x, state, W - 1, 0);
  if (((const attributes *)c->attr)->silu) {
    rill_tensor *z = correlate(all, w, T, false);
    if (in[BIAS]) z = rill_add(z, rilli_as_real(in[BIAS]));
    rill_tensor *s = rill_sigmoid(z);
    dz = rill_mul(dz, rill_mul(s, rill_affine(rill_mul(z, rill_affine(s, -1, 1)), 1, 1)));
  }
  rill_shape flat = RILL_SHAPE(B * T, C);
  rill_tensor **dw = rill_alloc(c->ctx, (size_t)W * sizeof *dw);
  for (int64_t k = 0; dw && k < W; k++)
    dw[k] = rill_sum(rill_reshape(rill_mul(dz, rill_slice(all, 1, k, k + T, 1)), flat), 0, false);
  c->out[X] = rilli_as_dtype(correlate(padded(dz, NULL, 0, W - 1), w, T, true), dtype);
  c->out[WEIGHT] = dw ? rilli_as_dtype(rill_stack((int)W, dw, 1), dtype) : in[WEIGHT];
  rill_free(c->ctx, dw);
  rill_tensor *none = rill_zeros(c->ctx, dtype, RILL_SHAPE(0));
  c->out[BIAS] =
      in[BIAS] ? rilli_as_dtype(rill_sum(rill_reshape(dz, flat), 0, false), dtype) : none;
  rill_tensor *before = padded(dz, NULL, W - 1, W - 1);
  c->out[STATE] = state ? rilli_as_dtype(correlate(before, w, W - 1, true), dtype)
                        : rill_zeros(c->ctx, dtype, RILL_SHAPE(0));
}

static void vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->grad[0], g->in[X], g->in[WEIGHT], g->in[BIAS], g->in[STATE]};
  rill_tensor *out[4];
  rill_apply_all(&rilli_op_conv1d_causal_backward, 5, in, g->attr, out);
  for (int i = X; i <= STATE; i++)
    if (g->in[i]) rill_vjp_give(g, i, out[i]);
}

/* ---- samples ---- */

static void sample_as(rill_samples *s, bool backward) {
  static const struct {
    int64_t B, T, C, W;
  } at[] = {{1, 1, 1, 1},  {1, 1, 1, 4},  {1, 5, 3, 4}, {2, 7, 5, 4},  {2, 3, 4, 2},
            {1, 4, 2, 7},  {0, 3, 2, 4},  {2, 0, 3, 4}, {2, 3, 0, 4},  {1, 31, 3, 4},
            {1, 32, 2, 3}, {1, 33, 3, 4}, {3, 2, 1, 3}, {1, 36, 2, 9}, {1, 13, 11, 4},
            {1, 2, 63, 4}, {1, 2, 65, 4}, {2, 1, 8, 4}, {1, 65, 1, 4}, {1, 3, 17, 1},
            {2, 35, 2, 5}, {1, 64, 2, 2}, {5, 3, 3, 4}, {1, 67, 1, 40}};
  attributes attr = {false};
  for (int i = 0; i < (int)(sizeof at / sizeof at[0]); i++) {
    int64_t B = at[i].B, T = at[i].T, C = at[i].C, W = at[i].W;
    attr.silu = i % 2;
    rill_sample one = {.name = "shape",
                       .in = {{.shape = RILL_SHAPE(B, T, C)},
                              {.shape = RILL_SHAPE(C, W)},
                              {.shape = RILL_SHAPE(C), .absent = i % 4 > 1},
                              {.shape = RILL_SHAPE(B, W - 1, C), .absent = i % 3 == 0}},
                       .attr = &attr};
    if (backward) {
      for (int k = 4; k > 0; k--) one.in[k] = one.in[k - 1];
      one.in[DY] = one.in[BACK + X];
    }
    rill_sample_add(s, one);
  }
  rill_shape many = RILL_SHAPE(2, 515, 96);
  rill_sample large = {.name = "many",
                       .in = {{.shape = many},
                              {.shape = backward ? many : RILL_SHAPE(96, 4)},
                              {.shape = backward ? RILL_SHAPE(96, 4) : RILL_SHAPE(96)},
                              {.shape = backward ? RILL_SHAPE(96) : RILL_SHAPE(2, 3, 96)},
                              {.shape = RILL_SHAPE(2, 3, 96)}},
                       .attr = &attr,
                       .no_gradient = true};
  rill_sample_add(s, large);
}

static void sample(rill_samples *s) {
  attributes attr = {true};
  sample_as(s, false);
  rill_sample one = {.name = "state",
                     .in = {{.shape = RILL_SHAPE(2, 5, 3)},
                            {.shape = RILL_SHAPE(3, 4)},
                            {.shape = RILL_SHAPE(3)},
                            {.shape = RILL_SHAPE(2, 4, 3)}},
                     .attr = &attr,
                     .refused = "state must have shape [2, 3, 3], not [2, 4, 3]"};
  rill_sample_add(s, one);
  one.in[STATE].absent = true;
  one.in[WEIGHT].shape = RILL_SHAPE(4, 3);
  one.refused = "weight must have shape [3, 3], not [4, 3]";
  rill_sample_add(s, one);
  one.in[WEIGHT].shape = RILL_SHAPE(3, 0);
  one.refused = "weight has no taps";
  rill_sample_add(s, one);
  one.in[X].shape = RILL_SHAPE(5, 3);
  one.refused = "x must have rank 3, [B, T, C], not 2";
  rill_sample_add(s, one);
}

static void backward_sample(rill_samples *s) {
  attributes attr = {true};
  sample_as(s, true);
  rill_sample one = {.name = "gradient",
                     .in = {{.shape = RILL_SHAPE(2, 4, 3)},
                            {.shape = RILL_SHAPE(2, 5, 3)},
                            {.shape = RILL_SHAPE(3, 4)},
                            {.absent = true},
                            {.absent = true}},
                     .attr = &attr,
                     .refused = "dy must have shape [2, 5, 3], not [2, 4, 3]"};
  rill_sample_add(s, one);
  one.in[BACK + WEIGHT].shape = RILL_SHAPE(3, 0);
  one.refused = "weight has no taps";
  rill_sample_add(s, one);
}

const rill_op rilli_op_conv1d_causal = {
    .name = "conv1d_causal",
    .in = {"x", "weight", "bias?", "state?"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_conv1d_causal)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_ALL_INPUTS,
    .sample = sample,
};
const rill_op rilli_op_conv1d_causal_backward = {
    .name = "conv1d_causal_backward",
    .in = {"dy", "x", "weight", "bias?", "state?"},
    .out = {"dx", "dweight", "dbias", "dstate"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_conv1d_causal_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of conv1d_causal is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_conv1d_causal(rill_tensor *x, rill_tensor *weight, rill_tensor *bias,
                                rill_tensor *state, bool silu) {
  attributes attr = {silu};
  return RILL_APPLY(&rilli_op_conv1d_causal, &attr, x, weight, bias, state);
}
