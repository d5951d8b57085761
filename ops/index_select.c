/* index_select and embedding_lookup: whole slices picked by an index of rank 1.
 *
 * x is seen as [outer, size, inner]: a slice is a run of `inner` elements. The gradient adds runs
 * up; each task owns a range of columns of one outer part and goes through the index in order, so
 * sums have a fixed order. */
#include <inttypes.h>
#include <string.h>

#include "ops/axis.h"
#include "ops/expect.h"
#include "ops/index.h"
#include "ops/attributes.h"
#include "ops/ops.h"
#include "tensor/iterate.h"

enum { COLUMNS = 64 };

typedef rilli_index_select_attr attributes;

extern const rill_op rilli_op_index_select, rilli_op_index_select_backward;
bool rilli_cuda_index_select(const rill_call *call);
bool rilli_cuda_index_select_backward(const rill_call *call);

static bool infer(rill_infer *q) {
  const attributes *attr = q->attr;
  rill_shape shape = rill_array_shape(&q->in[0]);
  int a = rill_axis(attr->axis, shape.rank);
  if (a < 0) return rill_refuse(q, "axis %d is out of range", attr->axis);
  if (!rilli_expect_index(q, 1)) return false;
  if (q->in[1].rank != 1) return rill_refuse(q, "index must have rank 1, not %d", q->in[1].rank);
  shape.size[a] = q->in[1].size[0];
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

static bool run(const rill_call *call) {
  const rill_array *x = &call->in[0], *index = &call->in[1];
  int a = rill_axis(((const attributes *)call->attr)->axis, x->rank);
  rilli_axis_fold f = rilli_axis_of(x, a);
  int64_t outer = f.outer, inner = f.inner, n = index->size[0], size = f.size;
  if (!rilli_check_index(call, index, size)) return false;
  size_t bytes = (size_t)inner * rill_dtype_size(x->dtype);
  const char *from = x->data;
  char *to = call->out[0].data;
  if (bytes == 0) return true;
#pragma omp parallel for schedule(static) \
    num_threads(call->env->threads) if (outer * n * inner > 32768)
  for (int64_t i = 0; i < outer * n; i++) {
    int64_t row = i / n * size + rilli_index_at(index, i % n);
    memcpy(to + (size_t)i * bytes, from + (size_t)row * bytes, bytes);
  }
  return true;
}

static void vjp(rill_vjp *g) {
  attributes attr = *(const attributes *)g->attr;
  attr.size = g->like[0].size[rill_axis(attr.axis, g->like[0].rank)];
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_index_select_backward, &attr, g->grad[0], g->in[1]));
}

/* ---- the gradient ---- */

static bool back_infer(rill_infer *q) {
  const attributes *attr = q->attr;
  rill_shape shape = rill_array_shape(&q->in[0]);
  int a = rill_axis(attr->axis, shape.rank);
  if (!rilli_expect_float(q, 0) || !rilli_expect_index(q, 1)) return false;
  if (a < 0 || q->in[1].rank != 1 || q->in[1].size[0] != shape.size[a])
    return rill_refuse(q, "index does not belong to axis %d of dy", attr->axis);
  shape.size[a] = attr->size;
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

typedef struct {
  const rill_array *index;
  int64_t n, size, inner;
} fold_job;

static void add_f32(const fold_job *j, const float *dy, float *dx, int64_t begin, int64_t end) {
  for (int64_t r = 0; r < j->size; r++)
    memset(dx + r * j->inner + begin, 0, (size_t)(end - begin) * sizeof(float));
  for (int64_t i = 0; i < j->n; i++) {
    float *restrict to = dx + rilli_index_at(j->index, i) * j->inner;
    const float *restrict from = dy + i * j->inner;
    for (int64_t c = begin; c < end; c++) to[c] += from[c];
  }
}
static void add_f64(const fold_job *j, const double *dy, double *dx, int64_t begin, int64_t end) {
  for (int64_t r = 0; r < j->size; r++)
    memset(dx + r * j->inner + begin, 0, (size_t)(end - begin) * sizeof(double));
  for (int64_t i = 0; i < j->n; i++) {
    double *restrict to = dx + rilli_index_at(j->index, i) * j->inner;
    const double *restrict from = dy + i * j->inner;
    for (int64_t c = begin; c < end; c++) to[c] += from[c];
  }
}

static bool back_run(const rill_call *call) {
  rill_array dy = call->in[0], dx = call->out[0];
  int a = rill_axis(((const attributes *)call->attr)->axis, dx.rank);
  rilli_axis_fold f = rilli_axis_of(&dx, a);
  int64_t outer = f.outer, inner = f.inner, n = call->in[1].size[0], size = f.size;
  if (!rilli_check_index(call, &call->in[1], size)) return false;
  if (inner == 0) return true;
  if (dx.dtype == RILL_BF16) { /* sums in f32, rounded once */
    dy.data = rill_env_alloc(call->env, (size_t)rill_array_count(&dy) * sizeof(float));
    dx.data = rill_env_alloc(call->env, (size_t)rill_array_count(&dx) * sizeof(float));
    if (!dy.data || !dx.data) return false;
    dy.dtype = dx.dtype = RILL_F32;
    rill_array_copy(call->env, &dy, &call->in[0]);
  }
  fold_job j = {&call->in[1], n, size, inner};
  int64_t blocks = (inner + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static) \
    num_threads(call->env->threads) if (outer * n * inner > 32768)
  for (int64_t task = 0; task < outer * blocks; task++) {
    int64_t o = task / blocks, begin = task % blocks * COLUMNS;
    int64_t end = begin + COLUMNS < inner ? begin + COLUMNS : inner;
    if (dx.dtype == RILL_F64) {
      add_f64(&j, (const double *)dy.data + o * n * inner, (double *)dx.data + o * size * inner,
              begin, end);
    } else {
      add_f32(&j, (const float *)dy.data + o * n * inner, (float *)dx.data + o * size * inner,
              begin, end);
    }
  }
  if (call->out[0].dtype == RILL_BF16) rill_array_copy(call->env, &call->out[0], &dx);
  return true;
}

/* ---- samples ---- */

static void add_samples(rill_samples *samples, bool backward) {
  static const struct {
    rill_shape shape;
    int axis;
    int64_t n;
  } cases[] = {
      {{1, {5}}, 0, 3},          {{1, {5}}, 0, 9},          {{1, {5}}, -1, 0},
      {{1, {1}}, 0, 4},          {{2, {3, 4}}, 0, 2},       {{2, {3, 4}}, 1, 6},
      {{2, {3, 4}}, -2, 5},      {{2, {7, 1}}, 0, 7},       {{2, {1, 7}}, 1, 3},
      {{2, {3, 0}}, 0, 2},       {{2, {17, 64}}, 0, 31},    {{2, {17, 65}}, 0, 33},
      {{2, {16, 63}}, 0, 40},    {{2, {2, 130}}, 0, 9},     {{3, {2, 3, 4}}, 0, 2},
      {{3, {2, 3, 4}}, 1, 5},    {{3, {2, 3, 4}}, 2, 3},    {{3, {5, 1, 2}}, 1, 2},
      {{3, {0, 3, 2}}, 1, 2},    {{4, {2, 2, 3, 2}}, 2, 4}, {{4, {2, 2, 3, 2}}, 1, 1},
      {{4, {2, 2, 3, 2}}, 3, 5}, {{2, {257, 3}}, 0, 100},   {{2, {31, 29}}, 1, 13},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rill_shape x = cases[i].shape;
    int a = rill_axis(cases[i].axis, x.rank);
    attributes attr = {cases[i].axis, x.size[a]};
    rill_sample_input index = {
        .shape = RILL_SHAPE(cases[i].n), .below = x.size[a], .dtype = i % 2 ? RILL_I32 : RILL_I64};
    if (backward) x.size[a] = cases[i].n;
    rill_sample_add(samples, (rill_sample){.in = {{.shape = x}, index}, .attr = &attr});
  }
  attributes attr = {0, 4};
  rill_sample_input index = {.shape = RILL_SHAPE(20), .below = 1000, .dtype = RILL_I64};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(backward ? 20 : 4, 3)}, index},
                                         .attr = &attr,
                                         .refused = "is outside [0, 4)"});
  index = (rill_sample_input){.shape = RILL_SHAPE(4), .fixed = true, .dtype = RILL_F32};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(4, 3)}, index},
                                         .attr = &attr,
                                         .refused = "index must be i32 or i64, not f32"});
}
static void sample(rill_samples *samples) { add_samples(samples, false); }
static void back_sample(rill_samples *samples) { add_samples(samples, true); }

const rill_op rilli_op_index_select = {
    .name = "index_select",
    .in = {"x", "index"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "copy", NULL, run},
                RILL_CUDA_KERNEL("copy", NULL, rilli_cuda_index_select)},
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(1),
    .sample = sample,
};

const rill_op rilli_op_index_select_backward = {
    .name = "index_select_backward",
    .in = {"dy", "index"},
    .out = {"dx"},
    .attr_size = sizeof(attributes),
    .infer = back_infer,
    .kernels = {{RILL_CPU, "columns", NULL, back_run},
                RILL_CUDA_KERNEL("sort", NULL, rilli_cuda_index_select_backward)},
    .no_grad = "the derivative of index_select is differentiated no further",
    .sample = back_sample,
};

rill_tensor *rill_index_select(rill_tensor *x, int axis, rill_tensor *index) {
  attributes attr = {axis, 0};
  return RILL_APPLY(&rilli_op_index_select, &attr, x, index);
}

rill_tensor *rill_embedding_lookup(rill_tensor *weight, rill_tensor *index) {
  rill_context *ctx = rill_context_of(weight);
  rill_shape shape = rill_shape_of(index);
  if (!rill_is_void(weight) && rill_rank(weight) != 2)
    rill_fail(ctx, RILL_ERROR_ARGUMENT,
              "embedding_lookup: weight must have rank 2, [rows, width], not %s",
              rill_shape_print(rill_shape_of(weight)).text);
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *rows = rill_index_select(weight, 0, rill_reshape(index, RILL_SHAPE(-1)));
  if (shape.rank < RILL_MAX_RANK && rill_rank(rows) == 2)
    shape.size[shape.rank++] = rill_size(rows, 1);
  rill_tensor *y = rill_hoist(rill_reshape(rows, shape));
  rill_scope_close(scope);
  return y;
}
