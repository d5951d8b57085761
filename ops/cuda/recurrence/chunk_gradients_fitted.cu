/* Gradients of q, k and the gates (chunk_gradients.cuh), for rules with a fitted residual. */
#include "ops/cuda/recurrence/chunk_gradients.cuh"

bool rilli_recur_gradients_two(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? rilli_recur_gradients_run<128, true>(env, p)
                    : rilli_recur_gradients_run<64, true>(env, p);
}
