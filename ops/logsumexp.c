/* logsumexp: ln sum e^x along an axis, with the largest element taken out, so that nothing
 * overflows; -infinity where all elements are. Lines that do not lie in one piece are gathered,
 * COLUMNS neighbours at a time. The derivative g e^(x - y) is one pass over x. */
#include "ops/axis.h"
#include "ops/cpu/map.h"
#include "ops/cpu/rows.h"
#include "ops/infer.h"
#include "ops/samples.h"

extern const rill_op rilli_op_logsumexp, rilli_op_logsumexp_backward;
bool rilli_cuda_logsumexp(const rill_call *call);
bool rilli_cuda_logsumexp_backward(const rill_call *call);

enum { LANES = 16, COLUMNS = 16 };

#define DEFINE_LINE(name, type, exponential)                                                      \
  RILLI_CLONES static double name(const type *restrict x, int64_t n) {                            \
    type top[LANES], max = -(type)INFINITY;                                                       \
    double total = 0;                                                                             \
    int64_t whole = n - n % LANES;                                                                \
    for (int l = 0; l < LANES; l++) top[l] = -(type)INFINITY;                                     \
    for (int64_t i = 0; i < whole; i += LANES)                                                    \
      for (int l = 0; l < LANES; l++) top[l] = x[i + l] > top[l] ? x[i + l] : top[l];             \
    for (int64_t i = whole; i < n; i++)                                                           \
      top[i - whole] = x[i] > top[i - whole] ? x[i] : top[i - whole];                             \
    for (int l = 0; l < LANES; l++) max = top[l] > max ? top[l] : max;                            \
    type shift = fabs((double)max) <= 1e308 ? max : 0; /* of infinities no difference is taken */ \
    for (int64_t at = 0; at < n; at += 512) {                                                     \
      type lane[LANES] = {0};                                                                     \
      int64_t end = n - at < 512 ? n : at + 512, full = end - (end - at) % LANES;                 \
      for (int64_t i = at; i < full; i += LANES)                                                  \
        for (int l = 0; l < LANES; l++) lane[l] += exponential(x[i + l] - shift);                 \
      for (int64_t i = full; i < end; i++) lane[i - full] += exponential(x[i] - shift);           \
      for (int l = 0; l < LANES; l++) total += (double)lane[l];                                   \
    }                                                                                             \
    return (double)shift + log(total);                                                            \
  }
DEFINE_LINE(line_f32, float, rilli_expf)
DEFINE_LINE(line_f64, double, exp)

typedef struct {
  const rill_array *x, *y;
  rilli_axis_fold fold;
  int64_t blocks;
} job;

/* From row to row of gathered lines: not a power of two, whose rows would share cache sets. */
static int64_t pitch(const rilli_axis_fold *f) { return f->size + 16 + f->size % 2; }

/* m <= COLUMNS neighbouring lines of [size, inner] into rows of reals. */
static void gather(const job *j, int64_t at, int64_t m, void *rows) {
  int64_t n = j->fold.size, stride = j->fold.inner, row = pitch(&j->fold);
  for (int64_t i = 0; i < n; i++, at += stride) {
    for (int64_t c = 0; c < m; c++) {
      switch (j->x->dtype) {
        case RILL_F64:
          ((double *)rows)[c * row + i] = ((const double *)j->x->data)[at + c];
          break;
        case RILL_F32:
          ((float *)rows)[c * row + i] = ((const float *)j->x->data)[at + c];
          break;
        default:
          ((float *)rows)[c * row + i] = rill_bf16_to_f32(((const rill_bf16 *)j->x->data)[at + c]);
          break;
      }
    }
  }
}

static void put(const job *j, int64_t at, const void *line) {
  void *y = j->y->data;
  if (j->y->dtype == RILL_F64)
    ((double *)y)[at] = line_f64(line, j->fold.size);
  else if (j->y->dtype == RILL_F32)
    ((float *)y)[at] = (float)line_f32(line, j->fold.size);
  else
    ((rill_bf16 *)y)[at] = rill_bf16_from_f32((float)line_f32(line, j->fold.size));
}

static void run_units(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  const job *j = user;
  const rilli_axis_fold *f = &j->fold;
  size_t line = (size_t)pitch(f) * rilli_real_size(j->x->dtype);
  (void)task;
  for (int64_t u = begin; u < end; u++) {
    int64_t o = u / j->blocks, first = u % j->blocks * COLUMNS;
    int64_t m = f->inner - first < COLUMNS ? f->inner - first : COLUMNS;
    int64_t at = o * f->size * f->inner + first, to = o * f->inner + first;
    if (f->inner == 1) {
      put(j, to, rilli_row_load(j->x->dtype, j->x->data, at, f->size, scratch));
      continue;
    }
    gather(j, at, m, scratch);
    for (int64_t c = 0; c < m; c++) put(j, to + c, scratch + (size_t)c * line);
  }
}

static bool run(const rill_call *call) {
  int axis = ((const rilli_axis_attr *)call->attr)->axis;
  job j = {.x = &call->in[0], .y = &call->out[0], .fold = rilli_axis_of(&call->in[0], axis)};
  int64_t width = j.fold.inner < COLUMNS ? j.fold.inner : COLUMNS, n = j.fold.size;
  j.blocks = (j.fold.inner + COLUMNS - 1) / COLUMNS;
  int64_t units = j.fold.outer * j.blocks;
  size_t scratch = (size_t)(pitch(&j.fold) * width) * rilli_real_size(j.x->dtype);
  return rilli_rows_run(call->env, units, rilli_rows_block(units, n * width, false), scratch,
                        run_units, &j);
}

/* Nothing flows into -infinity. */
static inline float slope_float(float x, float y, float g) {
  float e = rilli_expf(x - y);
  return y == -INFINITY ? 0.0f : g * e;
}
static inline double slope_double(double x, double y, double g) {
  return y == -(double)INFINITY ? 0.0 : g * exp(x - y);
}
RILLI_MAP_3(slope_f32, float, float, slope_float)
RILLI_MAP_3(slope_f64, double, double, slope_double)

static bool backward_run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = slope_f32, .f64 = slope_f64});
}

static bool infer(rill_infer *q) {
  rill_shape shape;
  return rilli_expect_float(q, 0) && rilli_axis_infer(q, q->attr, &shape) &&
         rill_infer_output(q, 0, q->in[0].dtype, shape);
}

static void vjp(rill_vjp *g) {
  rill_shape shape = rill_array_shape(&g->like[0]);
  int axis = ((const rilli_axis_attr *)g->attr)->axis;
  rill_tensor *x = g->in[0], *out = g->out[0], *grad = g->grad[0];
  /* A result in bf16 is off by up to 2^-9 |y|, which e^(x - y) would multiply everything by. */
  if (g->like[0].dtype == RILL_BF16) {
    x = rill_cast(x, RILL_F32);
    grad = rill_cast(grad, RILL_F32);
    out = rill_logsumexp(x, axis, true);
  }
  rill_tensor *y = rilli_axis_keep(out, shape, axis), *dy = rilli_axis_keep(grad, shape, axis);
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_logsumexp_backward, NULL, x, y, dy));
}

static void sample(rill_samples *s) {
  rilli_axis_samples(s, -3, 3, true);
  rill_sample_add(s, (rill_sample){.name = "large values",
                                   .in = {{.shape = RILL_SHAPE(5, 19), .low = 90, .high = 100}},
                                   .attr = &(rilli_axis_attr){.axis = 1}});
  rilli_sample_refused_dtype(s, 1, RILL_I64, &(rilli_axis_attr){0},
                             "x must be f64, f32 or bf16, not i64");
}
static void backward_sample(rill_samples *s) {
  rilli_sample_shapes(s, 3, (rilli_range[]){{-2, 2}, {2, 4}, {-1, 1}}, NULL);
  rill_sample_add(s, (rill_sample){.name = "broadcast",
                                   .in = {{.shape = RILL_SHAPE(5, 19), .low = -2, .high = 2},
                                          {.shape = RILL_SHAPE(5, 1), .low = 2, .high = 4},
                                          {.shape = RILL_SHAPE(5, 1)}}});
  rilli_sample_refused_dtype(s, 3, RILL_I64, NULL, "x must be f64, f32 or bf16, not i64");
  rill_sample_add(
      s, (rill_sample){
             .name = "shapes",
             .in = {{.shape = RILL_SHAPE(3)}, {.shape = RILL_SHAPE(2)}, {.shape = RILL_SHAPE(2)}},
             .refused = "shapes [3] and [2] do not broadcast"});
}

const rill_op rilli_op_logsumexp = {
    .name = "logsumexp",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(rilli_axis_attr),
    .infer = infer,
    .kernels = {{RILL_CPU, "lines", NULL, run},
                RILL_CUDA_KERNEL("lines", NULL, rilli_cuda_logsumexp)},
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0) | RILL_SAVE_OUTPUT(0),
    .sample = sample,
};

const rill_op rilli_op_logsumexp_backward = {
    .name = "logsumexp_backward",
    .in = {"x", "y", "dy"},
    .out = {"dx"},
    .infer = rilli_infer_floats,
    .kernels = {{RILL_CPU, "map", NULL, backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_logsumexp_backward)},
    .strided = true,
    .no_grad = "the derivative of logsumexp is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_logsumexp(rill_tensor *x, int axis, bool keep) {
  return RILL_APPLY(&rilli_op_logsumexp, (&(rilli_axis_attr){axis, keep}), x);
}
