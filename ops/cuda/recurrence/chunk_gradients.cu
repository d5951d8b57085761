/* Gradients of q, k and the gates (chunk_gradients.cuh). */
#include "ops/cuda/recurrence/chunk_gradients.cuh"

template <int D, bool FITTED>
static bool run(rill_env *env, const rilli_recur_chunked &p) {
  return rilli_launch(env, gradients<D, FITTED>, rilli_grid_of(p.chunks * p.H), 2 * D,
                      rilli_recur_gradients_block<D>::bytes(), p);
}

bool rilli_recur_gradients(rill_env *env, const rilli_recur_chunked &p) {
  if (p.fitted) return p.D == 128 ? run<128, true>(env, p) : run<64, true>(env, p);
  return p.D == 128 ? run<128, false>(env, p) : run<64, false>(env, p);
}
