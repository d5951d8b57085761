/* Language models. */
#include "nn/lm.h"

#include <inttypes.h>
#include <math.h>

#include "nn/nn_impl.h"
#include "ops/ops.h"

rill_module_opts rill_lm_module_opts(const rill_lm_config *config, rill_dtype dtype) {
  rill_lm_config resolved = *config;
  char message[RILL_CONFIG_MESSAGE]; /* rill_lm_new will say it */
  return (rill_module_opts){.dtype = dtype,
                            .std = rill_lm_resolve(&resolved, message) ? resolved.std : 0};
}

static rill_block_opts block_opts(const rill_lm_config *c, double std) {
  rill_block_opts opts = {.width = c->width,
                          .heads = c->heads,
                          .parts = c->parts.rule.name ? &c->parts : NULL,
                          .hidden = c->hidden,
                          .no_mlp = !c->mlp,
                          .key_size = c->key_size,
                          .value_size = c->value_size,
                          .groups = c->groups,
                          .rotary_base = c->rotary_base,
                          .norm_eps = c->norm_eps};
  if (c->scale_out && c->layers > 0)
    opts.out_init = rill_init_normal(std / sqrt(2 * (double)c->layers));
  return opts;
}

rill_lm *rill_lm_new(rill_module *m, const rill_lm_config *config) {
  char message[RILL_CONFIG_MESSAGE];
  rill_lm *f = rilli_layer_alloc(m, sizeof *f);
  if (!f) return NULL;
  rill_context *ctx = rill_module_context(m);
  f->module = m;
  f->config = *config;
  if (!rill_lm_resolve(&f->config, message)) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_lm_new: %s", message);
    return NULL;
  }
  const rill_lm_config *c = &f->config;
  f->block = rill_owned_alloc(ctx, (size_t)(c->layers + 1) * sizeof *f->block);
  if (!f->block) return NULL;
  rill_block_opts opts = block_opts(c, rill_module_options(m).std);
  f->embed = rill_embedding_new(m, "embed", c->vocab, c->width);
  for (int64_t i = 0; i < c->layers && !rill_error(ctx); i++)
    f->block[i] = rill_block_new(rill_submodule(m, "block.%" PRId64, i), opts);
  f->norm = rill_rmsnorm_new(m, "norm", c->width);
  if (f->norm) f->norm->eps = c->norm_eps;
  if (!c->tied) f->head = rill_linear_new(m, "head", c->width, c->vocab);
  return rill_error(ctx) ? NULL : f;
}

/* ---- applying ---- */

static void block_function(void *user, int inputs, rill_tensor *const *in, int outputs,
                           rill_tensor **out) {
  (void)inputs, (void)outputs;
  out[0] = rill_block_apply(user, in[0]);
}

/* A block and the packed texts that it is given. */
typedef struct {
  const rill_block *block;
  rill_state *state;
} packed_block;

static void packed_function(void *user, int inputs, rill_tensor *const *in, int outputs,
                            rill_tensor **out) {
  const packed_block *f = user;
  (void)inputs, (void)outputs;
  out[0] = rill_block_apply_state(f->block, in[0], f->state);
}

/* Keeps only x for backward. */
static rill_tensor *recompute(const rill_lm *f, int64_t i, rill_tensor *x, rill_state *state) {
  rill_tensor *y = NULL;
  if (!state) {
    rill_recompute(block_function, f->block[i], 1, &x, 1, &y);
    return y;
  }
  /* The pairs stay where they are until backward: they are the state's. */
  packed_block *all = rilli_state_memory(state, (size_t)f->config.layers * sizeof *all);
  if (!all) return x;
  all[i] = (packed_block){f->block[i], state};
  rill_recompute(packed_function, &all[i], 1, &x, 1, &y);
  return y;
}

static bool check_packing(rill_tensor *ids, rill_state *state) {
  rill_packing pack = rill_state_packing(state);
  if (!pack.sequences || rill_is_void(ids)) return true;
  if (rill_size(ids, 0) == 1 && rill_size(ids, 1) == pack.offsets[pack.sequences]) return true;
  rill_fail(rill_context_of(ids), RILL_ERROR_ARGUMENT,
            "rill_lm: texts that are packed take ids of shape [1, %" PRId64 "], not %s",
            pack.offsets[pack.sequences], rill_shape_print(rill_shape_of(ids)).text);
  return false;
}

/* ids [B, T] -> [B, T, width], before the last norm */
static rill_tensor *body(const rill_lm *f, rill_tensor *ids, rill_state *state) {
  if (!check_packing(ids, state)) return rilli_layer_missing(ids);
  const bool graph = !state || rill_state_packing(state).sequences;
  rill_tensor *x = rill_embed(f->embed, ids);
  for (int64_t i = 0; i < f->config.layers; i++) {
    if ((f->recompute < 0 || i < f->recompute) && graph && rill_requires_grad(x)) {
      x = recompute(f, i, x, state);
    } else {
      x = rill_block_apply_state(f->block[i], x, state);
    }
  }
  return x;
}

rill_tensor *rill_lm_output(const rill_lm *f) {
  return f->head ? f->head->weight : f->embed->weight;
}

static rill_tensor *logits(const rill_lm *f, rill_tensor *x) {
  return rill_linear_op(rill_rmsnorm_apply(f->norm, x), rill_lm_output(f), NULL);
}

static bool check_ids(rill_tensor *ids) {
  if (rill_is_void(ids) || rill_rank(ids) == 2) return true;
  rill_fail(rill_context_of(ids), RILL_ERROR_ARGUMENT,
            "rill_lm_apply: ids must have shape [B, T], not %s",
            rill_shape_print(rill_shape_of(ids)).text);
  return false;
}

rill_tensor *rill_lm_apply_state(const rill_lm *f, rill_tensor *ids, rill_state *state) {
  if (!f || !check_ids(ids)) return rilli_layer_missing(ids);
  rill_scope *scope = rill_module_enter(f->module, ids);
  rill_tensor *y = logits(f, body(f, ids, state));
  if (!rill_is_void(y)) rill_state_advance(state, rill_size(ids, 1));
  return rill_module_leave(f->module, scope, y);
}

rill_tensor *rill_lm_apply(const rill_lm *f, rill_tensor *ids) {
  return rill_lm_apply_state(f, ids, NULL);
}

rill_tensor *rill_lm_next(const rill_lm *f, rill_tensor *ids, rill_state *state) {
  if (!f || !check_ids(ids)) return rilli_layer_missing(ids);
  rill_scope *scope = rill_module_enter(f->module, ids);
  rill_tensor *x = body(f, ids, state);
  int64_t T = rill_size(ids, 1);
  rill_tensor *y = logits(f, rill_slice(x, 1, T - 1, T, 1)); /* [B, 1, vocab] */
  if (!rill_is_void(y)) rill_state_advance(state, T);
  return rill_module_leave(f->module, scope, rill_squeeze(y, 1));
}

rill_tensor *rill_lm_hidden(const rill_lm *f, rill_tensor *ids) {
  if (!f || !check_ids(ids)) return rilli_layer_missing(ids);
  rill_scope *scope = rill_module_enter(f->module, ids);
  return rill_module_leave(f->module, scope, rill_rmsnorm_apply(f->norm, body(f, ids, NULL)));
}

rill_tensor *rill_lm_loss(const rill_lm *f, rill_tensor *ids, rill_tensor *targets) {
  return rill_lm_loss_state(f, ids, targets, NULL);
}

rill_tensor *rill_lm_loss_state(const rill_lm *f, rill_tensor *ids, rill_tensor *targets,
                                rill_state *state) {
  if (!f || !check_ids(ids)) return rilli_layer_missing(ids);
  rill_scope *scope = rill_module_enter(f->module, ids);
  rill_tensor *x = rill_rmsnorm_apply(f->norm, body(f, ids, state));
  if (!rill_is_void(x)) rill_state_advance(state, rill_size(ids, 1));
  return rill_module_leave(f->module, scope,
                           rill_linear_cross_entropy(x, rill_lm_output(f), targets));
}

bool rill_lm_uses_position(const rill_lm_config *config) {
  return !config->parts.rule.name || config->parts.rotary;
}

/* ---- counting ---- */

int64_t rill_lm_count(const rill_lm_config *config, char message[RILL_CONFIG_MESSAGE]) {
  rill_context *ctx = rill_context_new((rill_context_opts){.on_error = RILL_CONTINUE});
  if (!ctx) {
    snprintf(message, RILL_CONFIG_MESSAGE, "out of memory");
    return -1;
  }
  rill_module *m = rill_module_new_with(ctx, (rill_module_opts){.shapes_only = true});
  rill_lm *f = rill_lm_new(m, config);
  int64_t count = f ? rill_params_count(rill_params(m)) : -1;
  if (!f) snprintf(message, RILL_CONFIG_MESSAGE, "%s", rill_error(ctx) ? rill_error(ctx) : "");
  rill_context_free(ctx);
  return count;
}
