/* What the update ops share. One call updates all parameters:
 *
 *   plan | w g states... master? | w g states... master? | ...
 *
 * with a master copy where w is bf16. Elements are cut into pieces of fixed length for the threads,
 * and every one is computed from its own operands alone, so results do not depend on the pieces. */
#ifndef RILL_OPTIM_UPDATE_IMPL_H_
#define RILL_OPTIM_UPDATE_IMPL_H_

#include "autograd/op.h"
#include "optim/attributes.h"

enum { RILLI_UPDATE_PIECE = 1 << 14 };

/* g and states are f32 (f64 for f64), as is the master copy; all of a parameter have one shape. */
static inline bool rilli_update_infer(rill_infer *q, int states) {
  const rill_array *in = q->in;
  if (in[0].dtype != RILL_F64 || rill_array_count(&in[0]) != RILLI_PLAN)
    return rill_refuse(q, "plan must be f64 [%d]", RILLI_PLAN);
  for (int i = 1, size; i < q->inputs; i += size) {
    rill_dtype dtype = in[i].dtype, real = dtype == RILL_F64 ? RILL_F64 : RILL_F32;
    size = rilli_update_operands(dtype == RILL_BF16, states);
    if (!rill_dtype_is_float(dtype)) return rill_refuse(q, "w must be f32, f64 or bf16");
    if (i + size > q->inputs) return rill_refuse(q, "operand %d lacks its states", i);
    for (int j = i + 1; j < i + size; j++) {
      if (!rill_shape_equal(rill_array_shape(&in[j]), rill_array_shape(&in[i])))
        return rill_refuse(q, "operands of a parameter must have one shape");
      if (in[j].dtype != real)
        return rill_refuse(q, "g and states must be %s", rill_dtype_name(real));
    }
  }
  return true;
}

/* Calls part(user, at, count) for every piece of n elements. */
static inline void rilli_update_pieces(const rill_env *env, int64_t n,
                                       void (*part)(const void *user, int64_t at, int64_t n),
                                       const void *user) {
  int64_t pieces = (n + RILLI_UPDATE_PIECE - 1) / RILLI_UPDATE_PIECE;
#pragma omp parallel for schedule(static) num_threads(env->threads) if (pieces > 1)
  for (int64_t i = 0; i < pieces; i++) {
    int64_t at = i * RILLI_UPDATE_PIECE;
    part(user, at, n - at < RILLI_UPDATE_PIECE ? n - at : RILLI_UPDATE_PIECE);
  }
  (void)env;
}

/* One parameter, for the parts of a CPU kernel. */
typedef struct {
  const rill_array *in; /* w, g, states, master */
  const void *attr;
  const double *plan;
} rilli_update_job;

/* Runs a CPU kernel for all parameters, unless the plan says no. */
static inline bool rilli_update_run(const rill_call *call, int states,
                                    void (*part)(const void *job, int64_t at, int64_t n)) {
  rilli_update_job job = {.attr = call->attr, .plan = call->in[0].data};
  for (int i = 1; job.plan[RILLI_GO] != 0 && i < call->inputs;) {
    job.in = call->in + i;
    rilli_update_pieces(call->env, rill_array_count(job.in), part, &job);
    i += rilli_update_operands(job.in->dtype == RILL_BF16, states);
  }
  return true;
}

#endif /* RILL_OPTIM_UPDATE_IMPL_H_ */
