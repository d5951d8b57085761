/* A compiled form of the recurrence, and how one is run.
 *
 * Both forms work on one sequence and head at a time; run.c hands these out to threads. A kernel
 * writes only what belongs to its sequence and head, so results do not depend on the number of
 * threads. */
#ifndef RILL_OPS_RECURRENCE_KERNEL_IMPL_H_
#define RILL_OPS_RECURRENCE_KERNEL_IMPL_H_

#include "ops/recurrence/problem_impl.h"

typedef struct {
  /* Bytes of scratch for one thread, a multiple of 64, when no chunk has more than `longest`
   * tokens; 0 when they overflow. */
  size_t (*scratch)(const rilli_recur_in *in, int64_t longest, bool backward);
  /* scratch is aligned to 64. */
  void (*forward)(const rilli_recur_in *in, const rilli_recur_fwd *out, int64_t sequence,
                  int64_t head, char *scratch);
  void (*backward)(const rilli_recur_in *in, const rilli_recur_bwd *out, int64_t sequence,
                   int64_t head, char *scratch);
} rilli_recur_kernel;

/* All sequences and heads. False when scratch memory is short. */
bool rilli_recur_run_forward(const rilli_recur_kernel *kernel, rill_env *env,
                             const rilli_recur_in *in, const rilli_recur_fwd *out);
bool rilli_recur_run_backward(const rilli_recur_kernel *kernel, rill_env *env,
                              const rilli_recur_in *in, const rilli_recur_bwd *out);

extern const rilli_recur_kernel rilli_reference_f32, rilli_reference_f64;
extern const rilli_recur_kernel rilli_chunk_f32, rilli_chunk_f64;
#if defined(__x86_64__)
extern const rilli_recur_kernel rilli_chunk_f32_avx2, rilli_chunk_f64_avx2, rilli_chunk_f32_avx512,
    rilli_chunk_f64_avx512;
#endif

#endif /* RILL_OPS_RECURRENCE_KERNEL_IMPL_H_ */
