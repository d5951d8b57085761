/* The chunked form: which rules it runs, and on which of its compiled instances. */
#include "ops/recurrence/kernel_impl.h"

/* All but a decay per channel together with a delta rule or a residual. */
bool rilli_recur_chunk_fits(const rill_rule *rule) {
  return rule->decay != RILL_DECAY_CHANNEL ||
         (rule->write == RILL_WRITE_ADD && rule->residual == RILL_RESIDUAL_NONE);
}

static const rilli_recur_kernel *choose(rill_dtype dtype) {
  bool f64 = dtype == RILL_F64;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return f64 ? &rilli_chunk_f64_avx512 : &rilli_chunk_f32_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return f64 ? &rilli_chunk_f64_avx2 : &rilli_chunk_f32_avx2;
#endif
  return f64 ? &rilli_chunk_f64 : &rilli_chunk_f32;
}

bool rilli_recur_chunk_forward(rill_env *env, const rilli_recur_in *in,
                               const rilli_recur_fwd *out) {
  return rilli_recur_run_forward(choose(in->dtype), env, in, out);
}

bool rilli_recur_chunk_backward(rill_env *env, const rilli_recur_in *in,
                                const rilli_recur_bwd *out) {
  return rilli_recur_run_backward(choose(in->dtype), env, in, out);
}
