/* Threads of the recurrence, and their scratch. */
#include <omp.h>

#include "ops/recurrence/kernel_impl.h"
#include "tensor/checked.h"

/* No more threads than sequences times heads. */
static int threads_of(const rill_env *env, const rilli_recur_in *in) {
  int64_t items = in->N * in->H;
  if (env->threads <= 1 || items <= 1) return 1;
  return items < env->threads ? (int)items : env->threads;
}

/* The most tokens a chunk has. */
static int64_t longest_chunk(const rilli_recur_in *in) {
  int64_t longest = 0;
  for (int64_t n = 0; n < in->N; n++) {
    int64_t tokens = in->token_start[n + 1] - in->token_start[n];
    if (tokens > longest) longest = tokens;
  }
  return longest < in->C ? longest : in->C;
}

/* `bytes` for each thread; NULL when bytes is 0 or memory is short. */
static char *scratch_of(rill_env *env, size_t bytes, int threads) {
  size_t all = 0;
  if (bytes == 0 || !rilli_mul_size(bytes, (size_t)threads, &all)) return NULL;
  return (char *)rill_env_alloc(env, all);
}

bool rilli_recur_run_forward(const rilli_recur_kernel *kernel, rill_env *env,
                             const rilli_recur_in *in, const rilli_recur_fwd *out) {
  int threads = threads_of(env, in);
  size_t bytes = kernel->scratch(in, longest_chunk(in), false);
  char *scratch = scratch_of(env, bytes, threads);
  if (!scratch) return false;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t item = 0; item < in->N * in->H; item++)
    kernel->forward(in, out, item / in->H, item % in->H,
                    scratch + (size_t)omp_get_thread_num() * bytes);
  return true;
}

bool rilli_recur_run_backward(const rilli_recur_kernel *kernel, rill_env *env,
                              const rilli_recur_in *in, const rilli_recur_bwd *out) {
  int threads = threads_of(env, in);
  size_t bytes = kernel->scratch(in, longest_chunk(in), true);
  char *scratch = scratch_of(env, bytes, threads);
  if (!scratch) return false;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t item = 0; item < in->N * in->H; item++)
    kernel->backward(in, out, item / in->H, item % in->H,
                     scratch + (size_t)omp_get_thread_num() * bytes);
  return true;
}
