/* Softmax attention. The cache is [B, capacity, G, D] with capacity a power of two, so that reading
 * n tokens one by one moves it log n times and otherwise writes one row. */
#include "nn/attention.h"

#include <inttypes.h>

#include "nn/nn_impl.h"
#include "ops/ops.h"

enum { SMALLEST_CACHE = 64 };

rill_attention *rill_attention_new(rill_module *m, rill_attention_opts opts) {
  if (!m) return NULL;
  if (opts.groups == 0) opts.groups = opts.heads;
  if (opts.head_size == 0 && opts.heads > 0) opts.head_size = opts.width / opts.heads;
  if (opts.rotary_base == 0) opts.rotary_base = 10000;
  if (opts.width <= 0 || opts.heads <= 0 || opts.groups <= 0 || opts.heads % opts.groups != 0 ||
      opts.head_size <= 0 || (opts.head_size % 2 != 0 && !opts.no_rotary)) {
    rill_fail(rill_module_context(m), RILL_ERROR_ARGUMENT,
              "rill_attention_new: width %" PRId64 ", heads %" PRId64 ", groups %" PRId64
              ", head_size %" PRId64
              ": all must be > 0, groups divide heads, head_size be even (for rotary positions)",
              opts.width, opts.heads, opts.groups, opts.head_size);
    return NULL;
  }
  rill_attention *f = rilli_layer_alloc(m, sizeof *f);
  if (!f) return NULL;
  f->module = m;
  f->opts = opts;
  f->q = rill_linear_new(m, "q_proj", opts.width, opts.heads * opts.head_size);
  f->k = rill_linear_new(m, "k_proj", opts.width, opts.groups * opts.head_size);
  f->v = rill_linear_new(m, "v_proj", opts.width, opts.groups * opts.head_size);
  f->o = rill_linear_new_with(m, "o_proj", opts.heads * opts.head_size, opts.width,
                              (rill_linear_opts){.init = opts.out_init});
  return f;
}

/* Adds x [B, T, G, D] at `position` of the cache `name` and returns everything up to it. */
static rill_tensor *cached(const rill_attention *f, const char *name, rill_tensor *x,
                           rill_state *state) {
  const char *path = rill_module_path(f->module);
  int64_t B = rill_size(x, 0), T = rill_size(x, 1), G = f->opts.groups, D = f->opts.head_size;
  int64_t position = rill_state_position(state), capacity = SMALLEST_CACHE, before = 0;
  while (capacity < position + T) capacity *= 2;
  if (position > 0) { /* the capacity that held the tokens before */
    before = SMALLEST_CACHE;
    while (before < position) before *= 2;
  }
  rill_tensor *cache = NULL;
  if (before) cache = rill_state_get(state, path, name, RILL_SHAPE(B, before, G, D));
  if (!cache || before < capacity) {
    rill_tensor *larger =
        rill_zeros(rill_context_of(x), rill_dtype_of(x), RILL_SHAPE(B, capacity, G, D));
    if (cache)
      rill_assign(rill_slice(larger, 1, 0, position, 1), rill_slice(cache, 1, 0, position, 1));
    rill_state_put(state, path, name, larger);
    cache = rill_state_get(state, path, name, RILL_SHAPE(B, capacity, G, D));
    if (!cache) return x;
  }
  rill_assign(rill_slice(cache, 1, position, position + T, 1), x);
  return rill_slice(cache, 1, 0, position + T, 1);
}

/* Every text of a packed row by itself: one small call a text. Positions count through, for rotary
 * positions only tell how far tokens are apart. */
static rill_tensor *attend_packed(rill_tensor *q, rill_tensor *k, rill_tensor *v,
                                  rill_packing pack) {
  rill_context *ctx = rill_context_of(q);
  rill_tensor **part = rill_alloc(ctx, (size_t)pack.sequences * sizeof(rill_tensor *));
  int parts = 0;
  for (int64_t i = 0; part && i < pack.sequences; i++) {
    int64_t begin = pack.offsets[i], end = pack.offsets[i + 1];
    if (begin == end) continue;
    part[parts++] =
        rill_attention_op(rill_slice(q, 1, begin, end, 1), rill_slice(k, 1, begin, end, 1),
                          rill_slice(v, 1, begin, end, 1), true, 0);
  }
  rill_tensor *y = parts ? rill_concat(parts, part, 1) : q;
  rill_free(ctx, part);
  return y;
}

rill_tensor *rill_attention_apply(const rill_attention *f, rill_tensor *x, rill_state *state) {
  if (!f) return rilli_layer_missing(x);
  const rill_attention_opts *o = &f->opts;
  rill_scope *scope = rill_module_enter(f->module, x);
  int64_t offset = rill_state_position(state);
  rill_tensor *q = rill_linear_apply(f->q, x), *k = rill_linear_apply(f->k, x),
              *v = rill_linear_apply(f->v, x);
  int64_t B = rill_size(x, 0), T = rill_size(x, 1);
  q = rill_reshape(q, RILL_SHAPE(B, T, o->heads, o->head_size));
  k = rill_reshape(k, RILL_SHAPE(B, T, o->groups, o->head_size));
  v = rill_reshape(v, RILL_SHAPE(B, T, o->groups, o->head_size));
  if (!o->no_rotary) {
    q = rill_rotary(q, offset, o->rotary_base);
    k = rill_rotary(k, offset, o->rotary_base);
  }
  rill_packing pack = rill_state_packing(state);
  if (state && !pack.sequences && !rill_is_void(v)) {
    k = cached(f, "keys", k, state);
    v = cached(f, "values", v, state);
  }
  rill_tensor *y = pack.sequences ? attend_packed(q, k, v, pack)
                                  : rill_attention_op(q, k, v, true, 0); /* [B, T, H, D] */
  y = rill_linear_apply(f->o, rill_reshape(y, RILL_SHAPE(B, T, o->heads * o->head_size)));
  return rill_module_leave(f->module, scope, y);
}
