/* The SwiGLU feed-forward layer. */
#include "nn/mlp.h"

#include "nn/nn_impl.h"
#include "ops/ops.h"

int64_t rill_mlp_hidden(int64_t width) { return (8 * width + 191) / 192 * 64; }

rill_mlp *rill_mlp_new(rill_module *m, int64_t width, int64_t hidden, rill_mlp_opts opts) {
  rill_mlp *f = rilli_layer_alloc(m, sizeof *f);
  if (!f) return NULL;
  f->module = m;
  f->gate = rill_linear_new(m, "gate_proj", width, hidden);
  f->up = rill_linear_new(m, "up_proj", width, hidden);
  f->down = rill_linear_new_with(m, "down_proj", hidden, width,
                                 (rill_linear_opts){.init = opts.down_init});
  return f;
}

rill_tensor *rill_mlp_apply(const rill_mlp *f, rill_tensor *x) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  rill_tensor *gate = rill_linear_apply(f->gate, x); /* [..., hidden] */
  rill_tensor *up = rill_linear_apply(f->up, x);
  return rill_module_leave(f->module, scope, rill_swiglu_linear(gate, up, f->down->weight));
}
