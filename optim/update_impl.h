/* What the update ops share: their operands are equal in shape, and are cut into pieces of fixed
 * length for the threads. Every element is computed from its own operands alone, so results do not
 * depend on the pieces. */
#ifndef RILL_OPTIM_UPDATE_IMPL_H_
#define RILL_OPTIM_UPDATE_IMPL_H_

#include "autograd/op.h"
#include "optim/attributes.h"

enum { RILLI_UPDATE_PIECE = 1 << 14 };

/* The operands must be w, then g and states in f32 (f64 for f64), then, for bf16 only, a master
 * copy; all of one shape. Behind them is the plan. */
static inline bool rilli_update_infer(rill_infer *q, int states) {
  const rill_array *in = q->in;
  rill_dtype dtype = in[0].dtype, real = dtype == RILL_F64 ? RILL_F64 : RILL_F32;
  int master = 2 + states;
  if (!rill_dtype_is_float(dtype)) return rill_refuse(q, "w must be f32, f64 or bf16");
  for (int i = 1; i <= master; i++) {
    if (!rill_present(&in[i])) continue;
    if (!rill_shape_equal(rill_array_shape(&in[i]), rill_array_shape(&in[0])))
      return rill_refuse(q, "operands must have one shape");
    if (in[i].dtype != real)
      return rill_refuse(q, "g and states must be %s", rill_dtype_name(real));
  }
  if (rill_present(&in[master]) != (dtype == RILL_BF16))
    return rill_refuse(q, "a master copy goes with bf16 parameters, and only with these");
  if (in[master + 1].dtype != RILL_F64 || rill_array_count(&in[master + 1]) != RILLI_PLAN)
    return rill_refuse(q, "plan must be f64 [%d]", RILLI_PLAN);
  return true;
}

/* Calls part(user, start, count) for every piece of n elements. */
static inline void rilli_update_pieces(const rill_env *env, int64_t n,
                                       void (*part)(const rill_call *call, int64_t at, int64_t n),
                                       const rill_call *call) {
  int64_t pieces = (n + RILLI_UPDATE_PIECE - 1) / RILLI_UPDATE_PIECE;
#pragma omp parallel for schedule(static) num_threads(env->threads) if (pieces > 1)
  for (int64_t i = 0; i < pieces; i++) {
    int64_t at = i * RILLI_UPDATE_PIECE;
    part(call, at, n - at < RILLI_UPDATE_PIECE ? n - at : RILLI_UPDATE_PIECE);
  }
  (void)env;
}

#endif /* RILL_OPTIM_UPDATE_IMPL_H_ */
