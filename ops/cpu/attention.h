/* Blocked softmax attention on the CPU; ops/attention.c is the op. */
#ifndef RILL_OPS_CPU_ATTENTION_H_
#define RILL_OPS_CPU_ATTENTION_H_

#include "autograd/op.h"

/* q, o and their gradients [B, T, H, D]; k, v and theirs [B, S, G, D], H a multiple of G, S >= 1,
 * D >= 1, and S >= T when causal; all contiguous with one dtype. lse, dlse: reals [B, H, T]. */
typedef struct {
  rill_dtype dtype;
  int64_t B, T, S, H, G, D;
  bool causal; /* query t sees keys 0 .. S - T + t */
  double scale;
  const void *q, *k, *v;
} rilli_attention;

/* Writes o and lse, the logarithm of each query's sum of exponentials. False: memory is short. */
bool rilli_attention_forward(rill_env *env, const rilli_attention *args, void *o, void *lse);

typedef struct {
  const void *o, *lse, *do_, *dlse; /* do_, dlse or NULL = 0 */
  void *dq, *dk, *dv;
} rilli_attention_gradients;
bool rilli_attention_backward(rill_env *env, const rilli_attention *args,
                              const rilli_attention_gradients *g);

#endif /* RILL_OPS_CPU_ATTENTION_H_ */
