/* slice and split: a part of an axis, as a view; the gradient is put back into zeros. */
#include <inttypes.h>
#include <string.h>

#include "ops/attributes.h"
#include "ops/ops.h"
#include "tensor/iterate.h"

typedef rilli_slice_attr range;

extern const rill_op rilli_op_slice, rilli_op_slice_backward;
bool rilli_cuda_slice_backward(const rill_call *call);

/* The first index and the number of elements. */
static bool resolve(const range *r, int64_t size, int64_t *first, int64_t *count) {
  int64_t start = r->start < 0 ? r->start + size : r->start,
          end = r->end < 0 ? r->end + size : r->end;
  if (end > size) end = size;
  if (r->step < 1 || start < 0 || start > size) return false;
  *first = start;
  *count = end > start ? (end - start + r->step - 1) / r->step : 0;
  return true;
}

static bool infer(rill_infer *q) {
  const range *r = q->attr;
  rill_shape shape = rill_array_shape(&q->in[0]);
  int a = rill_axis(r->axis, shape.rank);
  int64_t first;
  if (a < 0) return rill_refuse(q, "axis %d is out of range", r->axis);
  if (!resolve(r, shape.size[a], &first, &shape.size[a]))
    return rill_refuse(
        q, "[%" PRId64 ", %" PRId64 ") in steps of %" PRId64 " is no part of an axis of %" PRId64,
        r->start, r->end, r->step, q->in[0].size[a]);
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

static void take(const rill_array *in, const range *r, rill_array *out) {
  int a = rill_axis(r->axis, in->rank);
  int64_t first = 0, count = 0;
  resolve(r, in->size[a], &first, &count);
  *out = *in;
  out->size[a] = count;
  out->stride[a] *= r->step;
  if (count > 0 && in->data) /* shapes alone have no data */
    out->data = (char *)in->data + first * in->stride[a] * (int64_t)rill_dtype_size(in->dtype);
}

static bool view(const rill_array *in, const void *attr, rill_array *out) {
  take(in, attr, out);
  return true;
}

/* ---- the gradient: zeros of x's shape, with the slice filled ---- */

typedef rilli_slice_backward_attr back;

static bool back_infer(rill_infer *q) {
  const back *b = q->attr;
  rill_array whole = {.dtype = q->in[0].dtype}, part;
  rill_array_reshape(&whole, b->whole);
  int64_t first, count;
  int a = rill_axis(b->part.axis, b->whole.rank);
  if (a < 0 || !resolve(&b->part, b->whole.size[a], &first, &count))
    return rill_refuse(q, "the slice is no part of %s", rill_shape_print(b->whole).text);
  take(&whole, &b->part, &part);
  if (!rill_shape_equal(rill_array_shape(&part), rill_array_shape(&q->in[0])))
    return rill_refuse(q, "dy must have shape %s", rill_shape_print(rill_array_shape(&part)).text);
  return rill_infer_output(q, 0, q->in[0].dtype, b->whole);
}

static bool back_run(const rill_call *call) {
  const back *b = call->attr;
  rill_array part;
  size_t bytes = (size_t)rill_array_count(&call->out[0]) * rill_dtype_size(call->out[0].dtype);
  memset(call->out[0].data, 0, bytes);
  take(&call->out[0], &b->part, &part);
  rill_array_copy(call->env, &part, &call->in[0]);
  return true;
}

static void vjp(rill_vjp *g) {
  back b = {*(const range *)g->attr, rill_array_shape(&g->like[0])};
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_slice_backward, &b, g->grad[0]));
}

/* ---- samples ---- */

static const struct {
  rill_shape shape;
  range part;
} cases[] = {
    {{1, {7}}, {0, 0, 7, 1}},          {{1, {7}}, {0, 2, 5, 1}},
    {{1, {7}}, {0, 0, 7, 2}},          {{1, {7}}, {0, 1, 7, 3}},
    {{1, {7}}, {0, -3, -1, 1}},        {{1, {7}}, {-1, 3, 100, 1}},
    {{1, {7}}, {0, 7, 7, 1}},          {{1, {7}}, {0, 5, 2, 1}},
    {{1, {1}}, {0, 0, 1, 1}},          {{1, {0}}, {0, 0, 0, 1}},
    {{2, {3, 4}}, {0, 1, 3, 1}},       {{2, {3, 4}}, {1, 1, 3, 1}},
    {{2, {3, 4}}, {1, 0, 4, 2}},       {{2, {3, 4}}, {-2, 0, 3, 2}},
    {{2, {31, 17}}, {1, 3, 16, 5}},    {{2, {1, 9}}, {0, 0, 1, 1}},
    {{2, {0, 4}}, {1, 1, 3, 1}},       {{3, {2, 3, 4}}, {1, 1, 2, 1}},
    {{3, {2, 3, 4}}, {2, 0, 4, 3}},    {{3, {2, 3, 4}}, {0, 0, 2, 2}},
    {{3, {5, 1, 2}}, {1, 0, 1, 1}},    {{3, {33, 2, 1}}, {0, 1, 32, 1}},
    {{4, {2, 3, 2, 3}}, {3, 1, 3, 1}}, {{4, {2, 3, 2, 3}}, {1, 0, 3, 2}},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static void sample(rill_samples *samples) {
  for (int i = 0; i < CASES; i++)
    rill_sample_add(samples,
                    (rill_sample){.in = {{.shape = cases[i].shape}}, .attr = &cases[i].part});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(1025, 1024)}},
                                         .attr = &(range){0, 1, 1025, 1},
                                         .no_gradient = true});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &(range){0, 0, 3, 0},
                                         .refused = "in steps of 0 is no part of an axis of 3"});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &(range){1, 0, 3, 1},
                                         .refused = "axis 1 is out of range"});
}

static void back_sample(rill_samples *samples) {
  for (int i = 0; i < CASES; i++) {
    back b = {cases[i].part, cases[i].shape};
    rill_array whole = {0}, part;
    rill_array_reshape(&whole, cases[i].shape);
    take(&whole, &b.part, &part);
    rill_sample_add(samples, (rill_sample){.in = {{.shape = rill_array_shape(&part)}}, .attr = &b});
  }
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &(back){{0, 0, 2, 1}, {1, {4}}},
                                         .refused = "dy must have shape [2]"});
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &(back){{0, 9, 12, 1}, {1, {4}}},
                                         .refused = "the slice is no part of [4]"});
}

const rill_op rilli_op_slice = {
    .name = "slice",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(range),
    .infer = infer,
    .view = view,
    .vjp = vjp,
    .sample = sample,
};

const rill_op rilli_op_slice_backward = {
    .name = "slice_backward",
    .in = {"dy"},
    .out = {"dx"},
    .attr_size = sizeof(back),
    .infer = back_infer,
    .kernels = {{RILL_CPU, "copy", NULL, back_run},
                RILL_CUDA_KERNEL("copy", NULL, rilli_cuda_slice_backward)},
    .strided = true,
    .no_grad = "the derivative of slice is differentiated no further",
    .sample = back_sample,
};

rill_tensor *rill_slice(rill_tensor *x, int axis, int64_t start, int64_t end, int64_t step) {
  range r = {axis, start, end, step};
  return RILL_APPLY(&rilli_op_slice, &r, x);
}

void rill_split(rill_tensor *x, int axis, int count, const int64_t *sizes, rill_tensor **out) {
  int a = rill_axis(axis, rill_rank(x));
  int64_t size = a < 0 ? 0 : rill_size(x, a), sum = 0, start = 0;
  for (int i = 0; sizes && i < count; i++) sum += sizes[i];
  bool fits = a >= 0 && count > 0 && (sizes ? sum == size : size % count == 0);
  for (int i = 0; sizes && i < count; i++) fits = fits && sizes[i] >= 0;
  if (!fits && !rill_is_void(x))
    rill_fail(rill_context_of(x), RILL_ERROR_ARGUMENT,
              "split: axis %d of x %s cannot be cut into %d parts%s", axis,
              rill_shape_print(rill_shape_of(x)).text, count,
              sizes ? " of the given sizes" : " of one size");
  for (int i = 0; i < count; i++) {
    int64_t n = !fits ? 0 : sizes ? sizes[i] : size / count;
    out[i] = rill_slice(x, axis, start, start + n, 1);
    start += n;
  }
}
