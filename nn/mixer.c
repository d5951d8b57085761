/* Making a recurrent mixer; mixer_apply.c runs it. */
#include "nn/mixer.h"

#include <inttypes.h>
#include <math.h>

#include "nn/nn_impl.h"
#include "ops/ops.h"

/* Mamba-2's ranges: decays exp(-a dt) between about 0.2 and 0.9999 at the beginning. */
static const double A_LOW = 1, A_HIGH = 16, STEP_LOW = 1e-3, STEP_HIGH = 0.1;

enum { DEFAULT_RANK = 16 };

static bool refuse(rill_module *m, const char *what) {
  rill_fail(rill_module_context(m), RILL_ERROR_ARGUMENT, "rill_mixer_new: %s: %s",
            rill_module_path(m), what);
  return false;
}

static bool check(rill_module *m, const rill_mixer_opts *o) {
  const rill_parts *p = &o->parts;
  if (o->width <= 0 || o->heads <= 0 || o->key_size <= 0 || o->value_size <= 0)
    return refuse(m, "width, heads, key_size and value_size must be > 0");
  if (p->groups <= 0 || o->heads % p->groups != 0)
    return refuse(m, "the number of key groups must divide the number of heads");
  if (p->rotary && o->key_size % 2 != 0) return refuse(m, "rotary positions need an even key_size");
  if (p->conv < 0 || p->rank < 0) return refuse(m, "conv and rank must be >= 0");
  if (p->step_gate && (p->rule.decay != RILL_DECAY_TOKEN || !p->rule.beta))
    return refuse(m, "a step gate needs a rule with a decay per token and with beta");
  if (p->rule.residual != RILL_RESIDUAL_NONE && p->rule.gamma == RILL_GAMMA_TIED && !p->rule.beta)
    return refuse(m, "gamma cannot be tied to beta: the rule has no beta");
  if (p->normaliser &&
      (p->rule.write == RILL_WRITE_DELTA || p->rule.residual != RILL_RESIDUAL_NONE))
    return refuse(m, "a normaliser needs an additive rule without residual");
  return true;
}

/* log(1 - 2^(-5-h)) for head h. */
static rill_tensor *retention_decays(rill_module *m, int64_t heads, rill_dtype dtype) {
  rill_context *ctx = rill_module_context(m);
  double *values = rill_alloc(ctx, (size_t)heads * sizeof *values);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  for (int64_t h = 0; values && h < heads; h++) values[h] = log1p(-exp2(-5.0 - (double)h));
  rill_tensor *x = values ? rill_from(ctx, RILL_F64, RILL_SHAPE(heads), values)
                          : rill_zeros(ctx, RILL_F64, RILL_SHAPE(heads));
  x = rill_keep(rill_cast(x, dtype));
  rill_scope_close(scope);
  rill_free(ctx, values);
  return x;
}

static void make_gates(rill_mixer *f) {
  rill_module *m = f->module;
  const rill_mixer_opts *o = &f->opts;
  const rill_rule *rule = &o->parts.rule;
  rill_dtype real = rill_module_options(m).dtype == RILL_F64 ? RILL_F64 : RILL_F32;
  rill_shape heads = RILL_SHAPE(o->heads);
  if (rule->decay == RILL_DECAY_HEAD) f->log_decay = retention_decays(m, o->heads, real);
  if (rule->decay == RILL_DECAY_TOKEN) {
    f->alpha = rill_linear_new(m, "alpha_proj", o->width, o->heads);
    f->a_log = rill_param_as(m, "a_log", real, heads,
                             rill_init_make(RILL_INIT_LOG_UNIFORM, A_LOW, A_HIGH));
    f->dt_bias = rill_param_as(m, "dt_bias", real, heads,
                               rill_init_make(RILL_INIT_STEP, STEP_LOW, STEP_HIGH));
  }
  if (rule->decay == RILL_DECAY_CHANNEL) {
    f->decay_down = rill_linear_new(m, "decay_down", o->width, o->parts.rank);
    f->decay_up = rill_linear_new_with(m, "decay_up", o->parts.rank, o->heads * o->key_size,
                                       (rill_linear_opts){.bias = true});
  }
  if (rule->beta && !o->parts.step_gate)
    f->beta = rill_linear_new(m, "beta_proj", o->width, o->heads);
  if (rill_rule_has_gamma(rule)) f->gamma = rill_linear_new(m, "gamma_proj", o->width, o->heads);
  if (o->parts.skip) f->skip = rill_param_as(m, "skip", real, heads, rill_init_constant(1));
}

static void make_convolutions(rill_mixer *f) {
  const rill_parts *p = &f->opts.parts;
  rill_conv_opts opts = {.bias = p->conv_bias, .silu = p->feature == RILL_FEATURE_SILU};
  rill_conv_opts value_opts = {.bias = p->conv_bias, .silu = opts.silu || p->value_silu};
  int64_t keys = p->groups * f->opts.key_size, values = f->opts.heads * f->opts.value_size;
  f->q_conv = rill_conv_new(f->module, "q_conv", keys, p->conv, opts);
  f->k_conv = rill_conv_new(f->module, "k_conv", keys, p->conv, opts);
  f->v_conv = rill_conv_new(f->module, "v_conv", values, p->conv, value_opts);
}

static void make_output(rill_mixer *f) {
  rill_module *m = f->module;
  const rill_mixer_opts *o = &f->opts;
  int64_t values = o->heads * o->value_size;
  switch (o->parts.norm) {
    case RILL_OUTPUT_NORM_NONE:
      break;
    case RILL_OUTPUT_NORM_RMS:
      f->norm = rill_rmsnorm_new(m, "norm", o->value_size);
      break;
    case RILL_OUTPUT_NORM_GROUP:
      f->group_norm = rill_groupnorm_new(m, "norm", o->heads, o->value_size);
      break;
    case RILL_OUTPUT_NORM_ALL:
      f->norm = rill_rmsnorm_new(m, "norm", values);
      break;
  }
  if (f->norm) f->norm->eps = o->norm_eps;
  if (f->group_norm) f->group_norm->eps = o->norm_eps;
  f->o =
      rill_linear_new_with(m, "o_proj", values, o->width, (rill_linear_opts){.init = o->out_init});
}

rill_mixer *rill_mixer_new(rill_module *m, rill_mixer_opts opts) {
  if (!m) return NULL;
  rill_parts *p = &opts.parts;
  if (opts.key_size == 0 && opts.heads > 0) opts.key_size = opts.width / opts.heads;
  if (opts.value_size == 0 && opts.heads > 0) opts.value_size = opts.width / opts.heads;
  if (p->groups == 0) p->groups = opts.heads;
  if (p->clip == 0) p->clip = 1;
  if (p->beta_max == 0) p->beta_max = 1;
  if (p->rank == 0) p->rank = DEFAULT_RANK;
  if (!check(m, &opts)) return NULL;
  rill_mixer *f = rilli_layer_alloc(m, sizeof *f);
  if (!f) return NULL;
  f->module = m;
  f->opts = opts;
  f->q = rill_linear_new(m, "q_proj", opts.width, p->groups * opts.key_size);
  f->k = rill_linear_new(m, "k_proj", opts.width, p->groups * opts.key_size);
  f->v = rill_linear_new(m, "v_proj", opts.width, opts.heads * opts.value_size);
  if (p->gate) f->g = rill_linear_new(m, "g_proj", opts.width, opts.heads * opts.value_size);
  if (p->conv > 0) make_convolutions(f);
  make_gates(f);
  make_output(f);
  return f;
}
