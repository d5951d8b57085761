/* Running a recurrent mixer. */
#include <math.h>

#include "nn/mixer.h"
#include "nn/nn_impl.h"
#include "ops/ops.h"

static const double CHANNEL_TEMPERATURE = 16; /* GLA divides its log decays by this */
static const double SMALLEST_SUM = 1e-6;      /* of a normaliser's weights */

static rill_dtype real_of(rill_tensor *x) {
  return rill_dtype_of(x) == RILL_F64 ? RILL_F64 : RILL_F32;
}

static rill_tensor *in_dtype(rill_tensor *x, rill_dtype dtype) {
  return rill_dtype_of(x) == dtype ? x : rill_cast(x, dtype);
}

/* A projection of x as a gate: f32 or f64. */
static rill_tensor *project(const rill_linear *f, rill_tensor *x) {
  return in_dtype(rill_linear_apply(f, x), real_of(x));
}

/* ---- q, k, v ---- */

static rill_tensor *split_heads(rill_tensor *x, int64_t heads) {
  int64_t size = rill_size(x, 2) / heads;
  return rill_reshape(x, RILL_SHAPE(rill_size(x, 0), rill_size(x, 1), heads, size));
}

/* elu(x) + 1 = e^min(x, 0) + max(x, 0) */
static rill_tensor *elu_plus_one(rill_tensor *x) {
  return rill_add(rill_exp(rill_neg(rill_relu(rill_neg(x)))), rill_relu(x));
}

/* Heads of q or k to the heads of v. */
static rill_tensor *share_heads(rill_tensor *x, int64_t heads) {
  int64_t B = rill_size(x, 0), T = rill_size(x, 1), G = rill_size(x, 2), D = rill_size(x, 3);
  if (G == heads || G == 0) return x;
  x = rill_expand(rill_unsqueeze(x, 3), RILL_SHAPE(B, T, G, heads / G, D));
  return rill_reshape(x, RILL_SHAPE(B, T, heads, D));
}

/* A query or key: [B, T, width] -> [B, T, H, D] */
static rill_tensor *make_key(const rill_mixer *f, const rill_linear *projection,
                             const rill_conv *conv, rill_tensor *x, rill_state *state) {
  const rill_parts *p = &f->opts.parts;
  rill_tensor *k = rill_linear_apply(projection, x);
  if (conv) k = rill_conv_apply(conv, k, state);
  k = split_heads(k, p->groups); /* [B, T, G, D] */
  bool silu = p->feature == RILL_FEATURE_SILU && !conv;
  if (p->feature == RILL_FEATURE_ELU) k = elu_plus_one(k);
  if (silu || p->qk_norm) k = rill_qk_prepare(k, silu, p->qk_norm, 0);
  if (p->rotary) k = rill_rotary(k, rill_state_position(state), 0);
  return share_heads(k, f->opts.heads);
}

/* ---- gates ---- */

static void make_gates(const rill_mixer *f, rill_tensor *x, rill_recur_opts *opts) {
  const rill_mixer_opts *o = &f->opts;
  rill_tensor *step = NULL;
  if (f->alpha) {
    step = rill_softplus(rill_add(project(f->alpha, x), f->dt_bias)); /* [B, T, H] */
    opts->log_alpha = rill_neg(rill_mul(step, rill_exp(f->a_log)));
  } else if (f->decay_up) {
    rill_tensor *low = rill_linear_apply(f->decay_down, x); /* [B, T, rank] */
    rill_tensor *log_alpha = rill_logsigmoid(project(f->decay_up, low));
    opts->log_alpha = split_heads(rill_scale(log_alpha, 1 / CHANNEL_TEMPERATURE), o->heads);
  } else {
    opts->log_alpha = f->log_decay;
  }
  if (o->parts.step_gate) opts->beta = step;
  if (f->beta) opts->beta = rill_sigmoid(project(f->beta, x));
  if (f->beta && o->parts.beta_max != 1) opts->beta = rill_scale(opts->beta, o->parts.beta_max);
  if (f->gamma) opts->gamma = rill_sigmoid(project(f->gamma, x));
}

/* ---- the recurrence ---- */

/* v with a last column of ones, whose output is the sum of the weights. */
static rill_tensor *add_ones(rill_tensor *v) {
  rill_shape shape = rill_shape_of(v);
  if (shape.rank == 4) shape.size[3] = 1;
  rill_tensor *both[2] = {v, rill_full(rill_context_of(v), rill_dtype_of(v), shape, 1)};
  return rill_concat(2, both, 3);
}

static rill_tensor *divide_by_sum(rill_tensor *o) {
  int64_t V = rill_size(o, 3) - 1;
  rill_tensor *sum = rill_slice(o, 3, V, V + 1, 1); /* [B, T, H, 1] */
  return rill_div(rill_slice(o, 3, 0, V, 1), rill_affine(sum, 1, SMALLEST_SUM));
}

/* q, k [B, T, H, D], v [B, T, H, V] -> [B, T, H, V] */
static rill_tensor *recur(const rill_mixer *f, rill_tensor *q, rill_tensor *k, rill_tensor *v,
                          rill_recur_opts opts, rill_state *state) {
  const rill_parts *p = &f->opts.parts;
  const char *path = rill_module_path(f->module);
  if (p->qk_scale) q = rill_scale(q, 1 / sqrt((double)f->opts.key_size));
  if (p->normaliser) v = add_ones(v);
  opts.clip = p->clip;
  rill_shape shape = RILL_SHAPE(rill_size(q, 0), f->opts.heads, rill_size(v, 3), f->opts.key_size);
  rill_packing pack = rill_state_packing(state);
  if (pack.sequences) {
    opts.offsets = pack.offsets;
    opts.sequences = pack.sequences;
    state = NULL; /* every text begins with an empty one */
  }
  if (state) {
    opts.s0 = rill_state_get(state, path, "s", shape);
    opts.r0 = rill_state_get(state, path, "r", shape);
    if (rill_size(q, 1) == 1) opts.impl = RILL_IMPL_REFERENCE;
  }
  rill_recur_out out = rill_recur(&p->rule, q, k, v, opts);
  if (state) rill_state_put(state, path, "s", out.s);
  if (state && out.r) rill_state_put(state, path, "r", out.r);
  return p->normaliser ? divide_by_sum(out.o) : out.o;
}

/* ---- norm and gate ---- */

/* o [B, T, H, V], gate [B, T, H * V] or NULL -> [B, T, H * V] */
static rill_tensor *finish(const rill_mixer *f, rill_tensor *o, rill_tensor *gate) {
  const rill_parts *p = &f->opts.parts;
  bool whole = p->norm == RILL_OUTPUT_NORM_ALL;
  rill_shape flat = RILL_SHAPE(rill_size(o, 0), rill_size(o, 1), rill_size(o, 2) * rill_size(o, 3));
  if (whole) o = rill_reshape(o, flat);
  if (gate && !whole) gate = split_heads(gate, f->opts.heads);
  if (gate && p->gate_first) {
    o = rill_swiglu(gate, o);
    gate = NULL;
  }
  if (f->norm && gate) return rill_reshape(rill_rmsnorm_apply_gated(f->norm, o, gate), flat);
  if (f->norm) o = rill_rmsnorm_apply(f->norm, o);
  if (f->group_norm) o = rill_groupnorm_apply(f->group_norm, o);
  if (gate) o = rill_swiglu(gate, o);
  return rill_reshape(o, flat);
}

rill_tensor *rill_mixer_apply(const rill_mixer *f, rill_tensor *x, rill_state *state) {
  if (!f) return rilli_layer_missing(x);
  rill_scope *scope = rill_module_enter(f->module, x);
  rill_recur_opts opts = {0};
  rill_tensor *q = make_key(f, f->q, f->q_conv, x, state);
  rill_tensor *k = make_key(f, f->k, f->k_conv, x, state);
  rill_tensor *v = rill_linear_apply(f->v, x);
  if (f->v_conv) v = rill_conv_apply(f->v_conv, v, state);
  if (!f->v_conv && f->opts.parts.value_silu) v = rill_silu(v);
  v = split_heads(v, f->opts.heads);
  make_gates(f, x, &opts);
  rill_tensor *o = recur(f, q, k, v, opts, state);
  if (f->skip) {
    rill_tensor *d = in_dtype(rill_unsqueeze(f->skip, 1), rill_dtype_of(v)); /* [H, 1] */
    o = rill_add(o, rill_mul(v, d));
  }
  o = finish(f, o, f->g ? rill_linear_apply(f->g, x) : NULL);
  return rill_module_leave(f->module, scope, rill_linear_apply(f->o, o));
}
