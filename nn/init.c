/* Initial values, written in ops. They are drawn in f32 (f64), so that bf16 parameters begin at the
 * rounded values of the f32 ones. */
#include "nn/init.h"

#include <math.h>

#include "ops/ops.h"

static rill_tensor *values(rill_context *ctx, rill_dtype dtype, rill_shape shape, rill_init init) {
  switch (init.kind) {
    case RILL_INIT_NORMAL:
      return rill_scale(rill_randn(ctx, dtype, shape), init.a);
    case RILL_INIT_UNIFORM:
      return rill_affine(rill_rand(ctx, dtype, shape), init.b - init.a, init.a);
    case RILL_INIT_LOG_UNIFORM:
      return rill_log(rill_affine(rill_rand(ctx, dtype, shape), init.b - init.a, init.a));
    case RILL_INIT_STEP: {
      double low = log(init.a), high = log(init.b);
      rill_tensor *step =
          rill_exp(rill_affine(rill_rand(ctx, dtype, shape), high - low, low)); /* s */
      /* softplus(x) = s where x = s + log(1 - e^-s) */
      return rill_add(step, rill_log(rill_affine(rill_exp(rill_neg(step)), -1, 1)));
    }
    case RILL_INIT_CONSTANT:
      return rill_full(ctx, dtype, shape, init.a);
    case RILL_INIT_DEFAULT:
      return rill_zeros(ctx, dtype, shape);
  }
  rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_init_tensor: %d is no kind of rill_init",
            (int)init.kind);
  return rill_zeros(ctx, dtype, shape);
}

rill_tensor *rill_init_tensor(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                              rill_init init) {
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_dtype wide = dtype == RILL_F64 ? RILL_F64 : RILL_F32;
  rill_tensor *x = values(ctx, wide, shape, init);
  if (wide != dtype) x = rill_cast(x, dtype);
  x = rill_hoist(x);
  rill_scope_close(scope);
  return x;
}
