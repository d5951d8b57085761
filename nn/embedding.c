/* Embeddings. */
#include "nn/embedding.h"

#include "nn/nn_impl.h"
#include "ops/ops.h"

rill_embedding *rill_embedding_new_with(rill_module *m, const char *name, int64_t rows,
                                        int64_t width, rill_init init) {
  rill_module *sub = m ? rill_submodule(m, "%s", name) : NULL;
  rill_embedding *f = rilli_layer_alloc(sub, sizeof *f);
  if (!f) return NULL;
  if (init.kind == RILL_INIT_DEFAULT) init = rill_init_normal(rill_module_options(m).std);
  f->module = sub;
  f->weight = rill_param(sub, "weight", RILL_SHAPE(rows, width), init);
  return f;
}

rill_embedding *rill_embedding_new(rill_module *m, const char *name, int64_t rows, int64_t width) {
  return rill_embedding_new_with(m, name, rows, width, (rill_init){RILL_INIT_DEFAULT, 0, 0});
}

rill_tensor *rill_embed(const rill_embedding *f, rill_tensor *ids) {
  if (!f) return rilli_layer_missing(ids);
  rill_scope *scope = rill_module_enter(f->module, ids);
  return rill_module_leave(f->module, scope, rill_embedding_lookup(f->weight, ids));
}
