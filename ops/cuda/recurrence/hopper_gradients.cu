/* Gradients of q, k and the gates on Hopper (hopper_gradients.cuh). */
#include "ops/cuda/recurrence/hopper_gradients.cuh"

template <int D, bool FITTED>
static bool run(rill_env *env, const rilli_recur_chunked &p) {
  typedef rilli_hopper_block<D, FITTED> block;
  return rilli_launch(env, gradients<D, FITTED>, rilli_grid_of(p.chunks * p.H), block::THREADS,
                      block::bytes(), p);
}

bool rilli_recur_gradients_hopper(rill_env *env, const rilli_recur_chunked &p) {
  if (p.fitted) return p.D == 128 ? run<128, true>(env, p) : run<64, true>(env, p);
  return p.D == 128 ? run<128, false>(env, p) : run<64, false>(env, p);
}
