/* Gradients of q, k and the gates (chunk_gradients.cuh). */
#include "ops/cuda/recurrence/chunk_gradients.cuh"

template <int D>
static bool run(rill_env *env, const rilli_recur_chunked &p) {
  return rilli_launch(env, gradients<D>, rilli_grid_of(p.chunks * p.H), 2 * D,
                      rilli_recur_gradients_block<D>::bytes(), p);
}

bool rilli_recur_gradients(rill_env *env, const rilli_recur_chunked &p) {
  return p.D == 128 ? run<128>(env, p) : run<64>(env, p);
}
