/* Linear layers. */
#include "nn/linear.h"

#include "nn/nn_impl.h"
#include "ops/ops.h"

rill_linear *rill_linear_new_with(rill_module *m, const char *name, int64_t inputs, int64_t outputs,
                                  rill_linear_opts opts) {
  rill_module *sub = m ? rill_submodule(m, "%s", name) : NULL;
  rill_linear *f = rilli_layer_alloc(sub, sizeof *f);
  if (!f) return NULL;
  if (opts.init.kind == RILL_INIT_DEFAULT) opts.init = rill_init_normal(rill_module_options(m).std);
  f->module = sub;
  f->weight = rill_param(sub, "weight", RILL_SHAPE(outputs, inputs), opts.init);
  if (opts.bias) f->bias = rill_param(sub, "bias", RILL_SHAPE(outputs), opts.bias_init);
  return f;
}

rill_linear *rill_linear_new(rill_module *m, const char *name, int64_t inputs, int64_t outputs) {
  return rill_linear_new_with(m, name, inputs, outputs, (rill_linear_opts){0});
}

rill_tensor *rill_linear_apply(const rill_linear *f, rill_tensor *x) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  return rill_module_leave(f->module, scope, rill_linear_op(x, f->weight, f->bias));
}
