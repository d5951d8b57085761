/* dropout: element i is kept when draw i of its stretch of the random stream is at least p.
 *
 * The mask is never stored: it is a function of (seed, counter), which the attributes hold, so the
 * derivative is the same op on the gradient. */
#include <math.h>

#include "ops/ops.h"
#include "tensor/random.h"

typedef struct {
  double p;
  rill_random_state state;
} attributes;

extern const rill_op rilli_op_dropout;

static bool infer(rill_infer *q) {
  double p = ((const attributes *)q->attr)->p;
  if (!rill_dtype_is_float(q->in[0].dtype))
    return rill_refuse(q, "x must be f64, f32 or bf16, not %s", rill_dtype_name(q->in[0].dtype));
  if (!(p >= 0 && p < 1)) return rill_refuse(q, "p must be in [0, 1), not %g", p);
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

static bool run(const rill_call *call) {
  const attributes *attr = call->attr;
  const rill_array *x = &call->in[0], *y = &call->out[0];
  int64_t n = rill_array_count(x);
  double scale = 1 / (1 - attr->p);
#pragma omp parallel for schedule(static) num_threads(call->env->threads) if (n > 16384)
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits = rill_random_bits(attr->state.seed, attr->state.counter + (uint64_t)i);
    double factor = rill_random_unit_f64(bits) < attr->p ? 0 : scale;
    switch (x->dtype) {
      case RILL_F32:
        ((float *)y->data)[i] = ((const float *)x->data)[i] * (float)factor;
        break;
      case RILL_F64:
        ((double *)y->data)[i] = ((const double *)x->data)[i] * factor;
        break;
      default: {
        float value = rill_bf16_to_f32(((const rill_bf16 *)x->data)[i]) * (float)factor;
        ((rill_bf16 *)y->data)[i] = rill_bf16_from_f32(value);
      }
    }
  }
  return true;
}

static void vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_dropout, g->attr, g->grad[0]));
}

static void sample(rill_samples *samples) {
  static const rill_shape shapes[] = {{0, {0}},    {1, {1}},       {1, {7}},      {1, {0}},
                                      {2, {3, 4}}, {3, {2, 3, 5}}, {2, {31, 33}}, {2, {1, 17}}};
  static const double p[] = {0, 0.1, 0.9};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (int j = 0; j < 3; j++) {
      attributes attr = {p[j], {7, 10 * i}};
      rill_sample_add(samples, (rill_sample){.in = {{.shape = shapes[i]}}, .attr = &attr});
    }
  attributes attr = {1, {0, 0}};
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &attr,
                                         .refused = "p must be in [0, 1), not 1"});
  attr.p = (double)NAN;
  rill_sample_add(samples, (rill_sample){.in = {{.shape = RILL_SHAPE(3)}},
                                         .attr = &attr,
                                         .refused = "p must be in [0, 1)"});
}

const rill_op rilli_op_dropout = {
    .name = "dropout",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "loop", NULL, run}},
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_dropout(rill_tensor *x, double p) {
  attributes attr = {p, rill_random_take(rill_context_of(x), (uint64_t)rill_count(x))};
  return RILL_APPLY(&rilli_op_dropout, &attr, x);
}
