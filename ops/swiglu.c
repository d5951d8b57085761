/* swiglu: silu(gate) up, and both of its gradients, in one pass each. */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_swiglu, rilli_op_swiglu_backward;
bool rilli_cuda_swiglu(const rill_call *call);
bool rilli_cuda_swiglu_backward(const rill_call *call);

static inline float swiglu_float(float gate, float up) { return gate * rilli_sigmoidf(gate) * up; }
static inline double swiglu_double(double gate, double up) {
  return gate * rilli_sigmoid(gate) * up;
}
RILLI_MAP_2(swiglu_f32, float, float, swiglu_float)
RILLI_MAP_2(swiglu_f64, double, double, swiglu_double)

#define DEFINE_BACKWARD(name, type, sigmoid)                                        \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    const type *restrict gate = in[0], *restrict up = in[1], *restrict dy = in[2];  \
    type *restrict dgate = out[0], *restrict dup = out[1];                          \
    (void)attr;                                                                     \
    for (int64_t i = 0; i < n; i++) {                                               \
      type x = gate[i], s = sigmoid(x);                                             \
      dgate[i] = dy[i] * up[i] * (s * (1 + x * (1 - s)));                           \
      dup[i] = dy[i] * (x * s);                                                     \
    }                                                                               \
  }
DEFINE_BACKWARD(swiglu_backward_f32, float, rilli_sigmoidf)
DEFINE_BACKWARD(swiglu_backward_f64, double, rilli_sigmoid)

static bool run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = swiglu_f32, .f64 = swiglu_f64});
}
static bool backward_run(const rill_call *call) {
  rilli_map map = {.f32 = swiglu_backward_f32, .f64 = swiglu_backward_f64};
  return rilli_map_run(call, 0, &map);
}

static bool backward_infer(rill_infer *q) {
  return rilli_infer_alike(q) &&
         rill_infer_output(q, 1, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

static void compose(rill_compose *c) { c->out[0] = rill_mul(rill_silu(c->in[0]), c->in[1]); }
static void backward_compose(rill_compose *c) {
  rill_tensor *gate = c->in[0], *up = c->in[1], *dy = c->in[2], *s = rill_sigmoid(gate);
  rill_tensor *slope = rill_mul(s, rill_affine(rill_mul(gate, rill_affine(s, -1, 1)), 1, 1));
  c->out[0] = rill_mul(rill_mul(dy, up), slope);
  c->out[1] = rill_mul(dy, rill_silu(gate));
}

static void vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->in[0], g->in[1], g->grad[0]}, *out[RILL_MAX_OUTPUTS];
  rill_apply_all(&rilli_op_swiglu_backward, 3, in, NULL, out);
  rill_vjp_give(g, 0, out[0]);
  rill_vjp_give(g, 1, out[1]);
}

static void sample(rill_samples *s) {
  rilli_sample_alike(s, 2, (rilli_range[]){{-5, 5}, {-2, 2}}, NULL);
}
static void backward_sample(rill_samples *s) {
  rilli_sample_alike(s, 3, (rilli_range[]){{-5, 5}, {-2, 2}, {-1, 1}}, NULL);
}

const rill_op rilli_op_swiglu = {
    .name = "swiglu",
    .in = {"gate", "up"},
    .out = {"y"},
    .infer = rilli_infer_alike,
    .kernels = {{RILL_CPU, "map", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_swiglu)},
    .strided = true,
    .compose = compose,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0) | RILL_SAVE_INPUT(1),
    .sample = sample,
};

const rill_op rilli_op_swiglu_backward = {
    .name = "swiglu_backward",
    .in = {"gate", "up", "dy"},
    .out = {"dgate", "dup"},
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "map", NULL, backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_swiglu_backward)},
    .strided = true,
    .compose = backward_compose,
    .no_grad = "the derivative of swiglu is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_swiglu(rill_tensor *gate, rill_tensor *up) {
  return RILL_APPLY(&rilli_op_swiglu, NULL, gate, up);
}
