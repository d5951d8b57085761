/* gather and scatter_add: single elements picked, or added to, along an axis. Each is the other's
 * derivative.
 *
 * Index, output of gather and source of scatter_add have one shape, seen as [outer, n, inner]; x is
 * [outer', size, inner'] with the other axes at least as large. Sums go through the index in order,
 * one (outer, inner) column to a task. */
#include <inttypes.h>

#include "ops/expect.h"
#include "ops/index.h"
#include "ops/ops.h"
#include "tensor/iterate.h"

enum { X, INDEX, SRC };

extern const rill_op rilli_op_gather, rilli_op_scatter_add;
bool rilli_cuda_gather(const rill_call *call);
bool rilli_cuda_scatter_add(const rill_call *call);

static bool check(rill_infer *q, int *axis) {
  const rill_array *x = &q->in[X], *index = &q->in[INDEX];
  *axis = rill_axis(*(const int *)q->attr, x->rank);
  if (*axis < 0) return rill_refuse(q, "axis %d is out of range", *(const int *)q->attr);
  if (!rilli_expect_index(q, INDEX)) return false;
  if (index->rank != x->rank)
    return rill_refuse(q, "index must have x's rank %d, not %d", x->rank, index->rank);
  for (int d = 0; d < x->rank; d++)
    if (d != *axis && index->size[d] > x->size[d])
      return rill_refuse(q, "index is longer than x on axis %d", d);
  return true;
}

static bool gather_infer(rill_infer *q) {
  int a;
  return check(q, &a) && rill_infer_output(q, 0, q->in[X].dtype, rill_array_shape(&q->in[INDEX]));
}

static bool scatter_infer(rill_infer *q) {
  int a;
  if (!check(q, &a) || !rilli_expect_float(q, X)) return false;
  if (q->in[SRC].dtype != q->in[X].dtype ||
      !rill_shape_equal(rill_array_shape(&q->in[SRC]), rill_array_shape(&q->in[INDEX])))
    return rill_refuse(q, "src must have x's dtype and the shape of index");
  return rill_infer_output(q, 0, q->in[X].dtype, rill_array_shape(&q->in[X]));
}

/* Offset in x (contiguous, strides in `x`) of the column that holds element `column` of index
 * without its axis. */
static int64_t column_offset(const rill_array *shape, const rill_array *of, int a, int64_t column) {
  int64_t offset = 0;
  for (int d = shape->rank - 1; d >= 0; d--) {
    if (d == a) continue;
    offset += column % shape->size[d] * of->stride[d];
    column /= shape->size[d];
  }
  return offset;
}

static int64_t column_count(const rill_array *shape, int a) {
  int64_t n = 1;
  for (int d = 0; d < shape->rank; d++)
    if (d != a) n *= shape->size[d];
  return n;
}

static void move(rill_dtype dtype, void *to, int64_t i, const void *from, int64_t j) {
  switch (rill_dtype_size(dtype)) {
    case 8:
      ((uint64_t *)to)[i] = ((const uint64_t *)from)[j];
      break;
    case 4:
      ((uint32_t *)to)[i] = ((const uint32_t *)from)[j];
      break;
    case 2:
      ((uint16_t *)to)[i] = ((const uint16_t *)from)[j];
      break;
    default:
      ((uint8_t *)to)[i] = ((const uint8_t *)from)[j];
      break;
  }
}

static bool gather_run(const rill_call *call) {
  const rill_array *x = &call->in[X], *index = &call->in[INDEX], *y = &call->out[0];
  int a = rill_axis(*(const int *)call->attr, x->rank);
  int64_t n = index->size[a], columns = column_count(index, a);
  if (!rilli_check_index(call, index, x->size[a])) return false;
#pragma omp parallel for schedule(static) num_threads(call->env->threads) if (columns * n > 16384)
  for (int64_t c = 0; c < columns; c++) {
    int64_t at_x = column_offset(index, x, a, c), at = column_offset(index, index, a, c);
    for (int64_t i = 0; i < n; i++) {
      int64_t here = at + i * index->stride[a];
      move(x->dtype, y->data, here, x->data, at_x + rilli_index_at(index, here) * x->stride[a]);
    }
  }
  return true;
}

static bool scatter_run(const rill_call *call) {
  rill_array y = call->out[0], src = call->in[SRC];
  const rill_array *index = &call->in[INDEX];
  int a = rill_axis(*(const int *)call->attr, y.rank);
  int64_t n = index->size[a], columns = column_count(index, a);
  if (!rilli_check_index(call, index, y.size[a])) return false;
  if (y.dtype == RILL_BF16) { /* sums in f32, rounded once */
    y.data = rill_env_alloc(call->env, (size_t)rill_array_count(&y) * sizeof(float));
    src.data = rill_env_alloc(call->env, (size_t)rill_array_count(&src) * sizeof(float));
    if (!y.data || !src.data) return false;
    y.dtype = src.dtype = RILL_F32;
    rill_array_copy(call->env, &src, &call->in[SRC]);
  }
  rill_array_copy(call->env, &y, &call->in[X]);
#pragma omp parallel for schedule(static) num_threads(call->env->threads) if (columns * n > 16384)
  for (int64_t c = 0; c < columns; c++) {
    int64_t at_y = column_offset(index, &y, a, c), at = column_offset(index, index, a, c);
    for (int64_t i = 0; i < n; i++) {
      int64_t here = at + i * index->stride[a],
              there = at_y + rilli_index_at(index, here) * y.stride[a];
      if (y.dtype == RILL_F64) {
        ((double *)y.data)[there] += ((const double *)src.data)[here];
      } else {
        ((float *)y.data)[there] += ((const float *)src.data)[here];
      }
    }
  }
  if (call->out[0].dtype == RILL_BF16) rill_array_copy(call->env, &call->out[0], &y);
  return true;
}

static void gather_vjp(rill_vjp *g) {
  rill_tensor *zero = rill_zeros(g->ctx, g->like[X].dtype, rill_array_shape(&g->like[X]));
  rill_vjp_give(g, X, rill_scatter_add(zero, *(const int *)g->attr, g->in[INDEX], g->grad[0]));
}

static void scatter_vjp(rill_vjp *g) {
  rill_vjp_give(g, X, g->grad[0]);
  if (rill_vjp_wants(g, SRC))
    rill_vjp_give(g, SRC, rill_gather(g->grad[0], *(const int *)g->attr, g->in[INDEX]));
}

static void add_samples(rill_samples *samples, bool scatter) {
  static const struct {
    int axis;
    rill_shape x, index;
  } cases[] = {
      {0, {1, {5}}, {1, {3}}},
      {0, {1, {5}}, {1, {8}}},
      {-1, {1, {5}}, {1, {0}}},
      {0, {1, {1}}, {1, {4}}},
      {0, {2, {3, 4}}, {2, {2, 4}}},
      {1, {2, {3, 4}}, {2, {3, 6}}},
      {1, {2, {3, 4}}, {2, {2, 2}}},
      {-2, {2, {3, 4}}, {2, {5, 1}}},
      {0, {2, {3, 4}}, {2, {1, 3}}},
      {1, {2, {1, 9}}, {2, {1, 5}}},
      {0, {2, {9, 1}}, {2, {4, 1}}},
      {1, {2, {3, 4}}, {2, {0, 4}}},
      {0, {2, {3, 0}}, {2, {2, 0}}},
      {2, {3, {2, 3, 4}}, {3, {2, 3, 5}}},
      {1, {3, {2, 3, 4}}, {3, {2, 7, 4}}},
      {0, {3, {2, 3, 4}}, {3, {3, 3, 4}}},
      {-1, {3, {2, 3, 4}}, {3, {1, 2, 2}}},
      {1, {3, {5, 1, 2}}, {3, {5, 3, 2}}},
      {3, {4, {2, 1, 2, 3}}, {4, {2, 1, 2, 4}}},
      {1, {4, {2, 3, 2, 3}}, {4, {2, 3, 2, 3}}},
      {1, {2, {31, 17}}, {2, {31, 1}}},
      {1, {2, {33, 16}}, {2, {33, 15}}},
      {0, {2, {127, 3}}, {2, {129, 3}}},
      {0, {2, {7, 11}}, {2, {13, 11}}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int a = rill_axis(cases[i].axis, cases[i].x.rank);
    rill_sample_input index = {
        .shape = cases[i].index, .below = cases[i].x.size[a], .dtype = i % 2 ? RILL_I32 : RILL_I64};
    rill_sample s = {.in = {{.shape = cases[i].x}, index}, .attr = &cases[i].axis};
    if (scatter) s.in[SRC].shape = cases[i].index;
    rill_sample_add(samples, s);
  }
  int zero = 0;
  rill_sample_input index = {.shape = RILL_SHAPE(20), .below = 1000, .dtype = RILL_I64};
  rill_sample bad = {
      .in = {{.shape = RILL_SHAPE(4)}, index}, .attr = &zero, .refused = "is outside [0, 4)"};
  bad.in[SRC].shape = RILL_SHAPE(20);
  rill_sample_add(samples, bad);
  bad.in[X].shape = RILL_SHAPE(4, 3);
  bad.refused = "index must have x's rank 2, not 1";
  rill_sample_add(samples, bad);
}
static void gather_sample(rill_samples *samples) { add_samples(samples, false); }
static void scatter_sample(rill_samples *samples) { add_samples(samples, true); }

const rill_op rilli_op_gather = {
    .name = "gather",
    .in = {"x", "index"},
    .out = {"y"},
    .attr_size = sizeof(int),
    .infer = gather_infer,
    .kernels = {{RILL_CPU, "columns", NULL, gather_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_gather)},
    .vjp = gather_vjp,
    .saves = RILL_SAVE_INPUT(INDEX),
    .sample = gather_sample,
};

const rill_op rilli_op_scatter_add = {
    .name = "scatter_add",
    .in = {"x", "index", "src"},
    .out = {"y"},
    .attr_size = sizeof(int),
    .infer = scatter_infer,
    .kernels = {{RILL_CPU, "columns", NULL, scatter_run},
                RILL_CUDA_KERNEL("sort", NULL, rilli_cuda_scatter_add)},
    .vjp = scatter_vjp,
    .saves = RILL_SAVE_INPUT(INDEX),
    .sample = scatter_sample,
};

rill_tensor *rill_gather(rill_tensor *x, int axis, rill_tensor *index) {
  return RILL_APPLY(&rilli_op_gather, &axis, x, index);
}
rill_tensor *rill_scatter_add(rill_tensor *x, int axis, rill_tensor *index, rill_tensor *src) {
  return RILL_APPLY(&rilli_op_scatter_add, &axis, x, index, src);
}
