/* What the files of nn/ share among themselves. */
#ifndef RILL_NN_NN_IMPL_H_
#define RILL_NN_NN_IMPL_H_

#include "nn/module.h"
#include "nn/state.h"
#include "tensor/io.h"

/* Longest name of a module or parameter in its parent, with the zero byte. */
enum { RILLI_NAME_LENGTH = 128 };

/* Memory for a layer, or NULL (also when its module is NULL). */
static inline void *rilli_layer_alloc(rill_module *m, size_t bytes) {
  return m ? rill_owned_alloc(rill_module_context(m), bytes) : NULL;
}

/* The result of a layer that could not be made: the void tensor, for the error is recorded. */
static inline rill_tensor *rilli_layer_missing(rill_tensor *x) {
  rill_context *ctx = rill_context_of(x);
  rill_fail(ctx, RILL_ERROR_STATE, "a layer is NULL");
  return rill_zeros(ctx, RILL_F32, RILL_SHAPE(0));
}

/* Memory that a state keeps for its user until it is released, or asked for more. */
void *rilli_state_memory(rill_state *state, size_t bytes);

#endif /* RILL_NN_NN_IMPL_H_ */
