/* Token by token, forward. The final states double as the running ones. */
#ifndef RILL_OPS_RECURRENCE_REFERENCE_FORWARD_IMPL_H_
#define RILL_OPS_RECURRENCE_REFERENCE_FORWARD_IMPL_H_

#include "ops/recurrence/reference_token_impl.h"

static void reference_forward(const rilli_recur_in *in, const rilli_recur_fwd *out,
                              int64_t sequence, int64_t head, char *scratch) {
  token t = token_of(in, sequence, head);
  real *o = token_lay_out(&t, (real *)(void *)scratch);
  real *S = state_of(&t, out->s), *R = t.fitted ? state_of(&t, out->r) : NULL;
  state_copy(&t, S, state_of(&t, in->s0));
  if (R) state_copy(&t, R, state_of(&t, in->r0));
  for (int64_t i = t.from; i < t.to; i++) {
    if (out->states && (i - t.from) % in->C == 0) {
      int64_t chunk = (i - t.from) / in->C;
      state_copy(&t, saved_of(&t, out->states, chunk, 0), S);
      if (R) state_copy(&t, saved_of(&t, out->states, chunk, 1), R);
    }
    token_read(&t, i);
    for (int64_t j = 0; j < t.V; j++)
      o[j] = row_step(&t, j, S + j * t.D, R ? R + j * t.D : NULL, true);
    write_row(in->dtype, out->o, t.at * t.V, t.V, o);
  }
}

#endif /* RILL_OPS_RECURRENCE_REFERENCE_FORWARD_IMPL_H_ */
