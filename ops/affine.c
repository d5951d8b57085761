/* affine: scale x + shift with two constants; rill_scale is the one without shift. Integers take
 * whole constants and wrap around. */
#include <inttypes.h>

#include "ops/cpu/map.h"
#include "ops/infer.h"
#include "ops/attributes.h"
#include "ops/ops.h"
#include "ops/samples.h"

extern const rill_op rilli_op_affine;
bool rilli_cuda_affine(const rill_call *call);

typedef rilli_affine_attr attributes;

#define DEFINE_AFFINE(name, type, through)                                          \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr_) {                                \
    const attributes *attr = attr_;                                                 \
    type scale = (type)(through)attr->scale, shift = (type)(through)attr->shift;    \
    const type *restrict x = in[0];                                                 \
    type *restrict y = out[0];                                                      \
    if (attr->shift == 0)                                                           \
      for (int64_t i = 0; i < n; i++) y[i] = (type)(scale * x[i]);                  \
    else                                                                            \
      for (int64_t i = 0; i < n; i++) y[i] = (type)(scale * x[i] + shift);          \
  }
DEFINE_AFFINE(affine_f32, float, float)
DEFINE_AFFINE(affine_f64, double, double)
DEFINE_AFFINE(affine_i32, uint32_t, int64_t)
DEFINE_AFFINE(affine_i64, uint64_t, int64_t)
DEFINE_AFFINE(affine_u8, uint8_t, int64_t)

static bool run(const rill_call *call) {
  rilli_map map = {affine_f32, affine_f64, affine_i32, affine_i64, affine_u8};
  return rilli_map_run(call, 0, &map);
}

static bool is_whole(double x) { return fabs(x) <= 9007199254740992.0 && x == floor(x); }

static bool infer(rill_infer *q) {
  const attributes *attr = q->attr;
  if (!rilli_infer_number(q)) return false;
  if (rill_dtype_is_float(q->in[0].dtype)) return true;
  if (is_whole(attr->scale) && is_whole(attr->shift)) return true;
  return rill_refuse(q, "%s needs whole constants, not scale %g and shift %g",
                     rill_dtype_name(q->in[0].dtype), attr->scale, attr->shift);
}

static void vjp(rill_vjp *g) {
  rill_vjp_give(g, 0, rill_scale(g->grad[0], ((const attributes *)g->attr)->scale));
}

static void sample(rill_samples *s) {
  rilli_sample_shapes(s, 1, &(rilli_range){0, 0}, &(attributes){-1.5, 0.25});
  rill_sample_add(s, (rill_sample){.name = "scale only",
                                   .in = {{.shape = RILL_SHAPE(3, 65)}},
                                   .attr = &(attributes){3, 0}});
  rill_sample_add(s, (rill_sample){.name = "shift only",
                                   .in = {{.shape = RILL_SHAPE(3, 65)}},
                                   .attr = &(attributes){1, -2}});
  rill_sample_add(s, (rill_sample){.name = "i32",
                                   .in = {{.shape = RILL_SHAPE(9), .dtype = RILL_I32, .below = 50}},
                                   .attr = &(attributes){-3, 7}});
  rill_sample_add(s, (rill_sample){.name = "i64",
                                   .in = {{.shape = RILL_SHAPE(9), .dtype = RILL_I64, .below = 50}},
                                   .attr = &(attributes){2, 0}});
  rill_sample_add(s, (rill_sample){.name = "u8",
                                   .in = {{.shape = RILL_SHAPE(9), .dtype = RILL_U8, .below = 50}},
                                   .attr = &(attributes){2, 1}});
  rilli_sample_refused_dtype(s, 1, RILL_BOOL, &(attributes){2, 1}, "x must be a number, not bool");
  rilli_sample_refused_dtype(s, 1, RILL_I64, &(attributes){0.5, 0},
                             "i64 needs whole constants, not scale 0.5 and shift 0");
}

const rill_op rilli_op_affine = {
    .name = "affine",
    .in = {"x"},
    .out = {"y"},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "map", NULL, run}, RILL_CUDA_KERNEL("map", NULL, rilli_cuda_affine)},
    .strided = true,
    .vjp = vjp,
    .sample = sample,
};

rill_tensor *rill_affine(rill_tensor *x, double scale, double shift) {
  return RILL_APPLY(&rilli_op_affine, (&(attributes){scale, shift}), x);
}
rill_tensor *rill_scale(rill_tensor *x, double factor) { return rill_affine(x, factor, 0); }
