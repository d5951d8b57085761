/* The keys of fla's configurations: one table that reading, checking and writing walk. */
#include <float.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "nn/hf_impl.h"

typedef enum {
  INTEGER,
  OPTIONAL, /* an integer that may be null, 0 then */
  REAL,
  BOOLEAN,
  CHOICE, /* an int: which of `choices` it is */
  FIXED,  /* must be one of `choices`; is not written */
} kind;

typedef struct {
  const char *key;
  kind kind;
  int models;
  size_t offset;
  const char *fallback; /* JSON; NULL = required */
  double low, high;
  const char *const *choices; /* JSON values; "" is none */
} row;

enum {
  GDN = RILLI_HF_GDN,
  DELTANET = RILLI_HF_DELTANET,
  GLA = RILLI_HF_GLA,
  RETNET = RILLI_HF_RETNET,
  LINEAR = RILLI_HF_LINEAR,
  TRANSFORMER = RILLI_HF_TRANSFORMER,
  MAMBA2 = RILLI_HF_MAMBA2,
  BLOCKS = GDN | DELTANET | GLA | RETNET | LINEAR | TRANSFORMER, /* mixer, then feed-forward */
  HYBRID = GDN | DELTANET | GLA | RETNET | LINEAR,
  ALL = BLOCKS | MAMBA2,
  MANY = 1 << 30,
  WIDEST = 1 << 24,
};

static const char *const NOTHING[] = {"null", NULL};
static const char *const NO[] = {"false", NULL};
static const char *const YES[] = {"true", NULL};
static const char *const ONE[] = {"1", NULL};
static const char *const SWISH[] = {"\"swish\"", "\"silu\"", NULL};
static const char *const L2[] = {"\"l2\"", NULL};
static const char *const NO_LIMIT[] = {"[0.0, 1e308]", "[0, 1e308]", NULL};
/* In the order of rill_feature. */
static const char *const ACTIVATION[] = {"\"identity\"", "\"silu\"", "\"elu\"", NULL};
static const char *const LINEAR_MAP[] = {"\"identity\"", "", "\"elu\"", NULL};
static const char *const SILU_MAP[] = {"null", "\"swish\"", NULL};

#define AT(field) offsetof(rilli_hf_keys, field)
#define INT(key, models, field, fallback, low, high) \
  { key, INTEGER, models, AT(field), fallback, low, high, NULL }
#define MAYBE(key, models, field, fallback, low, high) \
  { key, OPTIONAL, models, AT(field), fallback, low, high, NULL }
#define NUMBER(key, models, field, fallback, low, high) \
  { key, REAL, models, AT(field), fallback, low, high, NULL }
#define FLAG(key, models, field, fallback) \
  { key, BOOLEAN, models, AT(field), fallback, 0, 1, NULL }
#define PICK(key, models, fallback, choices) \
  { key, CHOICE, models, AT(feature), fallback, 0, 0, choices }
#define MUST(key, models, choices) \
  { key, FIXED, models, 0, "", 0, 0, choices }

static const row ROWS[] = {
    INT("vocab_size", ALL, vocab_size, NULL, 1, MANY),
    INT("hidden_size", ALL, hidden_size, NULL, 1, WIDEST),
    INT("num_hidden_layers", ALL, num_hidden_layers, NULL, 0, 1 << 16),
    INT("num_heads", GDN, num_heads, "6", 1, WIDEST),
    INT("num_heads", DELTANET, num_heads, "16", 1, WIDEST),
    INT("num_heads", GLA | LINEAR, num_heads, "4", 1, WIDEST),
    INT("num_heads", RETNET, num_heads, "8", 1, WIDEST),
    INT("num_heads", TRANSFORMER, num_heads, "32", 1, WIDEST),
    MAYBE("num_v_heads", GDN, num_v_heads, "null", 1, WIDEST),
    MAYBE("num_kv_heads", GLA | RETNET | LINEAR | TRANSFORMER, num_kv_heads, "null", 1, WIDEST),
    INT("head_dim", GDN, head_dim, "256", 1, WIDEST),
    INT("head_dim", MAMBA2, head_dim, "64", 1, WIDEST),
    INT("state_size", MAMBA2, state_size, "128", 1, WIDEST),
    NUMBER("expand", MAMBA2, expand, "2", 1e-6, 1e6),
    NUMBER("expand_k", DELTANET | RETNET | LINEAR, expand_k, "1.0", 1e-6, 1e6),
    NUMBER("expand_k", GLA, expand_k, "0.5", 1e-6, 1e6),
    NUMBER("expand_v", GDN | RETNET, expand_v, "2.0", 1e-6, 1e6),
    NUMBER("expand_v", DELTANET | GLA | LINEAR, expand_v, "1.0", 1e-6, 1e6),
    MAYBE("hidden_ratio", BLOCKS & ~RETNET, hidden_ratio, "4", 1, 1 << 16),
    MAYBE("hidden_ratio", RETNET, hidden_ratio, "2", 1, 1 << 16),
    MAYBE("intermediate_size", BLOCKS, intermediate_size, "null", 1, WIDEST),
    NUMBER("norm_eps", BLOCKS, norm_eps, "1e-6", DBL_MIN, 1),
    NUMBER("norm_eps", MAMBA2, norm_eps, "1e-5", DBL_MIN, 1),
    NUMBER("initializer_range", ALL, initializer_range, "0.02", DBL_MIN, 100),
    FLAG("tie_word_embeddings", ALL, tie_word_embeddings, "false"),
    FLAG("use_short_conv", GDN | DELTANET, use_short_conv, "true"),
    FLAG("use_short_conv", GLA | RETNET, use_short_conv, "false"),
    INT("conv_size", HYBRID & ~LINEAR, conv_size, "4", 1, 1 << 10),
    INT("conv_kernel", MAMBA2, conv_size, "4", 1, 1 << 10),
    FLAG("use_conv_bias", MAMBA2, use_conv_bias, "true"),
    FLAG("use_gate", GDN, use_gate, "true"),
    FLAG("use_gate", DELTANET, use_gate, "false"),
    FLAG("use_output_gate", GLA | RETNET, use_gate, "true"),
    FLAG("use_beta", DELTANET, use_beta, "true"),
    FLAG("allow_neg_eigval", GDN | DELTANET, allow_neg_eigval, "false"),
    PICK("qk_activation", DELTANET, "\"silu\"", ACTIVATION),
    PICK("feature_map", LINEAR, "\"elementwise_product\"", LINEAR_MAP),
    PICK("feature_map", GLA | RETNET, "null", SILU_MAP),
    NUMBER("rope_theta", TRANSFORMER, rope_theta, "10000.0", 1e-3, 1e12),
    FLAG("rmsnorm", MAMBA2, rmsnorm, "true"),
    FLAG("norm_before_gate", MAMBA2, norm_before_gate, "false"),

    MUST("hidden_act", ALL, SWISH),
    MUST("attn", HYBRID, NOTHING),
    MUST("attnres_block_size", BLOCKS, NOTHING),
    MUST("elementwise_affine", GLA | RETNET | LINEAR, YES),
    MUST("clamp_min", GLA, NOTHING),
    MUST("qk_norm", DELTANET, L2),
    MUST("use_output_norm", DELTANET, YES),
    MUST("qk_norm", TRANSFORMER, NO),
    MUST("qkv_bias", TRANSFORMER, NO),
    MUST("window_size", TRANSFORMER, NOTHING),
    MUST("norm_q", LINEAR, NO),
    MUST("norm_k", LINEAR, NO),
    MUST("norm_feature_map", LINEAR, NO),
    MUST("n_groups", MAMBA2, ONE),
    MUST("use_bias", MAMBA2, NO),
    MUST("D_has_hdim", MAMBA2, NO),
    MUST("dt_limit", MAMBA2, NO_LIMIT),
};
enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

/* ---- reading ---- */

/* jansson knows no Infinity, which Python writes; 1e308 of the same length takes its place. */
typedef struct {
  const char *text;
  size_t length, at;
  bool in_string;
  const char *instead; /* what is left of a replacement */
} stream;

static size_t feed(void *buffer, size_t room, void *user) {
  static const char WORD[] = "Infinity", NUMBER_TEXT[] = "1e308   ";
  stream *s = user;
  size_t n = 0;
  for (; n < room && s->at < s->length; n++, s->at++) {
    char c = s->text[s->at];
    if (s->in_string && c == '\\' && s->at + 1 < s->length && n + 1 < room) {
      ((char *)buffer)[n++] = c;
      c = s->text[++s->at];
    } else if (s->in_string && c == '\\' && s->at + 1 < s->length) {
      break; /* both at once, next time */
    } else if (c == '"') {
      s->in_string = !s->in_string;
    } else if (!s->in_string && !s->instead && s->length - s->at >= sizeof WORD - 1 &&
               memcmp(s->text + s->at, WORD, sizeof WORD - 1) == 0) {
      s->instead = NUMBER_TEXT;
    }
    if (s->instead) c = *s->instead++;
    if (s->instead && !*s->instead) s->instead = NULL;
    ((char *)buffer)[n] = c;
  }
  return n;
}

static bool equals(const json_t *value, const char *text) {
  json_t *other = *text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
  bool same = other && json_equal(value, other);
  json_decref(other);
  return same;
}

/* The value as text, cut to fit. */
static const char *show(const json_t *value, char text[80]) {
  size_t n = json_dumpb(value, text, 79, JSON_ENCODE_ANY | JSON_COMPACT);
  text[n < 79 ? n : 79] = '\0';
  if (n > 79) memcpy(text + 76, "...", 4);
  return n ? text : "?";
}

static bool read_choice(const row *r, const json_t *value, int *index, char *message) {
  char known[160] = "", text[80];
  for (*index = 0; r->choices[*index]; ++*index) {
    const char *choice = r->choices[*index];
    if (equals(value, choice)) return true;
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", used && *choice ? " or " : "", choice);
  }
  return rilli_config_refuse(message, "\"%s\" must be %s, not %s", r->key, known,
                             show(value, text));
}

static bool read_row(const row *r, const json_t *value, char *object, char *message) {
  char *at = object + r->offset, text[80];
  int index;
  int64_t integer = json_integer_value(value);
  double number = json_is_number(value) ? json_number_value(value) : 0;
  bool flag = json_is_true(value), in_range = number >= r->low && number <= r->high;
  switch (r->kind) {
    case FIXED:
      return read_choice(r, value, &index, message);
    case CHOICE:
      if (!read_choice(r, value, &index, message)) return false;
      memcpy(at, &index, sizeof index);
      return true;
    case BOOLEAN:
      memcpy(at, &flag, sizeof flag);
      return json_is_boolean(value) ||
             rilli_config_refuse(message, "\"%s\" must be true or false, not %s", r->key,
                                 show(value, text));
    case INTEGER:
    case OPTIONAL:
      memcpy(at, &integer, sizeof integer);
      if (json_is_integer(value) && in_range) return true;
      if (json_is_null(value) && r->kind == OPTIONAL) return true;
      return rilli_config_refuse(message, "\"%s\" must be an integer from %.0f to %.0f, not %s",
                                 r->key, r->low, r->high, show(value, text));
    case REAL:
      memcpy(at, &number, sizeof number);
      return (json_is_number(value) && in_range) ||
             rilli_config_refuse(message, "\"%s\" must be a number from %g to %g, not %s", r->key,
                                 r->low, r->high, show(value, text));
  }
  return false;
}

json_t *rilli_hf_load(const char *text, size_t length, char *message) {
  json_error_t error;
  stream s = {.text = text, .length = length};
  json_t *root = json_load_callback(feed, &s, JSON_REJECT_DUPLICATES, &error);
  if (!root) rilli_config_refuse(message, "line %d: %s", error.line, error.text);
  return root;
}

bool rilli_hf_read_keys(const json_t *root, int model, rilli_hf_keys *k, char *message) {
  *k = (rilli_hf_keys){0};
  for (int i = 0; i < ROW_COUNT; i++) {
    const row *r = &ROWS[i];
    json_t *value = json_object_get(root, r->key);
    if (!(r->models & model) || (!value && r->kind == FIXED)) continue;
    if (!value && !r->fallback)
      return rilli_config_refuse(message, "the key \"%s\" is missing", r->key);
    json_t *other = value ? NULL : json_loads(r->fallback, JSON_DECODE_ANY, NULL);
    bool done = read_row(r, value ? value : other, (char *)k, message);
    json_decref(other);
    if (!done) return false;
  }
  return true;
}

/* ---- writing ---- */

static void write_row(rilli_writer *w, const row *r, const rilli_hf_keys *k) {
  const char *at = (const char *)k + r->offset;
  int64_t integer;
  double real;
  bool flag;
  int index;
  if (r->kind == FIXED) return;
  rilli_print(w, ",\n  \"%s\": ", r->key);
  switch (r->kind) {
    case INTEGER:
    case OPTIONAL:
      memcpy(&integer, at, sizeof integer);
      if (integer == 0 && r->kind == OPTIONAL)
        rilli_print(w, "null");
      else
        rilli_print(w, "%" PRId64, integer);
      break;
    case REAL:
      memcpy(&real, at, sizeof real);
      rilli_print_real(w, real);
      break;
    case BOOLEAN:
      memcpy(&flag, at, sizeof flag);
      rilli_print(w, flag ? "true" : "false");
      break;
    case CHOICE:
      memcpy(&index, at, sizeof index);
      rilli_print(w, "%s", r->choices[index]);
      break;
    case FIXED:
      break;
  }
}

void rilli_hf_write_keys(rilli_writer *w, int model, const rilli_hf_keys *k) {
  for (int i = 0; i < ROW_COUNT; i++)
    if (ROWS[i].models & model) write_row(w, &ROWS[i], k);
}
