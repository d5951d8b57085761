/* What the configurations of fla's models mean here.
 *
 * Reading goes text -> keys -> rill_lm_config. Writing goes the other way, and then back again: a
 * configuration can be written when what comes back is the same, so that everything a model of fla
 * does not have is found by comparison and not by a list that could be incomplete. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/hf_impl.h"
#include "nn/mlp.h"
#include "tensor/io.h"

enum {
  GDN = RILLI_HF_GDN,
  DELTANET = RILLI_HF_DELTANET,
  GLA = RILLI_HF_GLA,
  RETNET = RILLI_HF_RETNET,
  LINEAR = RILLI_HF_LINEAR,
  TRANSFORMER = RILLI_HF_TRANSFORMER,
  MAMBA2 = RILLI_HF_MAMBA2,
  LARGEST = 1 << 30,
};

/* ---- what the keys mean ---- */

/* int(size * ratio), as fla computes it; false when it is not > 0 or is too large. */
static bool times(int64_t size, double ratio, int64_t *product) {
  double x = (double)size * ratio;
  if (!(x >= 1 && x < LARGEST)) return false;
  *product = (int64_t)x;
  return true;
}

/* The ratio for which that gives `product`. */
static double over(int64_t product, int64_t size) {
  double ratio = (double)product / (double)size;
  int64_t back;
  if (times(size, ratio, &back) && back != product) ratio = nextafter(ratio, INFINITY);
  return ratio;
}

static bool head_size(const rilli_hf_keys *k, const char *key, double ratio, int64_t *size,
                      char *message) {
  int64_t all;
  if (!times(k->hidden_size, ratio, &all) || all % k->num_heads != 0)
    return rilli_config_refuse(message,
                               "%s %g: hidden_size %" PRId64
                               " times it is not a multiple of num_heads "
                               "%" PRId64,
                               key, ratio, k->hidden_size, k->num_heads);
  *size = all / k->num_heads;
  return true;
}

/* Keys and values have their own sizes, and a head of keys each its head of values. */
static bool head_sizes(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  if (k->num_kv_heads && k->num_kv_heads != k->num_heads)
    return rilli_config_refuse(message,
                               "num_kv_heads must be null or num_heads (%" PRId64 "), not %" PRId64,
                               k->num_heads, k->num_kv_heads);
  c->heads = k->num_heads;
  return head_size(k, "expand_k", k->expand_k, &c->key_size, message) &&
         head_size(k, "expand_v", k->expand_v, &c->value_size, message);
}

/* fla's short convolution is followed by SiLU on v always, on q and k as the feature says. */
static void convolve(const rilli_hf_keys *k, rill_lm_config *c) {
  c->parts.conv = k->use_short_conv ? k->conv_size : 0;
}

static bool read_gdn(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  c->heads = k->num_v_heads ? k->num_v_heads : k->num_heads;
  c->parts.groups = k->num_heads;
  c->key_size = k->head_dim;
  if (!times(k->head_dim, k->expand_v, &c->value_size))
    return rilli_config_refuse(message, "expand_v %g times head_dim %" PRId64 " is no size",
                               k->expand_v, k->head_dim);
  convolve(k, c);
  c->parts.value_silu = !k->use_short_conv;
  c->parts.gate = k->use_gate;
  c->parts.beta_max = k->allow_neg_eigval ? 2 : 1;
  return true;
}

static void write_gdn(const rill_lm_config *c, rilli_hf_keys *k) {
  k->num_heads = c->parts.groups;
  k->num_v_heads = c->heads == c->parts.groups ? 0 : c->heads;
  k->head_dim = c->key_size;
  k->expand_v = over(c->value_size, c->key_size);
  k->use_gate = c->parts.gate;
  k->allow_neg_eigval = c->parts.beta_max == 2;
}

static bool read_deltanet(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  if (k->allow_neg_eigval && !k->use_beta)
    return rilli_config_refuse(message, "allow_neg_eigval true needs use_beta true");
  convolve(k, c);
  c->parts.feature = (rill_feature)k->feature;
  c->parts.value_silu = !(k->use_short_conv && c->parts.feature == RILL_FEATURE_SILU);
  c->parts.gate = k->use_gate;
  c->parts.rule.beta = k->use_beta;
  c->parts.beta_max = k->allow_neg_eigval ? 2 : 1;
  return head_sizes(k, c, message);
}

/* heads and sizes as expand_k and expand_v say them */
static void write_sizes(const rill_lm_config *c, rilli_hf_keys *k) {
  k->num_heads = c->heads;
  k->expand_k = over(c->heads * c->key_size, c->width);
  k->expand_v = over(c->heads * c->value_size, c->width);
  k->feature = (int)c->parts.feature;
}

static void write_deltanet(const rill_lm_config *c, rilli_hf_keys *k) {
  write_sizes(c, k);
  k->use_gate = c->parts.gate;
  k->use_beta = c->parts.rule.beta;
  k->allow_neg_eigval = c->parts.beta_max == 2;
}

static bool read_gated(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  if (k->feature && k->use_short_conv)
    return rilli_config_refuse(
        message, "feature_map \"swish\" with use_short_conv true would apply it twice");
  convolve(k, c);
  c->parts.feature = k->feature || k->use_short_conv ? RILL_FEATURE_SILU : RILL_FEATURE_NONE;
  c->parts.norm = RILL_OUTPUT_NORM_RMS;
  c->parts.gate = k->use_gate;
  return head_sizes(k, c, message);
}

static void write_gated(const rill_lm_config *c, rilli_hf_keys *k) {
  write_sizes(c, k);
  k->feature = c->parts.feature == RILL_FEATURE_SILU && c->parts.conv == 0;
  k->use_gate = c->parts.gate;
}

static bool read_linear(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  c->parts.feature = (rill_feature)k->feature;
  c->parts.qk_scale = true;
  c->parts.normaliser = false;
  c->parts.norm = RILL_OUTPUT_NORM_RMS;
  return head_sizes(k, c, message);
}

static bool read_transformer(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  (void)message;
  c->heads = k->num_heads;
  c->groups = k->num_kv_heads ? k->num_kv_heads : k->num_heads;
  c->rotary_base = k->rope_theta;
  return true;
}

static void write_transformer(const rill_lm_config *c, rilli_hf_keys *k) {
  k->num_heads = c->heads;
  k->num_kv_heads = c->groups;
  k->rope_theta = c->rotary_base;
}

static bool read_mamba2(const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  int64_t inner;
  if (!times(k->hidden_size, k->expand, &inner) || inner % k->head_dim != 0)
    return rilli_config_refuse(message,
                               "expand %g: hidden_size %" PRId64
                               " times it is not a multiple of "
                               "head_dim %" PRId64,
                               k->expand, k->hidden_size, k->head_dim);
  c->mlp = false;
  c->heads = inner / k->head_dim;
  c->key_size = k->state_size;
  c->value_size = k->head_dim;
  c->parts.conv = k->conv_size;
  c->parts.conv_bias = k->use_conv_bias;
  c->parts.norm = k->rmsnorm ? RILL_OUTPUT_NORM_ALL : RILL_OUTPUT_NORM_NONE;
  c->parts.gate_first = !(k->rmsnorm && k->norm_before_gate);
  return true;
}

static void write_mamba2(const rill_lm_config *c, rilli_hf_keys *k) {
  k->head_dim = c->value_size;
  k->state_size = c->key_size;
  k->expand = over(c->heads * c->value_size, c->width);
  k->use_conv_bias = c->parts.conv_bias;
  k->rmsnorm = c->parts.norm != RILL_OUTPUT_NORM_NONE;
  k->norm_before_gate = !c->parts.gate_first;
}

typedef struct {
  int bit;
  const char *type, *architecture, *preset;
  bool (*read)(const rilli_hf_keys *k, rill_lm_config *c, char *message);
  void (*write)(const rill_lm_config *c, rilli_hf_keys *k);
} model;

static const model MODELS[] = {
    {GDN, "gated_deltanet", "GatedDeltaNetForCausalLM", "gdn", read_gdn, write_gdn},
    {DELTANET, "delta_net", "DeltaNetForCausalLM", "deltanet", read_deltanet, write_deltanet},
    {GLA, "gla", "GLAForCausalLM", "gla", read_gated, write_gated},
    {RETNET, "retnet", "RetNetForCausalLM", "retnet", read_gated, write_gated},
    {LINEAR, "linear_attn", "LinearAttentionForCausalLM", "linear_attention", read_linear,
     write_sizes},
    {TRANSFORMER, "transformer", "TransformerForCausalLM", "transformer", read_transformer,
     write_transformer},
    {MAMBA2, "mamba2", "Mamba2ForCausalLM", "mamba2", read_mamba2, write_mamba2},
};
enum { MODEL_COUNT = sizeof MODELS / sizeof MODELS[0] };

/* What all models have. */
static bool to_config(const model *m, const rilli_hf_keys *k, rill_lm_config *c, char *message) {
  rill_lm_preset(m->preset, c);
  c->vocab = k->vocab_size;
  c->width = k->hidden_size;
  c->layers = k->num_hidden_layers;
  c->tied = k->tie_word_embeddings;
  c->norm_eps = k->norm_eps;
  c->std = k->initializer_range;
  c->hidden = k->intermediate_size;
  if (c->hidden == 0) {
    int64_t ratio = k->hidden_ratio ? k->hidden_ratio : 4;
    double hidden = (double)(k->hidden_size * ratio * 2) / 3;
    c->hidden = ((int64_t)hidden + 255) / 256 * 256;
  }
  return m->read(k, c, message) && rill_lm_resolve(c, message);
}

static void to_keys(const model *m, const rill_lm_config *c, rilli_hf_keys *k) {
  *k = (rilli_hf_keys){.vocab_size = c->vocab,
                       .hidden_size = c->width,
                       .num_hidden_layers = c->layers,
                       .tie_word_embeddings = c->tied,
                       .norm_eps = c->norm_eps,
                       .initializer_range = c->std,
                       .intermediate_size = c->hidden,
                       .use_short_conv = c->parts.conv > 0,
                       .conv_size = c->parts.conv > 0 ? c->parts.conv : 4};
  m->write(c, k);
}

/* ---- reading ---- */

static bool read_root(json_t *root, rill_lm_config *config, int *bit, char *message) {
  const json_t *type = json_object_get(root, "model_type");
  const char *name = json_string_value(type);
  rill_lm_training training;
  *bit = 0;
  if (json_is_object(root) && !type && json_object_get(root, "model"))
    return rilli_config_read(root, config, &training, message);
  if (!name)
    return rilli_config_refuse(message,
                               "neither \"model\" nor \"model_type\" says which model this is");
  if (strcmp(name, "rill") == 0) {
    *bit = RILLI_HF_RILL;
    json_t *own = json_object_get(root, "rill");
    if (!own)
      return rilli_config_refuse(message,
                                 "model_type is \"rill\", but the object \"rill\" is missing");
    return rilli_config_read(own, config, &training, message);
  }
  char known[160] = "\"rill\"";
  for (int i = 0; i < MODEL_COUNT; i++) {
    rilli_hf_keys k;
    *bit = MODELS[i].bit;
    if (strcmp(MODELS[i].type, name) == 0)
      return rilli_hf_read_keys(root, *bit, &k, message) &&
             to_config(&MODELS[i], &k, config, message);
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, ", \"%s\"", MODELS[i].type);
  }
  return rilli_config_refuse(message, "model_type \"%.60s\" is none of %s", name, known);
}

bool rilli_hf_parse(const char *text, size_t length, rill_lm_config *config, int *bit,
                    char *message) {
  rill_lm_config read = {0};
  json_t *root = rilli_hf_load(text, length, message);
  if (!root) return false;
  bool done = read_root(root, &read, bit, message);
  json_decref(root);
  if (done) *config = read;
  return done;
}

bool rill_hf_config_parse(const char *text, size_t length, rill_lm_config *config,
                          char message[RILL_CONFIG_MESSAGE]) {
  int bit = 0;
  rill_lm_config read;
  if (!rilli_hf_parse(text, length, &read, &bit, message)) return false;
  if (bit == 0) return rilli_config_refuse(message, "there is no \"model_type\"");
  *config = read;
  return true;
}

/* ---- writing ---- */

/* Fields that say nothing for this model, or only how it began, as fla's models have them. */
static rill_lm_config essential(const rill_lm_config *config) {
  rill_lm_config c = *config;
  c.scale_out = false;
  if (!c.mlp) c.hidden = rill_mlp_hidden(c.width);
  if (c.parts.conv > 0 && c.parts.feature == RILL_FEATURE_SILU) c.parts.value_silu = false;
  return c;
}

static const model *find_model(const rill_lm_config *c) {
  static const char PAPER[] = "paper_";
  const char *name = c->model;
  if (strncmp(name, PAPER, sizeof PAPER - 1) == 0) name += sizeof PAPER - 1;
  for (int i = 0; i < MODEL_COUNT; i++)
    if (strcmp(MODELS[i].preset, name) == 0) return &MODELS[i];
  return NULL;
}

/* fla's model for a resolved configuration, if it is the same function. */
static const model *same_model(const rill_lm_config *config, rilli_hf_keys *k, char *message) {
  char mine[64], theirs[64], why[RILL_CONFIG_MESSAGE];
  const model *m = find_model(config);
  rill_lm_config c = essential(config), back;
  if (!m) {
    rilli_config_refuse(message, "flash-linear-attention has no model for \"%s\"", config->model);
    return NULL;
  }
  to_keys(m, &c, k);
  if (!to_config(m, k, &back, why)) {
    rilli_config_refuse(message, "flash-linear-attention's %s cannot be this: %.300s", m->type,
                        why);
    return NULL;
  }
  back = essential(&back);
  const char *key = rilli_config_differs(&c, &back, mine, theirs, sizeof mine);
  if (!key) return m;
  rilli_config_refuse(message, "flash-linear-attention's %s has \"%s\": %s where this model has %s",
                      m->type, key, theirs, mine);
  return NULL;
}

int rilli_hf_choose(const rill_lm_config *config, rill_naming naming, char *message) {
  rilli_hf_keys k;
  if (naming == RILL_NAMING_RILL) return 0;
  if (naming == RILL_NAMING_HF_RILL) return RILLI_HF_RILL;
  const model *m = same_model(config, &k, message);
  if (m) return m->bit;
  return naming == RILL_NAMING_HF ? RILLI_HF_RILL : 0;
}

static void write_fla(rilli_writer *w, const model *m, const rilli_hf_keys *k) {
  rilli_print(w, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"", m->architecture,
              m->type);
  rilli_hf_write_keys(w, m->bit, k);
  rilli_print(w, "\n}\n");
}

static void write_own(rilli_writer *w, const rill_lm_config *c) {
  rilli_print(w,
              "{\n  \"architectures\": [\"RillForCausalLM\"],\n  \"model_type\": \"rill\",\n"
              "  \"vocab_size\": %" PRId64 ",\n  \"hidden_size\": %" PRId64
              ",\n  \"num_hidden_layers\": %" PRId64 ",\n  \"num_heads\": %" PRId64
              ",\n  \"tie_word_embeddings\": %s,\n  \"rill\": {\n",
              c->vocab, c->width, c->layers, c->heads, c->tied ? "true" : "false");
  rilli_config_write(w, c, "    ");
  rilli_print(w, "\n  }\n}\n");
}

char *rill_hf_config_print(rill_context *ctx, const rill_lm_config *config, rill_naming naming,
                           char message[RILL_CONFIG_MESSAGE]) {
  rill_lm_config c = *config;
  rilli_hf_keys k = {0};
  if (!rill_lm_resolve(&c, message)) return NULL;
  const model *m = naming == RILL_NAMING_HF_RILL ? NULL : same_model(&c, &k, message);
  if (!m && naming == RILL_NAMING_FLA) return NULL;
  rilli_writer w = {0};
  for (int pass = 0; pass < 2; pass++) {
    if (pass == 1) {
      w = (rilli_writer){.room = w.used + 1};
      w.text = rill_alloc(ctx, w.room);
      if (!w.text) {
        rilli_config_refuse(message, "out of memory");
        return NULL;
      }
    }
    if (m)
      write_fla(&w, m, &k);
    else
      write_own(&w, &c);
  }
  return w.text;
}
