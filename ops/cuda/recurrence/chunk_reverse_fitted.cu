/* The backward sweep (chunk_reverse.cuh) of rules with a fitted residual, dS and dR. */
#include "ops/cuda/recurrence/chunk_reverse.cuh"

bool rilli_recur_reverse_two(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? rilli_recur_reverse_run<128, true>(env, p)
                    : rilli_recur_reverse_run<64, true>(env, p);
}
