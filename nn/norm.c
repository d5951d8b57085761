/* Normalisation layers. */
#include "nn/norm.h"

#include "nn/nn_impl.h"
#include "ops/ops.h"

/* ---- rmsnorm ---- */

rill_rmsnorm *rill_rmsnorm_new(rill_module *m, const char *name, int64_t width) {
  rill_module *sub = m ? rill_submodule(m, "%s", name) : NULL;
  rill_rmsnorm *f = rilli_layer_alloc(sub, sizeof *f);
  if (!f) return NULL;
  f->module = sub;
  f->weight = rill_param(sub, "weight", RILL_SHAPE(width), rill_init_constant(1));
  return f;
}

rill_tensor *rill_rmsnorm_apply(const rill_rmsnorm *f, rill_tensor *x) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  return rill_module_leave(f->module, scope, rill_rmsnorm_op(x, f->weight, f->eps));
}

rill_tensor *rill_rmsnorm_apply_gated(const rill_rmsnorm *f, rill_tensor *x, rill_tensor *gate) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  return rill_module_leave(f->module, scope, rill_rmsnorm_gated(x, gate, f->weight, f->eps));
}

/* ---- layernorm ---- */

rill_layernorm *rill_layernorm_new(rill_module *m, const char *name, int64_t width) {
  rill_module *sub = m ? rill_submodule(m, "%s", name) : NULL;
  rill_layernorm *f = rilli_layer_alloc(sub, sizeof *f);
  if (!f) return NULL;
  f->module = sub;
  f->weight = rill_param(sub, "weight", RILL_SHAPE(width), rill_init_constant(1));
  f->bias = rill_param(sub, "bias", RILL_SHAPE(width), rill_init_constant(0));
  return f;
}

rill_tensor *rill_layernorm_apply(const rill_layernorm *f, rill_tensor *x) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  return rill_module_leave(f->module, scope, rill_layernorm_op(x, f->weight, f->bias, f->eps));
}

/* ---- groupnorm ---- */

rill_groupnorm *rill_groupnorm_new(rill_module *m, const char *name, int64_t heads, int64_t size) {
  rill_module *sub = m ? rill_submodule(m, "%s", name) : NULL;
  rill_groupnorm *f = rilli_layer_alloc(sub, sizeof *f);
  if (!f) return NULL;
  f->module = sub;
  f->heads = heads;
  f->size = size;
  f->weight = rill_param(sub, "weight", RILL_SHAPE(heads * size), rill_init_constant(1));
  f->bias = rill_param(sub, "bias", RILL_SHAPE(heads * size), rill_init_constant(0));
  return f;
}

rill_tensor *rill_groupnorm_apply(const rill_groupnorm *f, rill_tensor *x) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  rill_tensor *y = rill_layernorm_op(x, NULL, NULL, f->eps); /* [..., heads, size] */
  rill_tensor *weight = rill_reshape(f->weight, RILL_SHAPE(f->heads, f->size));
  rill_tensor *bias = rill_reshape(f->bias, RILL_SHAPE(f->heads, f->size));
  return rill_module_leave(f->module, scope, rill_add(rill_mul(y, weight), bias));
}
