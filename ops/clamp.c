/* clamp: min(max(x, low), high), NaN stays NaN. Gradient 1 where low <= x <= high, else 0. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/attributes.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_clamp, rilli_op_clamp_backward;
bool rilli_cuda_clamp(const rill_call *call);
bool rilli_cuda_clamp_backward(const rill_call *call);

typedef rilli_clamp_attr attributes;

#define DEFINE_CLAMP(name, type)                                                    \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    type low = (type)((const attributes *)attr)->low,                               \
         high = (type)((const attributes *)attr)->high;                             \
    const type *restrict x = in[0];                                                 \
    type *restrict y = out[0];                                                      \
    for (int64_t i = 0; i < n; i++) {                                               \
      type above = x[i] < low ? low : x[i];                                         \
      y[i] = above > high ? high : above;                                           \
    }                                                                               \
  }
#define DEFINE_CLAMP_BACKWARD(name, type)                                           \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    type low = (type)((const attributes *)attr)->low,                               \
         high = (type)((const attributes *)attr)->high;                             \
    const type *restrict x = in[0], *restrict dy = in[1];                           \
    type *restrict dx = out[0];                                                     \
    for (int64_t i = 0; i < n; i++) {                                               \
      type above = x[i] >= low ? dy[i] : 0;                                         \
      dx[i] = x[i] <= high ? above : 0;                                             \
    }                                                                               \
  }
DEFINE_CLAMP(clamp_f32, float)
DEFINE_CLAMP(clamp_f64, double)
DEFINE_CLAMP_BACKWARD(clamp_backward_f32, float)
DEFINE_CLAMP_BACKWARD(clamp_backward_f64, double)

static bool run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = clamp_f32, .f64 = clamp_f64});
}
static bool backward_run(const rill_call *call) {
  rilli_map map = {.f32 = clamp_backward_f32, .f64 = clamp_backward_f64};
  return rilli_map_run(call, 0, &map);
}

static bool infer(rill_infer *q) {
  const attributes *attr = q->attr;
  if (attr->low <= attr->high) return rilli_infer_alike(q);
  return rill_refuse(q, "low must be at most high, not %g and %g", attr->low, attr->high);
}

static void vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, RILL_APPLY(&rilli_op_clamp_backward, g->attr, g->in[0], g->grad[0]));
}

/* low and high, exact in bf16 */
static const attributes BOUNDS = {-0.5, 0.75};

static void sample(rill_samples *s) {
  rilli_sample_unary(s, -0.4, 0.7, &BOUNDS);
  rill_sample_add(s, (rill_sample){.name = "above",
                                   .in = {{.shape = RILL_SHAPE(5, 7), .low = 0.8, .high = 2}},
                                   .attr = &BOUNDS});
  rill_sample_add(s, (rill_sample){.name = "below",
                                   .in = {{.shape = RILL_SHAPE(5, 7), .low = -2, .high = -0.6}},
                                   .attr = &BOUNDS});
  rill_sample_add(s, (rill_sample){.name = "mixed",
                                   .in = {{.shape = RILL_SHAPE(33, 31)}},
                                   .attr = &BOUNDS,
                                   .no_gradient = true});
  rill_sample_add(s, (rill_sample){.name = "bounds",
                                   .in = {{.shape = RILL_SHAPE(3)}},
                                   .attr = &(attributes){2, 1},
                                   .refused = "low must be at most high, not 2 and 1"});
  rill_sample_add(s, (rill_sample){.name = "NaN",
                                   .in = {{.shape = RILL_SHAPE(3)}},
                                   .attr = &(attributes){(double)NAN, 1},
                                   .refused = "low must be at most high"});
}
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-2, 2}, {-2, 2}}, &BOUNDS);
}

const rill_op rilli_op_clamp = {
    .name = "clamp",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_clamp)},
    .strided = true,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0),
    .sample = sample,
};

const rill_op rilli_op_clamp_backward = {
    .name = "clamp_backward",
    .in = {"x", "dy"},
    .out = {"dx"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_clamp_backward)},
    .strided = true,
    .no_grad = "the derivative of clamp is constant almost everywhere",
    .sample = backward_sample,
};

rill_tensor *rill_clamp(rill_tensor *x, double low, double high) {
  return RILL_APPLY(&rilli_op_clamp, (&(attributes){low, high}), x);
}
