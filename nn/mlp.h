/* The SwiGLU feed-forward layer: down(silu(gate x) * up x). */
#ifndef RILL_NN_MLP_H_
#define RILL_NN_MLP_H_

#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_module *module;
  rill_linear *gate, *up; /* [hidden, width], "gate_proj", "up_proj" */
  rill_linear *down;      /* [width, hidden], "down_proj" */
} rill_mlp;

typedef struct {
  rill_init down_init; /* of down_proj; default: as every linear layer */
} rill_mlp_opts;

/* Registers its parameters in m itself. */
rill_mlp *rill_mlp_new(rill_module *m, int64_t width, int64_t hidden, rill_mlp_opts opts);
rill_tensor *rill_mlp_apply(const rill_mlp *f, rill_tensor *x); /* [..., width] -> the same */

/* The hidden size that is used when none is given: 8/3 width, up to a multiple of 64. It makes the
 * layer as large as one with 4 width and no gate. */
int64_t rill_mlp_hidden(int64_t width);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_MLP_H_ */
