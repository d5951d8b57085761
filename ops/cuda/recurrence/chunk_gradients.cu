/* Gradients of q, k and the gates (chunk_gradients.cuh), for rules with one state. */
#include "ops/cuda/recurrence/chunk_gradients.cuh"

bool rilli_recur_gradients_one(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? rilli_recur_gradients_run<128, false>(env, p)
                    : rilli_recur_gradients_run<64, false>(env, p);
}
