/* Short causal convolutions. */
#include "nn/conv.h"

#include <math.h>

#include "nn/nn_impl.h"
#include "ops/ops.h"

rill_conv *rill_conv_new(rill_module *m, const char *name, int64_t channels, int64_t width,
                         rill_conv_opts opts) {
  rill_module *sub = m ? rill_submodule(m, "%s", name) : NULL;
  rill_conv *f = rilli_layer_alloc(sub, sizeof *f);
  if (!f) return NULL;
  double bound = 1 / sqrt((double)width);
  f->module = sub;
  f->silu = opts.silu;
  f->weight =
      rill_param(sub, "weight", RILL_SHAPE(channels, width), rill_init_uniform(-bound, bound));
  if (opts.bias) f->bias = rill_param(sub, "bias", RILL_SHAPE(channels), rill_init_constant(0));
  return f;
}

/* The last width - 1 of the inputs: before [B, width - 1, channels] (NULL = zeros), then x. */
static rill_tensor *remember(const rill_conv *f, rill_tensor *before, rill_tensor *x) {
  int64_t keep = rill_size(f->weight, 1) - 1, T = rill_size(x, 1);
  if (T >= keep) return rill_slice(x, 1, T - keep, T, 1);
  if (!before)
    before = rill_zeros(rill_context_of(x), rill_dtype_of(x),
                        RILL_SHAPE(rill_size(x, 0), keep, rill_size(x, 2)));
  rill_tensor *both[2] = {rill_slice(before, 1, T, keep, 1), x};
  return rill_concat(2, both, 1);
}

rill_tensor *rill_conv_apply(const rill_conv *f, rill_tensor *x, rill_state *state) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  rill_tensor *before = NULL;
  int64_t keep = rill_size(f->weight, 1) - 1;
  if (state && rill_rank(x) == 3)
    before = rill_state_get(state, rill_module_path(f->module), "inputs",
                            RILL_SHAPE(rill_size(x, 0), keep, rill_size(x, 2)));
  rill_tensor *y = rill_conv1d_causal(x, f->weight, f->bias, before, f->silu);
  if (state && keep > 0 && rill_rank(x) == 3)
    rill_state_put(state, rill_module_path(f->module), "inputs", remember(f, before, x));
  return rill_module_leave(f->module, scope, y);
}
