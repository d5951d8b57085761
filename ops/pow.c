/* pow: a^b, both operands varying. Conventions at a = 0: the gradient of b is 0 when b >= 0, and
 * the gradient of a is 0 when b = 0; a negative a gives b no gradient (NaN). */
#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_pow, rilli_op_pow_backward;
bool rilli_cuda_pow(const rill_call *call);
bool rilli_cuda_pow_backward(const rill_call *call);

RILLI_MAP_2(pow_f32, float, float, powf)
RILLI_MAP_2(pow_f64, double, double, pow)

#define DEFINE_BACKWARD(name, type, power, logarithm)                                      \
  static void name(int64_t n, const void *const *in, void *const *out, const void *attr) { \
    const type *restrict a = in[0], *restrict b = in[1], *restrict dy = in[2];             \
    type *restrict da = out[0], *restrict db = out[1];                                     \
    (void)attr;                                                                            \
    for (int64_t i = 0; i < n; i++) {                                                      \
      bool flat = a[i] == 0 && b[i] >= 0;                                                  \
      da[i] = b[i] == 0 ? 0 : dy[i] * b[i] * power(a[i], b[i] - 1);                        \
      db[i] = flat ? 0 : dy[i] * power(a[i], b[i]) * logarithm(a[i]);                      \
    }                                                                                      \
  }
DEFINE_BACKWARD(pow_backward_f32, float, powf, logf)
DEFINE_BACKWARD(pow_backward_f64, double, pow, log)

static bool run(const rill_call *call) {
  return rilli_map_run(call, 0, &(rilli_map){.f32 = pow_f32, .f64 = pow_f64});
}
static bool backward_run(const rill_call *call) {
  rilli_map map = {.f32 = pow_backward_f32, .f64 = pow_backward_f64};
  return rilli_map_run(call, 0, &map);
}

static bool backward_infer(rill_infer *q) {
  rill_shape shape;
  if (!rilli_infer_broadcast(q, 0, RILLI_FLOATS, &shape)) return false;
  return rill_infer_output(q, 0, q->in[0].dtype, shape) &&
         rill_infer_output(q, 1, q->in[0].dtype, shape);
}

static void vjp(rill_vjp *g) {
  rill_tensor *in[] = {g->in[0], g->in[1], g->grad[0]}, *out[RILL_MAX_OUTPUTS];
  rill_apply_all(&rilli_op_pow_backward, 3, in, NULL, out);
  rill_vjp_give(g, 0, out[0]);
  rill_vjp_give(g, 1, out[1]);
}

static void sample(rill_samples *s) {
  rilli_sample_binary(s, (rilli_range[]){{0.3, 2}, {-2, 3}});
  rilli_sample_refused_dtype(s, 2, RILL_I32, NULL, "a must be f64, f32 or bf16, not i32");
}
static void backward_sample(rill_samples *s) {
  rilli_sample_shapes(s, 3, (rilli_range[]){{0.3, 2}, {-2, 3}, {-1, 1}}, NULL);
  rilli_sample_refused_dtype(s, 3, RILL_I32, NULL, "a must be f64, f32 or bf16, not i32");
  rill_sample_add(
      s, (rill_sample){
             .name = "shapes",
             .in = {{.shape = RILL_SHAPE(3)}, {.shape = RILL_SHAPE(3)}, {.shape = RILL_SHAPE(2)}},
             .refused = "shapes [3] and [2] do not broadcast"});
}

const rill_op rilli_op_pow = {
    .name = "pow",
    .in = {"a", "b"},
    .out = {"y"},
    .infer = rilli_infer_floats,
    .kernels = {{RILL_CPU, "map", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_pow)},
    .strided = true,
    .vjp = vjp,
    .saves = RILL_SAVE_INPUT(0) | RILL_SAVE_INPUT(1),
    .sample = sample,
};

const rill_op rilli_op_pow_backward = {
    .name = "pow_backward",
    .in = {"a", "b", "dy"},
    .out = {"da", "db"},
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "map", NULL, backward_run},
                RILL_CUDA_KERNEL("map", NULL, rilli_cuda_pow_backward)},
    .strided = true,
    .no_grad = "the derivative of pow is differentiated no further",
    .sample = backward_sample,
};

rill_tensor *rill_pow(rill_tensor *a, rill_tensor *b) {
  return RILL_APPLY(&rilli_op_pow, NULL, a, b);
}
