/* concat, stack: any number of tensors one after the other along an axis. */
#include <inttypes.h>

#include "ops/ops.h"
#include "tensor/io.h"
#include "tensor/iterate.h"

extern const rill_op rilli_op_concat;
bool rilli_cuda_concat(const rill_call *call);

static bool infer(rill_infer *q) {
  rill_shape shape = rill_array_shape(&q->in[0]);
  int a = rill_axis(*(const int *)q->attr, shape.rank);
  if (a < 0)
    return rill_refuse(q, "axis %d is out of range for rank %d", *(const int *)q->attr, shape.rank);
  for (int i = 1; i < q->inputs; i++) {
    const rill_array *x = &q->in[i];
    bool same = x->rank == shape.rank && x->dtype == q->in[0].dtype;
    for (int d = 0; same && d < shape.rank; d++) same = d == a || x->size[d] == q->in[0].size[d];
    if (!same)
      return rill_refuse(
          q, "operand %d differs from operand 0 in dtype or in an axis other than %d", i, a);
    shape.size[a] += x->size[a];
  }
  return rill_infer_output(q, 0, q->in[0].dtype, shape);
}

static bool run(const rill_call *call) {
  rill_array part = call->out[0];
  int a = rill_axis(*(const int *)call->attr, part.rank);
  int64_t bytes = part.stride[a] * (int64_t)rill_dtype_size(part.dtype);
  for (int i = 0; i < call->inputs; i++) {
    part.size[a] = call->in[i].size[a];
    rill_array_copy(call->env, &part, &call->in[i]);
    part.data = (char *)part.data + part.size[a] * bytes;
  }
  return true;
}

static void vjp(rill_vjp *g) {
  int a = rill_axis(*(const int *)g->attr, g->like[0].rank);
  int64_t start = 0;
  for (int i = 0; i < g->inputs; i++) {
    int64_t end = start + g->like[i].size[a];
    if (rill_vjp_wants(g, i)) rill_vjp_give(g, i, rill_slice(g->grad[0], a, start, end, 1));
    start = end;
  }
}

static void sample(rill_samples *samples) {
  static const struct {
    int axis, inputs;
    rill_shape shape[4];
  } cases[] = {
      {0, 1, {{1, {3}}}},
      {0, 2, {{1, {3}}, {1, {4}}}},
      {-1, 2, {{1, {0}}, {1, {4}}}},
      {0, 2, {{1, {0}}, {1, {0}}}},
      {0, 3, {{1, {1}}, {1, {1}}, {1, {1}}}},
      {0, 2, {{2, {2, 3}}, {2, {4, 3}}}},
      {1, 2, {{2, {2, 3}}, {2, {2, 1}}}},
      {-2, 2, {{2, {2, 3}}, {2, {1, 3}}}},
      {1, 3, {{2, {31, 2}}, {2, {31, 3}}, {2, {31, 5}}}},
      {1, 2, {{2, {0, 3}}, {2, {0, 2}}}},
      {0, 4, {{2, {1, 17}}, {2, {2, 17}}, {2, {0, 17}}, {2, {3, 17}}}},
      {1, 2, {{3, {2, 3, 4}}, {3, {2, 2, 4}}}},
      {2, 2, {{3, {2, 3, 4}}, {3, {2, 3, 1}}}},
      {0, 2, {{3, {2, 3, 4}}, {3, {1, 3, 4}}}},
      {-1, 3, {{3, {5, 1, 1}}, {3, {5, 1, 2}}, {3, {5, 1, 3}}}},
      {3, 2, {{4, {2, 1, 2, 3}}, {4, {2, 1, 2, 4}}}},
      {1, 2, {{4, {2, 1, 2, 3}}, {4, {2, 5, 2, 3}}}},
      {1, 1, {{2, {7, 5}}}},
      {0, 2, {{2, {16, 16}}, {2, {17, 16}}}},
      {1, 2, {{2, {15, 33}}, {2, {15, 31}}}},
      {0, 3, {{2, {3, 1}}, {2, {4, 1}}, {2, {5, 1}}}},
      {1, 4, {{2, {3, 1}}, {2, {3, 1}}, {2, {3, 1}}, {2, {3, 1}}}},
      {2, 2, {{3, {1, 1, 127}}, {3, {1, 1, 129}}}},
      {0, 2, {{3, {64, 2, 2}}, {3, {1, 2, 2}}}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rill_sample s = {.inputs = cases[i].inputs, .attr = &cases[i].axis};
    for (int j = 0; j < cases[i].inputs; j++) s.in[j].shape = cases[i].shape[j];
    rill_sample_add(samples, s);
  }
  int zero = 0, two = 2;
  rill_sample_add(samples,
                  (rill_sample){.inputs = 2,
                                .in = {{.shape = RILL_SHAPE(2, 3)}, {.shape = RILL_SHAPE(2, 4)}},
                                .attr = &zero,
                                .refused = "operand 1 differs from operand 0"});
  rill_sample_add(samples, (rill_sample){.inputs = 1,
                                         .in = {{.shape = RILL_SHAPE(2, 3)}},
                                         .attr = &two,
                                         .refused = "axis 2 is out of range for rank 2"});
}

const rill_op rilli_op_concat = {
    .name = "concat",
    .in = {"x..."},
    .out = {"y"},
    .attr_size = sizeof(int),
    .infer = infer,
    .kernels = {{RILL_CPU, "copy", NULL, run}, RILL_CUDA_KERNEL("copy", NULL, rilli_cuda_concat)},
    .strided = true,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_concat(int count, rill_tensor *const *x, int axis) {
  return rill_apply(&rilli_op_concat, count, x, &axis);
}

rill_tensor *rill_stack(int count, rill_tensor *const *x, int axis) {
  rill_context *ctx = rill_context_of(x[0]);
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor **wide = rill_alloc(ctx, (size_t)count * sizeof *wide), *y = x[0];
  if (wide) {
    int from_front = rill_axis(axis, rill_rank(x[0]) + 1);
    for (int i = 0; i < count; i++) wide[i] = rill_unsqueeze(x[i], axis);
    y = rill_concat(count, wide, from_front < 0 ? 0 : from_front);
  }
  rill_free(ctx, wide);
  y = rill_hoist(y);
  rill_scope_close(scope);
  return y;
}
