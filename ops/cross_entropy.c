/* Mean negative log-likelihood of the targets, without forming the log-softmax.
 *
 * Forward keeps one number a row, lse = log sum e^logits (hidden output 1; 0 for ignored rows).
 * Backward writes (e^(logits - lse) - onehot) g / count in one pass. Targets are checked before
 * anything is written. Row losses are summed in f64 by fixed tasks. */
#include <inttypes.h>
#include <string.h>

#include "ops/attributes.h"
#include "ops/compose.h"
#include "ops/cpu/row_math.h"
#include "ops/cpu/rows.h"
#include "ops/expect.h"
#include "ops/ops.h"

enum { LOGITS, TARGET };
enum { DLOSS, DLSE, BACK_LOGITS, BACK_TARGET, BACK_LSE };

extern const rill_op rilli_op_cross_entropy, rilli_op_cross_entropy_backward;

typedef rilli_cross_entropy_attr attributes;

bool rilli_cuda_cross_entropy(const rill_call *call);
bool rilli_cuda_cross_entropy_backward(const rill_call *call);

static rill_shape rows_shape(const rill_array *logits) {
  rill_shape shape = rill_array_shape(logits);
  shape.rank--;
  return shape;
}

static bool check(rill_infer *q, int logits, int target) {
  const rill_array *x = &q->in[logits], *t = &q->in[target];
  if (!rilli_expect_float(q, logits) || !rilli_expect_rank(q, logits, 1)) return false;
  if (t->dtype != RILL_I32 && t->dtype != RILL_I64)
    return rill_refuse(q, "target must be i32 or i64, not %s", rill_dtype_name(t->dtype));
  if (x->size[x->rank - 1] == 0) return rill_refuse(q, "logits have no classes");
  return rilli_expect(q, target, t->dtype, rows_shape(x));
}

static bool infer(rill_infer *q) {
  if (!check(q, LOGITS, TARGET)) return false;
  rill_dtype real = rilli_statistics_dtype(q->in[LOGITS].dtype);
  rill_infer_output(q, 0, real, RILL_SCALAR);
  return rill_infer_output(q, 1, real, rows_shape(&q->in[LOGITS]));
}

static bool backward_infer(rill_infer *q) {
  const rill_array *x = &q->in[BACK_LOGITS];
  if (!check(q, BACK_LOGITS, BACK_TARGET)) return false;
  rill_dtype real = rilli_statistics_dtype(x->dtype);
  return rilli_expect(q, DLOSS, real, RILL_SCALAR) && rilli_expect(q, DLSE, real, rows_shape(x)) &&
         rilli_expect(q, BACK_LSE, real, rows_shape(x)) &&
         rill_infer_output(q, 0, x->dtype, rill_array_shape(x));
}

/* ---- kernels ---- */

typedef struct {
  const rill_array *logits, *target;
  int64_t ignore, n;
  void *lse;        /* of the real type */
  double *partial;  /* [tasks], forward */
  double scale;     /* backward: g / count */
  const void *dlse; /* backward, or NULL */
  void *dlogits;    /* backward */
} job;

static int64_t target_at(const rill_array *t, int64_t i) {
  return t->dtype == RILL_I32 ? ((const int32_t *)t->data)[i] : ((const int64_t *)t->data)[i];
}
static double real_at(rill_dtype dtype, const void *x, int64_t i) {
  return dtype == RILL_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}
static void real_put(rill_dtype dtype, void *x, int64_t i, double value) {
  if (dtype == RILL_F64)
    ((double *)x)[i] = value;
  else
    ((float *)x)[i] = (float)value;
}

/* Counts the targets that are not ignored; refuses those out of range. */
static bool count_targets(const rill_call *call, const rill_array *target, int64_t rows,
                          int64_t classes, int64_t ignore, int64_t *count) {
  *count = 0;
  for (int64_t i = 0; i < rows; i++) {
    int64_t t = target_at(target, i);
    if (t == ignore) continue;
    if (t < 0 || t >= classes)
      return rill_kernel_fail(call,
                              "target %" PRId64 " at position %" PRId64 " is outside [0, %" PRId64
                              ") and not %" PRId64 " (ignored)",
                              t, i, classes, ignore);
    ++*count;
  }
  return true;
}

static void forward_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  rill_dtype d = j->logits->dtype, real = rilli_real_of(d);
  const rilli_row_math *math = rilli_row_math_of(d);
  double sum = 0;
  for (int64_t i = begin; i < end; i++) {
    int64_t t = target_at(j->target, i);
    double lse = 0;
    if (t != j->ignore) {
      const void *x = rilli_row_load(d, j->logits->data, i * j->n, j->n, scratch);
      lse = math->logsumexp(x, j->n);
      sum += lse - real_at(real, x, t);
    }
    real_put(real, j->lse, i, lse);
  }
  j->partial[task] = sum;
}

static bool run(const rill_call *call) {
  const rill_array *x = &call->in[LOGITS];
  const attributes *attr = call->attr;
  int64_t rows = rilli_rows_of(x), n = x->size[x->rank - 1], count;
  if (!count_targets(call, &call->in[TARGET], rows, n, attr->ignore, &count)) return false;
  int64_t block = rilli_rows_block(rows, n, false), tasks = rilli_rows_tasks(rows, block);
  job j = {.logits = x,
           .target = &call->in[TARGET],
           .ignore = attr->ignore,
           .n = n,
           .lse = call->out[1].data,
           .partial = rill_env_alloc(call->env, (size_t)tasks * sizeof(double))};
  size_t scratch = rilli_is_bf16(x->dtype) ? (size_t)n * sizeof(float) : 0;
  if (!j.partial || !rilli_rows_run(call->env, rows, block, scratch, forward_rows, &j))
    return false;
  double sum = 0;
  for (int64_t i = 0; i < tasks; i++) sum += j.partial[i];
  real_put(call->out[0].dtype, call->out[0].data, 0, count ? sum / (double)count : 0);
  return true;
}

static void backward_rows(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  rill_dtype d = j->logits->dtype, real = rilli_real_of(d);
  const rilli_row_math *math = rilli_row_math_of(d);
  size_t row = rilli_round64((size_t)j->n * rilli_real_size(d));
  (void)task;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i * j->n, t = target_at(j->target, i);
    void *dx = rilli_row_target(d, j->dlogits, at, rilli_row_buffer(scratch, row));
    if (t == j->ignore) {
      memset(dx, 0, (size_t)j->n * rilli_real_size(d));
    } else {
      const void *x = rilli_row_load(d, j->logits->data, at, j->n, scratch);
      double all = j->scale + (j->dlse ? real_at(real, j->dlse, i) : 0);
      math->softmax_scaled(x, real_at(real, j->lse, i), all, dx, j->n);
      real_put(real, dx, t, real_at(real, dx, t) - j->scale);
    }
    rilli_row_store(d, dx, j->dlogits, at, j->n);
  }
}

static bool backward_run(const rill_call *call) {
  const rill_array *x = &call->in[BACK_LOGITS], *g = &call->in[DLOSS], *dlse = &call->in[DLSE];
  const attributes *attr = call->attr;
  int64_t rows = rilli_rows_of(x), n = x->size[x->rank - 1], count;
  if (!count_targets(call, &call->in[BACK_TARGET], rows, n, attr->ignore, &count)) return false;
  double gradient = rill_present(g) ? real_at(g->dtype, g->data, 0) : 0;
  job j = {.logits = x,
           .target = &call->in[BACK_TARGET],
           .ignore = attr->ignore,
           .n = n,
           .lse = call->in[BACK_LSE].data,
           .scale = count ? gradient / (double)count : 0,
           .dlse = rill_present(dlse) ? dlse->data : NULL,
           .dlogits = call->out[0].data};
  size_t scratch = rilli_is_bf16(x->dtype) ? 2 * rilli_round64((size_t)n * sizeof(float)) : 0;
  return rilli_rows_run(call->env, rows, rilli_rows_block(rows, n, false), scratch, backward_rows,
                        &j);
}

/* ---- in other ops ---- */

/* One flat row an entry: logits [rows, classes], targets with 0 for ignored ones, and 1 or 0. */
typedef struct {
  rill_tensor *x, *target, *kept, *count;
} flat;

static flat flatten(rill_tensor *logits, rill_tensor *target, const void *attr) {
  int64_t rows = rill_count(target), classes = rill_size(logits, -1);
  rill_dtype index = rill_dtype_of(target);
  rill_context *ctx = rill_context_of(logits);
  flat f = {.x = rill_reshape(rilli_as_real(logits), RILL_SHAPE(rows, classes)),
            .target = rill_reshape(target, RILL_SHAPE(rows, 1))};
  rill_tensor *ignore = rill_scalar(ctx, index, (double)((const attributes *)attr)->ignore);
  rill_tensor *ignored = rill_equal(f.target, ignore);
  f.kept = rill_cast(rill_logical_not(ignored), rill_dtype_of(f.x));
  f.target = rill_where(ignored, rill_scalar(ctx, index, 0), f.target);
  f.count = rill_clamp(rill_sum(f.kept, RILL_ALL_AXES, false), 1, 1e300);
  return f;
}

static void compose(rill_compose *c) {
  flat f = flatten(c->in[LOGITS], c->in[TARGET], c->attr);
  rill_tensor *lse = rill_logsumexp(f.x, -1, true);
  rill_tensor *loss = rill_mul(rill_sub(lse, rill_gather(f.x, -1, f.target)), f.kept);
  c->out[0] = rill_div(rill_sum(loss, RILL_ALL_AXES, false), f.count);
  c->out[1] = rill_reshape(rill_mul(lse, f.kept), rill_shape_of(c->in[TARGET]));
}

static void backward_compose(rill_compose *c) {
  rill_tensor *logits = c->in[BACK_LOGITS];
  flat f = flatten(logits, c->in[BACK_TARGET], c->attr);
  rill_shape column = rill_shape_of(f.target);
  rill_tensor *zero = rill_zeros(c->ctx, rill_dtype_of(f.x), RILL_SCALAR);
  rill_tensor *scale = rill_div(c->in[DLOSS] ? c->in[DLOSS] : zero, f.count);
  rill_tensor *lse = rill_reshape(c->in[BACK_LSE], column);
  rill_tensor *all = c->in[DLSE] ? rill_add(rill_reshape(c->in[DLSE], column), scale) : scale;
  rill_tensor *p = rill_mul(rill_exp(rill_sub(f.x, lse)), rill_mul(all, f.kept));
  rill_tensor *dx = rill_scatter_add(p, -1, f.target, rill_neg(rill_mul(f.kept, scale)));
  dx = rill_reshape(dx, rill_shape_of(logits));
  c->out[0] = rilli_as_dtype(dx, rill_dtype_of(logits));
}

static void vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->grad[0], g->grad[1], g->in[LOGITS], g->in[TARGET], g->out[1]};
  rill_vjp_give(g, LOGITS, rill_apply(&rilli_op_cross_entropy_backward, 5, in, g->attr));
}

/* ---- samples ---- */

static void sample_as(rill_samples *s, bool backward) {
  static const rill_shape shape[] = {
      {1, {1}},       {1, {7}},       {1, {300}},     {2, {1, 1}},    {2, {1, 5}},
      {2, {3, 1}},    {2, {3, 4}},    {2, {7, 11}},   {2, {0, 4}},    {2, {2, 63}},
      {2, {2, 65}},   {2, {16, 2}},   {3, {2, 3, 5}}, {3, {1, 4, 9}}, {3, {2, 0, 5}},
      {3, {3, 1, 8}}, {2, {13, 127}}, {2, {5, 257}},  {2, {31, 3}},   {4, {2, 1, 2, 6}},
      {2, {11, 10}},  {3, {2, 5, 3}}, {2, {2, 1025}}, {2, {4, 17}},   {2, {33, 8}}};
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++) {
    rill_shape rows = shape[i];
    int64_t classes = rows.size[--rows.rank];
    attributes attr = {i % 3 == 1 ? 0
                                  : -100}; /* ignoring class 0: some rows, or all, are left out */
    rill_sample_input logits = {.shape = shape[i]}, number = {.shape = rows, .state = true};
    rill_sample_input target = {
        .shape = rows, .dtype = i % 2 ? RILL_I64 : RILL_I32, .below = classes};
    rill_sample one = {.name = "shape", .in = {logits, target}, .attr = &attr};
    if (backward) {
      one.in[DLOSS] = (rill_sample_input){.shape = RILL_SCALAR, .state = true};
      one.in[DLSE] = number;
      one.in[DLSE].absent = i % 2;
      one.in[BACK_LOGITS] = logits;
      one.in[BACK_TARGET] = target;
      one.in[BACK_LSE] = number;
      one.in[BACK_LSE].low = 3;
      one.in[BACK_LSE].high = 4;
    }
    rill_sample_add(s, one);
  }
}

static void sample(rill_samples *s) {
  attributes attr = {-100};
  sample_as(s, false);
  rill_sample_add(
      s, (rill_sample){.name = "many",
                       .in = {{.shape = RILL_SHAPE(1031, 1009)},
                              {.shape = RILL_SHAPE(1031), .dtype = RILL_I64, .below = 1009}},
                       .attr = &attr,
                       .no_gradient = true});
  rill_sample_add(s, (rill_sample){.name = "target shape",
                                   .in = {{.shape = RILL_SHAPE(2, 3)},
                                          {.shape = RILL_SHAPE(3), .dtype = RILL_I32, .below = 2}},
                                   .attr = &attr,
                                   .refused = "target must have shape [2], not [3]"});
  rill_sample_add(s,
                  (rill_sample){.name = "floating target",
                                .in = {{.shape = RILL_SHAPE(2, 3)},
                                       {.shape = RILL_SHAPE(2), .dtype = RILL_F32, .fixed = true}},
                                .attr = &attr,
                                .refused = "target must be i32 or i64, not f32"});
  rill_sample_add(s, (rill_sample){.name = "no classes",
                                   .in = {{.shape = RILL_SHAPE(2, 0)},
                                          {.shape = RILL_SHAPE(2), .dtype = RILL_I32, .below = 2}},
                                   .attr = &attr,
                                   .refused = "logits have no classes"});
  rill_sample_add(s,
                  (rill_sample){.name = "target range",
                                .in = {{.shape = RILL_SHAPE(64, 3)},
                                       {.shape = RILL_SHAPE(64), .dtype = RILL_I32, .below = 50}},
                                .attr = &attr,
                                .refused = " is outside [0, 3) and not -100 (ignored)"});
}

static void backward_sample(rill_samples *s) {
  attributes attr = {-100};
  rill_sample_input number = {.shape = RILL_SHAPE(2), .state = true};
  rill_sample_input target = {.shape = RILL_SHAPE(2), .dtype = RILL_I32, .below = 2};
  sample_as(s, true);
  rill_sample_add(s, (rill_sample){.name = "lse",
                                   .in = {{.shape = RILL_SCALAR, .state = true},
                                          number,
                                          {.shape = RILL_SHAPE(2, 3)},
                                          target,
                                          {.shape = RILL_SHAPE(3), .state = true}},
                                   .attr = &attr,
                                   .refused = "lse must have shape [2], not [3]"});
  rill_sample_add(s, (rill_sample){.name = "loss",
                                   .in = {{.shape = RILL_SHAPE(1), .state = true},
                                          number,
                                          {.shape = RILL_SHAPE(2, 3)},
                                          target,
                                          number},
                                   .attr = &attr,
                                   .refused = "dloss must have shape [], not [1]"});
}

const rill_op rilli_op_cross_entropy = {
    .name = "cross_entropy",
    .in = {"logits", "target"},
    .out = {"loss", "lse"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "rows", NULL, run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_cross_entropy)},
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(LOGITS) | RILL_SAVE_INPUT(TARGET) | RILL_SAVE_OUTPUT(1),
    .sample = sample,
};
const rill_op rilli_op_cross_entropy_backward = {
    .name = "cross_entropy_backward",
    .in = {"dloss?", "dlse?", "logits", "target", "lse"},
    .out = {"dlogits"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "rows", NULL, backward_run},
                RILL_CUDA_KERNEL("rows", NULL, rilli_cuda_cross_entropy_backward)},
    .compose = backward_compose,
    .no_grad = "the derivative of cross_entropy is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_cross_entropy_ignoring(rill_tensor *logits, rill_tensor *target, int64_t ignore) {
  rill_tensor *in[] = {logits, target}, *out[2];
  attributes attr = {ignore};
  rill_apply_all(&rilli_op_cross_entropy, 2, in, &attr, out);
  return out[0];
}
rill_tensor *rill_cross_entropy(rill_tensor *logits, rill_tensor *target) {
  return rill_cross_entropy_ignoring(logits, target, -100);
}
