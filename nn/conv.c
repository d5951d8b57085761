/* Short causal convolutions. */
#include "nn/conv.h"

#include <math.h>
#include <stdio.h>

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

/* Rows of x to put before the convolution (`into`) and to take out of it (`back`): `keep` rows of
 * zeros, which are row T, stand before each text.
 *
 *   x     a0 a1 a2 | b0 b1 | 0          into   5 5 0 1 2 5 5 3 4        (keep = 2)
 *                                       back       2 3 4     7 8 */
static rill_tensor *rows_of(rill_context *ctx, rill_packing pack, int64_t keep, bool into) {
  const int64_t T = pack.offsets[pack.sequences], n = into ? T + keep * pack.sequences : T;
  int64_t *row = rill_alloc(ctx, (size_t)(n + 1) * sizeof *row), at = 0;
  for (int64_t i = 0; row && i < pack.sequences; i++) {
    for (int64_t j = 0; into && j < keep; j++) row[at++] = T;
    for (int64_t t = pack.offsets[i]; t < pack.offsets[i + 1]; t++)
      row[at++] = into ? t : t + keep * (i + 1);
  }
  rill_tensor *index =
      row ? rill_from(ctx, RILL_I64, RILL_SHAPE(n), row) : rill_zeros(ctx, RILL_I64, RILL_SHAPE(0));
  rill_free(ctx, row);
  return index;
}

/* The same rows serve all convolutions of that width, and all layers. */
static rill_tensor *kept_rows(rill_state *state, rill_context *ctx, int64_t keep, bool into) {
  rill_packing pack = rill_state_packing(state);
  const int64_t T = pack.offsets[pack.sequences], n = into ? T + keep * pack.sequences : T;
  char name[32];
  snprintf(name, sizeof name, "%s_%d", into ? "into" : "back", (int)keep);
  rill_tensor *rows = rill_state_get(state, "", name, RILL_SHAPE(n));
  if (rows) return rows;
  rows = rows_of(ctx, pack, keep, into);
  rill_state_put(state, "", name, rows);
  return rows;
}

/* x [1, T, channels] of several texts. */
static rill_tensor *apply_packed(const rill_conv *f, rill_tensor *x, rill_state *state) {
  const int64_t keep = rill_size(f->weight, 1) - 1;
  rill_context *ctx = rill_context_of(x);
  rill_tensor *zero = rill_zeros(ctx, rill_dtype_of(x), RILL_SHAPE(1, 1, rill_size(x, 2)));
  rill_tensor *both[2] = {x, zero};
  rill_tensor *apart =
      rill_index_select(rill_concat(2, both, 1), 1, kept_rows(state, ctx, keep, 1));
  rill_tensor *y = rill_conv1d_causal(apart, f->weight, f->bias, NULL, f->silu);
  return rill_index_select(y, 1, kept_rows(state, ctx, keep, 0));
}

rill_tensor *rill_conv_apply(const rill_conv *f, rill_tensor *x, rill_state *state) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  rill_tensor *before = NULL;
  int64_t keep = rill_size(f->weight, 1) - 1;
  if (rill_state_packing(state).sequences && rill_rank(x) == 3)
    return rill_module_leave(f->module, scope, apply_packed(f, x, state));
  if (state && rill_rank(x) == 3)
    before = rill_state_get(state, rill_module_path(f->module), "inputs",
                            RILL_SHAPE(rill_size(x, 0), keep, rill_size(x, 2)));
  rill_tensor *y = rill_conv1d_causal(x, f->weight, f->bias, before, f->silu);
  if (state && keep > 0 && rill_rank(x) == 3)
    rill_state_put(state, rill_module_path(f->module), "inputs", remember(f, before, x));
  return rill_module_leave(f->module, scope, y);
}
