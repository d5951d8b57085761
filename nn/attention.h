/* Softmax attention: rotary positions, grouped heads, a cache of keys and values. */
#ifndef RILL_NN_ATTENTION_H_
#define RILL_NN_ATTENTION_H_

#include "nn/linear.h"
#include "nn/state.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t width;      /* of x */
  int64_t heads;      /* of queries */
  int64_t groups;     /* heads of keys and values, a divisor of heads; 0 = heads */
  int64_t head_size;  /* even; 0 = width / heads */
  double rotary_base; /* 0 = 10000 */
  bool no_rotary;
  rill_init out_init; /* of o_proj; default: as every linear layer */
} rill_attention_opts;

typedef struct {
  rill_module *module;
  rill_attention_opts opts; /* nothing left at 0 */
  rill_linear *q, *k, *v;   /* "q_proj", "k_proj", "v_proj" */
  rill_linear *o;           /* "o_proj" */
} rill_attention;

/* Registers its parameters in m itself. Sizes that do not fit each other are an error and NULL. */
rill_attention *rill_attention_new(rill_module *m, rill_attention_opts opts);

/* Causal: x [B, T, width] -> the same. With a state (NULL = none), keys and values of earlier
 * tokens are seen too and those of x are added: the state grows by 2 groups x head_size numbers a
 * token. */
rill_tensor *rill_attention_apply(const rill_attention *f, rill_tensor *x, rill_state *state);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_ATTENTION_H_ */
