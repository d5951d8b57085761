/* The forward sweep (chunk_sweep.cuh) of rules with a fitted residual: S and R. */
#include "ops/cuda/recurrence/chunk_sweep.cuh"

bool rilli_recur_sweep_two(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? rilli_recur_sweep_run<128, true>(env, p)
                    : rilli_recur_sweep_run<64, true>(env, p);
}
