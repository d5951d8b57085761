/* The token-by-token form: runs every rule. */
#include "ops/recurrence/kernel_impl.h"

static const rilli_recur_kernel *choose(rill_dtype dtype) {
  return dtype == RILL_F64 ? &rilli_reference_f64 : &rilli_reference_f32;
}

bool rilli_recur_reference_forward(rill_env *env, const rilli_recur_in *in,
                                   const rilli_recur_fwd *out) {
  return rilli_recur_run_forward(choose(in->dtype), env, in, out);
}

bool rilli_recur_reference_backward(rill_env *env, const rilli_recur_in *in,
                                    const rilli_recur_bwd *out) {
  return rilli_recur_run_backward(choose(in->dtype), env, in, out);
}
