/* The backward sweep (chunk_reverse.cuh) of rules with one state. */
#include "ops/cuda/recurrence/chunk_reverse.cuh"

bool rilli_recur_reverse_one(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? rilli_recur_reverse_run<128, false>(env, p)
                    : rilli_recur_reverse_run<64, false>(env, p);
}
