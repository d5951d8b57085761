/* Blocks. */
#include "nn/block.h"

#include "nn/nn_impl.h"
#include "ops/ops.h"

static void make_mixer(rill_block *f, rill_module *m, const rill_block_opts *o) {
  if (!o->mixer && !o->parts) {
    f->attention = rill_attention_new(m, (rill_attention_opts){.width = o->width,
                                                               .heads = o->heads,
                                                               .groups = o->groups,
                                                               .head_size = o->key_size,
                                                               .rotary_base = o->rotary_base,
                                                               .out_init = o->out_init});
    return;
  }
  f->mixer =
      rill_mixer_new(m, (rill_mixer_opts){.width = o->width,
                                          .heads = o->heads,
                                          .key_size = o->key_size,
                                          .value_size = o->value_size,
                                          .parts = o->parts ? *o->parts : rill_parts_of(o->mixer),
                                          .norm_eps = o->norm_eps,
                                          .out_init = o->out_init});
}

rill_block *rill_block_new(rill_module *m, rill_block_opts opts) {
  rill_block *f = rilli_layer_alloc(m, sizeof *f);
  if (!f) return NULL;
  if (opts.heads == 0) opts.heads = 1;
  f->module = m;
  f->mixer_norm = rill_rmsnorm_new(m, "mixer_norm", opts.width);
  if (f->mixer_norm) f->mixer_norm->eps = opts.norm_eps;
  make_mixer(f, rill_submodule(m, "mixer"), &opts);
  if (!opts.no_mlp) {
    int64_t hidden = opts.hidden ? opts.hidden : rill_mlp_hidden(opts.width);
    f->mlp_norm = rill_rmsnorm_new(m, "mlp_norm", opts.width);
    if (f->mlp_norm) f->mlp_norm->eps = opts.norm_eps;
    f->mlp = rill_mlp_new(rill_submodule(m, "mlp"), opts.width, hidden,
                          (rill_mlp_opts){.down_init = opts.out_init});
  }
  return f->mixer || f->attention ? f : NULL;
}

rill_tensor *rill_block_apply_state(const rill_block *f, rill_tensor *x, rill_state *state) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  rill_tensor *y = rill_rmsnorm_apply(f->mixer_norm, x);
  y = f->attention ? rill_attention_apply(f->attention, y, state)
                   : rill_mixer_apply(f->mixer, y, state);
  x = rill_add(x, y);
  if (f->mlp) x = rill_add(x, rill_mlp_apply(f->mlp, rill_rmsnorm_apply(f->mlp_norm, x)));
  return rill_module_leave(f->module, scope, x);
}

rill_tensor *rill_block_apply(const rill_block *f, rill_tensor *x) {
  return rill_block_apply_state(f, x, NULL);
}
