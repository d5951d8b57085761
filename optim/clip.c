/* The norm of all gradients, and scaling by it. One op looks at all of them at once, so that a
 * device is waited for once. */
#include <inttypes.h>
#include <math.h>

#include "autograd/op.h"
#include "ops/cpu/clones.h"
#include "optim/optim_impl.h"
#include "optim/update_impl.h"
#include "tensor/io.h"

enum { LANES = 8, BLOCK = 1 << 14 };

bool rilli_cuda_square_sums(const rill_call *call);
bool rilli_cuda_scale_in_place(const rill_call *call);

/* ---- sums of squares: x... -> f64 [number of operands] ---- */

RILLI_CLONES
static double squares_f32(const float *x, int64_t n) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
  for (; i < n; i++) lane[0] += (double)x[i] * (double)x[i];
  double sum = 0;
  for (int j = 0; j < LANES; j++) sum += lane[j];
  return sum;
}

static double squares(const rill_array *a, int64_t at, int64_t n) {
  double sum = 0;
  if (a->dtype == RILL_F32) return squares_f32((const float *)a->data + at, n);
  if (a->dtype == RILL_F64) {
    const double *x = (const double *)a->data + at;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
  }
  const rill_bf16 *x = (const rill_bf16 *)a->data + at;
  for (int64_t i = 0; i < n; i++) {
    double value = (double)rill_bf16_to_f32(x[i]);
    sum += value * value;
  }
  return sum;
}

/* A block's sum goes to a place of its own; then the blocks of each operand are added in order. */
static bool squares_run(const rill_call *call) {
  int64_t blocks = 0;
  double *sums = call->out[0].data;
  for (int i = 0; i < call->inputs; i++)
    blocks += (rill_array_count(&call->in[i]) + BLOCK - 1) / BLOCK;
  double *part = rill_env_alloc(call->env, (size_t)(blocks + 1) * sizeof *part);
  int64_t *first = rill_env_alloc(call->env, ((size_t)call->inputs + 1) * sizeof *first);
  if (!part || !first) return false;
  first[0] = 0;
  for (int i = 0; i < call->inputs; i++)
    first[i + 1] = first[i] + (rill_array_count(&call->in[i]) + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) num_threads(call->env->threads) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++) {
    int low = 0, high = call->inputs; /* the operand with first[low] <= b < first[low + 1] */
    while (high - low > 1) {
      int middle = (low + high) / 2;
      if (first[middle] <= b) low = middle;
      if (first[middle] > b) high = middle;
    }
    int64_t at = (b - first[low]) * BLOCK, left = rill_array_count(&call->in[low]) - at;
    part[b] = squares(&call->in[low], at, left < BLOCK ? left : BLOCK);
  }
  for (int i = 0; i < call->inputs; i++) {
    sums[i] = 0;
    for (int64_t b = first[i]; b < first[i + 1]; b++) sums[i] += part[b];
  }
  return true;
}

static bool squares_infer(rill_infer *q) {
  for (int i = 0; i < q->inputs; i++)
    if (!rill_dtype_is_float(q->in[i].dtype))
      return rill_refuse(q, "operand %d is %s; gradients are f32, f64 or bf16", i,
                         rill_dtype_name(q->in[i].dtype));
  return rill_infer_output(q, 0, RILL_F64, RILL_SHAPE(q->inputs));
}

static const rill_op squares_op = {
    .name = "square_sums",
    .in = {"x..."},
    .out = {"sums"},
    .infer = squares_infer,
    .kernels = {{RILL_CPU, "blocks", NULL, squares_run},
                RILL_CUDA_KERNEL("pieces", NULL, rilli_cuda_square_sums)},
    .no_grad = "it looks at gradients"};

/* ---- scaling in place ---- */

RILLI_CLONES
static void scale_f32(float *x, int64_t n, float factor) {
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static void scale_part(const void *user, int64_t at, int64_t n) {
  const rill_call *call = user;
  const rill_array *a = &call->in[0];
  double factor = *(const double *)call->attr;
  if (a->dtype == RILL_F32) {
    scale_f32((float *)a->data + at, n, (float)factor);
  } else if (a->dtype == RILL_F64) {
    double *x = (double *)a->data + at;
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
  } else {
    rill_bf16 *x = (rill_bf16 *)a->data + at;
    for (int64_t i = 0; i < n; i++)
      x[i] = rill_bf16_from_f32(rill_bf16_to_f32(x[i]) * (float)factor);
  }
}

static bool scale_run(const rill_call *call) {
  rilli_update_pieces(call->env, rill_array_count(&call->in[0]), scale_part, call);
  return true;
}

static bool scale_infer(rill_infer *q) {
  return rill_dtype_is_float(q->in[0].dtype) || rill_refuse(q, "x must be f32, f64 or bf16");
}

static const rill_op scale_op = {
    .name = "scale_in_place",
    .in = {"x"},
    .attr_size = sizeof(double),
    .infer = scale_infer,
    .kernels = {{RILL_CPU, "loop", NULL, scale_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_scale_in_place)},
    .no_grad = "it overwrites its operand",
    .writes = 1};

/* ---- the public functions ---- */

/* Gradients that are there, and whose they are; how many. */
static int64_t gradients(rill_parameters params, int64_t *owner, rill_tensor **grad) {
  int64_t count = 0;
  for (int64_t i = 0; i < params.count; i++) {
    rill_tensor *g = rill_grad(params.at[i].value);
    if (!g) continue;
    grad[count] = g;
    owner[count++] = i;
  }
  return count;
}

rill_tensor *rilli_optim_squares(rill_parameters params, int64_t *owner) {
  rill_context *ctx = params.ctx;
  rill_tensor **grad = rill_alloc(ctx, ((size_t)params.count + 1) * sizeof(rill_tensor *));
  int64_t count = grad ? gradients(params, owner, grad) : 0;
  rill_tensor *sums = count ? rill_apply(&squares_op, (int)count, grad, NULL)
                            : rill_zeros(ctx, RILL_F64, RILL_SHAPE(1));
  rill_free(ctx, grad);
  return sums;
}

static void scale_all(rill_parameters params, double factor) {
  for (int64_t i = 0; i < params.count; i++) {
    rill_tensor *g = rill_grad(params.at[i].value);
    if (g) rill_apply(&scale_op, 1, &g, &factor);
  }
}

double rill_clip_grad_norm_named(rill_parameters params, double max_norm, const char **bad) {
  rill_context *ctx = params.ctx;
  if (bad) *bad = NULL;
  if (!ctx || rill_error(ctx)) return (double)NAN;
  if (!(max_norm >= 0)) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_clip_grad_norm: max_norm must be >= 0, not %g",
              max_norm);
    return (double)NAN;
  }
  size_t room = (size_t)params.count + 1;
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  double *sums = rill_alloc(ctx, room * sizeof *sums), norm = (double)NAN;
  int64_t *owner = rill_alloc(ctx, room * sizeof *owner);
  rill_tensor *x = sums && owner ? rilli_optim_squares(params, owner) : NULL;
  int64_t count = x ? rill_count(x) : 0;
  if (x && rill_read_f64(x, sums, count)) {
    double total = 0;
    for (int64_t i = 0; i < count; i++) {
      if (bad && !*bad && !isfinite(sums[i])) *bad = params.at[owner[i]].name;
      total += sums[i];
    }
    norm = sqrt(total);
  }
  if (isfinite(norm) && max_norm > 0 && norm > max_norm) scale_all(params, max_norm / norm);
  rill_free(ctx, owner);
  rill_free(ctx, sums);
  rill_scope_close(scope);
  return norm;
}

double rill_clip_grad_norm(rill_parameters params, double max_norm) {
  return rill_clip_grad_norm_named(params, max_norm, NULL);
}
