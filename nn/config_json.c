/* Configurations as JSON. One table says which keys there are; reading, checking and writing walk
 * it. */
#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/config_impl.h"
#include "nn/json_impl.h"
#include "tensor/io.h"

typedef enum { INTEGER, REAL, BOOLEAN, CHOICE } kind;
typedef enum { ALL, RECURRENT, SOFTMAX } scope; /* the models for which a key means something */

typedef struct {
  const char *key;
  kind kind;
  size_t offset;
  double low, high;           /* of numbers, both included */
  const char *const *choices; /* NULL-terminated; the value is the index */
  scope scope;
} field;

static const char *const DECAY[] = {"none", "head", "token", "channel", NULL};
static const char *const WRITE[] = {"add", "delta", NULL};
static const char *const RESIDUAL[] = {"none", "stateless", "fitted", NULL};
static const char *const GAMMA[] = {"own", "tied", NULL};
static const char *const CLIP[] = {"hard", "none", "tanh", NULL};
static const char *const OUTPUT[] = {"gated", "sum", NULL};
static const char *const FEATURE[] = {"none", "silu", "elu", NULL};
static const char *const NORM[] = {"none", "rms", "group", "all", NULL};

enum { MANY = 1 << 30, WIDEST = 1 << 24 };

#define AT(name) offsetof(rill_lm_config, name)
#define INT(name, low, high, scope) \
  { #name, INTEGER, AT(name), low, high, NULL, scope }
#define FLAG(name) \
  { #name, BOOLEAN, AT(name), 0, 1, NULL, ALL }
#define REALS(name, low, high, scope) \
  { #name, REAL, AT(name), low, high, NULL, scope }
#define PART_INT(key, name, low, high) \
  { key, INTEGER, AT(parts.name), low, high, NULL, RECURRENT }
#define PART_FLAG(name) \
  { #name, BOOLEAN, AT(parts.name), 0, 1, NULL, RECURRENT }
#define PART_REAL(key, name, low, high) \
  { key, REAL, AT(parts.name), low, high, NULL, RECURRENT }
#define PART_CHOICE(key, name, list) \
  { key, CHOICE, AT(parts.name), 0, 0, list, RECURRENT }

/* The first four are required. */
enum { REQUIRED = 4 };
static const field MODEL[] = {INT(vocab, 1, MANY, ALL),
                              INT(width, 1, WIDEST, ALL),
                              INT(layers, 0, 1 << 16, ALL),
                              INT(heads, 1, WIDEST, ALL),
                              INT(key_size, 0, WIDEST, ALL),
                              INT(value_size, 0, WIDEST, RECURRENT),
                              INT(groups, 0, WIDEST, SOFTMAX),
                              INT(hidden, 0, WIDEST, ALL),
                              FLAG(mlp),
                              FLAG(tied),
                              FLAG(scale_out),
                              REALS(rotary_base, 0, 1e12, SOFTMAX),
                              REALS(norm_eps, 0, 1, ALL),
                              REALS(std, 0, 100, ALL),
                              PART_CHOICE("decay", rule.decay, DECAY),
                              PART_CHOICE("write", rule.write, WRITE),
                              {"beta", BOOLEAN, AT(parts.rule.beta), 0, 1, NULL, RECURRENT},
                              PART_CHOICE("residual", rule.residual, RESIDUAL),
                              PART_CHOICE("gamma", rule.gamma, GAMMA),
                              PART_CHOICE("clip", rule.clip, CLIP),
                              PART_REAL("clip_at", clip, 0, DBL_MAX),
                              PART_CHOICE("output", rule.output, OUTPUT),
                              PART_CHOICE("feature", feature, FEATURE),
                              PART_FLAG(qk_norm),
                              PART_FLAG(qk_scale),
                              PART_FLAG(rotary),
                              PART_INT("conv", conv, 0, 1 << 10),
                              PART_FLAG(conv_bias),
                              PART_FLAG(value_silu),
                              PART_INT("key_groups", groups, 0, WIDEST),
                              PART_FLAG(step_gate),
                              PART_REAL("beta_max", beta_max, 0, 2),
                              PART_INT("decay_rank", rank, 0, WIDEST),
                              PART_FLAG(skip),
                              PART_FLAG(normaliser),
                              PART_CHOICE("output_norm", norm, NORM),
                              PART_FLAG(gate),
                              PART_FLAG(gate_first)};
enum { MODEL_FIELDS = sizeof MODEL / sizeof MODEL[0] };

#undef AT
#define AT(name) offsetof(rill_lm_training, name)

static const field TRAINING[] = {REALS(lr, 0, 1e3, ALL),           REALS(min_lr, 0, 1e3, ALL),
                                 REALS(weight_decay, 0, 1e3, ALL), REALS(beta1, 0, 1, ALL),
                                 REALS(beta2, 0, 1, ALL),          REALS(clip, 0, 1e12, ALL),
                                 INT(batch_tokens, 0, 1e15, ALL),  INT(warmup_tokens, 0, 1e15, ALL),
                                 INT(total_tokens, 0, 1e15, ALL)};
enum { TRAINING_FIELDS = sizeof TRAINING / sizeof TRAINING[0] };

static const char PAPER[] = "paper_";

static bool applies(const field *f, bool softmax) {
  return f->scope == ALL || (f->scope == SOFTMAX) == softmax;
}

/* ---- messages ---- */

bool rilli_config_refuse(char *message, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, RILL_CONFIG_MESSAGE, format, args);
  va_end(args);
  return false;
}

/* Edits that turn a into b: letters changed, added, left out, or two exchanged. Large for long
 * texts. */
static int distance(const char *a, const char *b) {
  enum { LONGEST = 40 };
  int d[LONGEST + 1][LONGEST + 1];
  int m = (int)strlen(a), n = (int)strlen(b);
  if (m > LONGEST || n > LONGEST) return LONGEST;
  for (int i = 0; i <= m; i++) {
    for (int j = 0; j <= n; j++) {
      d[i][j] = i + j;
      if (i == 0 || j == 0) continue;
      int other = (d[i - 1][j] < d[i][j - 1] ? d[i - 1][j] : d[i][j - 1]) + 1;
      int change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      d[i][j] = change < other ? change : other;
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && d[i - 2][j - 2] + 1 < d[i][j]) d[i][j] = d[i - 2][j - 2] + 1;
    }
  }
  return d[m][n];
}

static const char *nearest_key(const char *key, const field *fields, int count, const char *first) {
  const char *best = first;
  for (int i = 0; i < count; i++)
    if (distance(key, fields[i].key) < distance(key, best)) best = fields[i].key;
  return best;
}

static const char *nearest_of(const char *name, const char *const *list) {
  const char *best = list[0];
  for (; *list; list++)
    if (distance(name, *list) < distance(name, best)) best = *list;
  return best;
}

/* ---- reading ---- */

static bool read_choice(const field *f, const json_t *value, char *at, char *message) {
  const char *text = json_string_value(value);
  char known[160] = "";
  for (int i = 0; f->choices[i]; i++) {
    if (text && strcmp(text, f->choices[i]) == 0) {
      memcpy(at, &i, sizeof i);
      return true;
    }
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s\"%s\"", i ? ", " : "", f->choices[i]);
  }
  return rilli_config_refuse(message, "\"%s\" must be one of %s%s%.60s%s", f->key, known,
                             text ? ", not \"" : "", text ? text : "", text ? "\"" : "");
}

static bool read_field(const field *f, const json_t *value, char *object, char *message) {
  char *at = object + f->offset;
  double number = json_is_number(value) ? json_number_value(value) : 0;
  bool in_range = number >= f->low && number <= f->high;
  switch (f->kind) {
    case CHOICE:
      return read_choice(f, value, at, message);
    case BOOLEAN: {
      bool flag = json_is_true(value);
      if (!json_is_boolean(value))
        return rilli_config_refuse(message, "\"%s\" must be true or false", f->key);
      memcpy(at, &flag, sizeof flag);
      return true;
    }
    case INTEGER: {
      int64_t integer = json_integer_value(value);
      if (!json_is_integer(value) || !in_range)
        return rilli_config_refuse(message, "\"%s\" must be an integer from %.0f to %.0f", f->key,
                                   f->low, f->high);
      memcpy(at, &integer, sizeof integer);
      return true;
    }
    case REAL:
      if (!json_is_number(value) || !in_range)
        return rilli_config_refuse(message, "\"%s\" must be a number from %g to %g", f->key, f->low,
                                   f->high);
      memcpy(at, &number, sizeof number);
      return true;
  }
  return false;
}

static const field *find_field(const char *key, const field *fields, int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(fields[i].key, key) == 0) return &fields[i];
  return NULL;
}

static bool read_training(json_t *object, rill_lm_training *training, char *message) {
  const char *key;
  json_t *value;
  if (!json_is_object(object))
    return rilli_config_refuse(message, "\"training\" must be an object");
  json_object_foreach(object, key, value) {
    const field *f = find_field(key, TRAINING, TRAINING_FIELDS);
    if (!f)
      return rilli_config_refuse(message,
                                 "unknown key \"%.60s\" in \"training\"; the nearest is \"%s\"",
                                 key, nearest_key(key, TRAINING, TRAINING_FIELDS, TRAINING[0].key));
    if (!read_field(f, value, (char *)training, message)) return false;
  }
  return true;
}

static bool read_model_name(const json_t *object, rill_lm_config *config, char *message) {
  const json_t *value = json_object_get(object, "model");
  const char *name = json_string_value(value);
  if (!value) return rilli_config_refuse(message, "the key \"model\" is missing");
  if (!name) return rilli_config_refuse(message, "\"model\" must be a string");
  if (rill_lm_preset(name, config)) return true;
  return rilli_config_refuse(message, "there is no model \"%.60s\"; the nearest is \"%s\"", name,
                             nearest_of(name, rill_lm_presets));
}

bool rilli_config_read(json_t *object, rill_lm_config *config, rill_lm_training *training,
                       char *message) {
  const char *key;
  json_t *value;
  if (!json_is_object(object))
    return rilli_config_refuse(message, "a configuration must be a JSON object");
  if (!read_model_name(object, config, message)) return false;
  bool softmax = config->parts.rule.name == NULL;
  json_object_foreach(object, key, value) {
    if (strcmp(key, "model") == 0) continue;
    if (strcmp(key, "training") == 0) {
      if (!read_training(value, training, message)) return false;
      continue;
    }
    const field *f = find_field(key, MODEL, MODEL_FIELDS);
    if (!f)
      return rilli_config_refuse(message, "unknown key \"%.60s\"; the nearest is \"%s\"", key,
                                 nearest_key(key, MODEL, MODEL_FIELDS, "model"));
    if (!applies(f, softmax))
      return rilli_config_refuse(message, "\"%s\" does not apply to %s (model \"%s\")", key,
                                 softmax ? "softmax attention" : "recurrent models", config->model);
    if (!read_field(f, value, (char *)config, message)) return false;
  }
  bool is_paper = strncmp(config->model, PAPER, sizeof PAPER - 1) == 0;
  for (int i = 0; i < REQUIRED && !is_paper; i++)
    if (!json_object_get(object, MODEL[i].key))
      return rilli_config_refuse(message, "the key \"%s\" is missing", MODEL[i].key);
  rill_lm_config copy = *config;
  return rill_lm_resolve(&copy, message);
}

bool rill_lm_config_parse(const char *text, size_t length, rill_lm_config *config,
                          rill_lm_training *training, char message[RILL_CONFIG_MESSAGE]) {
  json_error_t error;
  rill_lm_config read = {0};
  rill_lm_training numbers = {0};
  json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
  if (!object) return rilli_config_refuse(message, "line %d: %s", error.line, error.text);
  bool done = rilli_config_read(object, &read, &numbers, message);
  json_decref(object);
  if (!done) return false;
  *config = read;
  if (training) *training = numbers;
  return true;
}

/* ---- writing ---- */

static void print_field(rilli_writer *w, const field *f, const char *object) {
  const char *at = object + f->offset;
  int64_t integer;
  double real;
  bool flag;
  int choice;
  switch (f->kind) {
    case INTEGER:
      memcpy(&integer, at, sizeof integer);
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
      memcpy(&choice, at, sizeof choice);
      rilli_print(w, "\"%s\"", f->choices[choice]);
      break;
  }
}

void rilli_config_write(rilli_writer *w, const rill_lm_config *config, const char *indent) {
  bool softmax = config->parts.rule.name == NULL;
  rilli_print(w, "%s\"model\": \"%s\"", indent, config->model);
  for (int i = 0; i < MODEL_FIELDS; i++) {
    if (!applies(&MODEL[i], softmax)) continue;
    rilli_print(w, ",\n%s\"%s\": ", indent, MODEL[i].key);
    print_field(w, &MODEL[i], (const char *)config);
  }
}

static void print_config(rilli_writer *w, const rill_lm_config *config,
                         const rill_lm_training *training) {
  rilli_print(w, "{\n");
  rilli_config_write(w, config, "  ");
  if (training) {
    rilli_print(w, ",\n  \"training\": {");
    for (int i = 0; i < TRAINING_FIELDS; i++) {
      rilli_print(w, "%s\n    \"%s\": ", i ? "," : "", TRAINING[i].key);
      print_field(w, &TRAINING[i], (const char *)training);
    }
    rilli_print(w, "\n  }");
  }
  rilli_print(w, "\n}\n");
}

char *rill_lm_config_print(rill_context *ctx, const rill_lm_config *config,
                           const rill_lm_training *training) {
  rilli_writer measure = {0};
  print_config(&measure, config, training);
  rilli_writer w = {.room = measure.used + 1};
  w.text = rill_alloc(ctx, w.room);
  if (w.text) print_config(&w, config, training);
  return w.text;
}

/* ---- comparing ---- */

const char *rilli_config_differs(const rill_lm_config *a, const rill_lm_config *b, char *left,
                                 char *right, size_t size) {
  bool softmax = a->parts.rule.name == NULL;
  for (int i = 0; i < MODEL_FIELDS; i++) {
    if (!applies(&MODEL[i], softmax)) continue;
    rilli_writer x = {.text = left, .room = size}, y = {.text = right, .room = size};
    print_field(&x, &MODEL[i], (const char *)a);
    print_field(&y, &MODEL[i], (const char *)b);
    if (strcmp(left, right) != 0) return MODEL[i].key;
  }
  return NULL;
}

/* ---- files ---- */

bool rill_lm_config_load(rill_context *ctx, const char *path, rill_lm_config *config,
                         rill_lm_training *training) {
  enum { LARGEST = 1 << 20 };
  char message[RILL_CONFIG_MESSAGE];
  size_t length;
  char *text = rill_file_load(ctx, path, LARGEST, &length);
  if (!text) return false;
  bool done = rill_lm_config_parse(text, length, config, training, message);
  if (!done) rill_fail(ctx, RILL_ERROR_FILE, "%s: %s", path, message);
  rill_free(ctx, text);
  return done;
}

bool rill_lm_config_save(rill_context *ctx, const char *path, const rill_lm_config *config,
                         const rill_lm_training *training) {
  char *text = rill_lm_config_print(ctx, config, training);
  bool done = text && rill_file_save(ctx, path, text, strlen(text));
  rill_free(ctx, text);
  return done;
}
