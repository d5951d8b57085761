/* cumsum: running sums along an axis, carried in f64; the derivative runs from the other end. */
#include "ops/axis.h"
#include "ops/expect.h"

typedef struct {
  int axis;
  bool reverse;
} attributes;

extern const rill_op rilli_op_cumsum;

static bool infer(rill_infer *q) {
  const attributes *attr = q->attr;
  if (!rilli_expect_float(q, 0)) return false;
  if (rill_axis(attr->axis, q->in[0].rank) < 0)
    return rill_refuse(q, "axis %d is out of range for rank %d", attr->axis, q->in[0].rank);
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

static void column(const rill_call *call, int64_t at, int64_t step, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++, at += step) {
    switch (call->in[0].dtype) {
      case RILL_F32:
        sum += (double)((const float *)call->in[0].data)[at];
        ((float *)call->out[0].data)[at] = (float)sum;
        break;
      case RILL_F64:
        sum += ((const double *)call->in[0].data)[at];
        ((double *)call->out[0].data)[at] = sum;
        break;
      default:
        sum += (double)rill_bf16_to_f32(((const rill_bf16 *)call->in[0].data)[at]);
        ((rill_bf16 *)call->out[0].data)[at] = rill_bf16_from_f32((float)sum);
        break;
    }
  }
}

static bool run(const rill_call *call) {
  const attributes *attr = call->attr;
  rilli_axis_fold f = rilli_axis_of(&call->in[0], attr->axis);
  int64_t columns = f.outer * f.inner;
#pragma omp parallel for schedule(static) \
    num_threads(call->env->threads) if (columns * f.size > 16384)
  for (int64_t c = 0; c < columns; c++) {
    int64_t first = c / f.inner * f.size * f.inner + c % f.inner;
    if (attr->reverse) {
      column(call, first + (f.size - 1) * f.inner, -f.inner, f.size);
    } else {
      column(call, first, f.inner, f.size);
    }
  }
  return true;
}

static void vjp(rill_vjp *g) {
  attributes attr = *(const attributes *)g->attr;
  attr.reverse = !attr.reverse;
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_cumsum, &attr, g->grad[0]));
}

static void sample(rill_samples *samples) {
  static const rill_shape shapes[] = {{1, {1}},     {1, {7}},      {1, {0}},       {2, {3, 4}},
                                      {2, {1, 9}},  {2, {31, 33}}, {3, {2, 3, 4}}, {3, {0, 3, 2}},
                                      {2, {17, 1}}, {1, {257}},    {3, {5, 1, 2}}, {2, {2, 129}}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (int end = 0; end < 2; end++) {
      attributes attr = {end ? -1 : 0, i % 2 == 1};
      rill_sample_add(samples, (rill_sample){.in = {{.shape = shapes[i]}}, .attr = &attr});
    }
  attributes attr = {1, false};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &attr,
                                         .refused = "axis 1 is out of range for rank 1"});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SCALAR}},
                                         .attr = &attr,
                                         .refused = "axis 1 is out of range for rank 0"});
}

const rill_op rilli_op_cumsum = {
    .name = "cumsum",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "loop", NULL, run}},
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_cumsum(rill_tensor *x, int axis) {
  attributes attr = {axis, false};
  return RILL_APPLY(&rilli_op_cumsum, &attr, x);
}
