/* Reading requests. The fields are a table: a name, what it may be, and where it goes. */
#include "examples/lm/server_request.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/utf8.h"

bool lm_refuse(lm_refusal *refusal, int status, const char *field, const char *format, ...) {
  va_list args;
  refusal->status = status;
  refusal->field = field;
  va_start(args, format);
  vsnprintf(refusal->message, sizeof refusal->message, format, args);
  va_end(args);
  return false;
}

char *lm_refusal_print(const lm_refusal *r) {
  static const struct {
    int status;
    const char *type, *code;
  } kind[] = {{404, "invalid_request_error", "not_found"},
              {405, "invalid_request_error", "method_not_allowed"},
              {408, "timeout_error", "timeout"},
              {413, "invalid_request_error", "too_large"},
              {429, "rate_limit_error", "too_many_requests"},
              {500, "server_error", "server_error"},
              {503, "server_error", "shutting_down"}};
  const char *type = "invalid_request_error", *code = NULL;
  for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++)
    if (kind[i].status == r->status) type = kind[i].type, code = kind[i].code;
  lm_bytes clean = {0}; /* the message may quote the client's bytes */
  char err[LM_ERROR_SIZE];
  bool ok = lm_utf8_clean((const uint8_t *)r->message, (int64_t)strlen(r->message), &clean, err);
  json_t *message = ok ? json_stringn((const char *)clean.data, (size_t)clean.count) : NULL;
  free(clean.data);
  json_t *root = json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message", message, "type", type,
                           "param", r->field, "code", code);
  char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
  json_decref(root);
  return text;
}

/* ---- the prompt ---- */

static bool take_text(lm_request *r, json_t *v, const lm_request_limits *limits, lm_refusal *why) {
  lm_text text = {(const uint8_t *)json_string_value(v), (int64_t)json_string_length(v)};
  if (text.count > limits->prompt_bytes)
    return lm_refuse(why, 413, "prompt",
                     "the prompt has %lld bytes; this server takes at most %lld",
                     (long long)text.count, (long long)limits->prompt_bytes);
  r->prompt[r->prompts++] = (lm_prompt){.text = text};
  return true;
}

static bool take_tokens(lm_request *r, json_t *v, const lm_request_limits *limits,
                        lm_refusal *why) {
  int64_t count = (int64_t)json_array_size(v);
  if (count > limits->prompt_bytes)
    return lm_refuse(why, 413, "prompt",
                     "the prompt has %lld tokens; this server takes at most %lld", (long long)count,
                     (long long)limits->prompt_bytes);
  lm_prompt *p = &r->prompt[r->prompts];
  p->token = lm_alloc(count, sizeof *p->token, why->message);
  if (!p->token) return lm_refuse(why, 500, NULL, "out of memory");
  p->tokens = count;
  r->prompts++;
  for (int64_t i = 0; i < count; i++) {
    json_t *token = json_array_get(v, (size_t)i);
    json_int_t value = json_integer_value(token);
    if (!json_is_integer(token) || value < 0 || value > INT32_MAX)
      return lm_refuse(why, 400, "prompt",
                       "prompt: element %lld is no token: expected a whole "
                       "number of 0 or more",
                       (long long)i);
    p->token[i] = (int32_t)value;
  }
  return true;
}

/* A string, an array of strings, an array of tokens, or an array of such arrays. */
static bool take_prompt(lm_request *r, json_t *v, const lm_request_limits *limits,
                        lm_refusal *why) {
  json_t *first = json_array_get(v, 0);
  bool several = json_is_string(first) || json_is_array(first);
  int64_t count = several ? (int64_t)json_array_size(v) : 1;
  if (!json_is_string(v) && !json_is_array(v))
    return lm_refuse(why, 400, "prompt",
                     "prompt: expected a string, an array of strings, an array of tokens, or an "
                     "array of arrays of tokens");
  if (json_is_array(v) && !first)
    return lm_refuse(why, 400, "prompt", "prompt: the array is empty");
  if (count > limits->prompts)
    return lm_refuse(why, 413, "prompt", "%lld prompts; this server takes at most %lld at once",
                     (long long)count, (long long)limits->prompts);
  r->prompt = lm_alloc(count, sizeof *r->prompt, why->message);
  if (!r->prompt) return lm_refuse(why, 500, NULL, "out of memory");
  for (int64_t i = 0; i < count; i++) {
    json_t *one = several ? json_array_get(v, (size_t)i) : v;
    if (json_is_string(one)  ? !take_text(r, one, limits, why)
        : json_is_array(one) ? !take_tokens(r, one, limits, why)
                             : !lm_refuse(why, 400, "prompt",
                                          "prompt: element %lld is neither a string nor an array "
                                          "of tokens",
                                          (long long)i))
      return false;
  }
  return true;
}

/* ---- the other fields ---- */

static bool take_stop(lm_request *r, json_t *v, lm_refusal *why) {
  int64_t count = json_is_array(v) ? (int64_t)json_array_size(v) : 1;
  if (count > LM_MOST_STOPS)
    return lm_refuse(why, 400, "stop", "stop: %lld strings; at most %d are allowed",
                     (long long)count, LM_MOST_STOPS);
  for (int64_t i = 0; i < count; i++) {
    json_t *one = json_is_array(v) ? json_array_get(v, (size_t)i) : v;
    lm_text text = {(const uint8_t *)json_string_value(one), (int64_t)json_string_length(one)};
    if (!json_is_string(one) || text.count > LM_LONGEST_STOP)
      return lm_refuse(why, 400, "stop",
                       "stop: expected a string, or an array of strings, of at most %d bytes",
                       LM_LONGEST_STOP);
    if (text.count > 0) r->stop[r->stops++] = text; /* an empty one stops nothing */
  }
  return true;
}

static bool take_stream_options(lm_request *r, json_t *v, lm_refusal *why) {
  const char *key;
  json_t *value;
  if (!json_is_object(v))
    return lm_refuse(why, 400, "stream_options", "stream_options: expected an object");
  json_object_foreach(v, key, value) {
    if (strcmp(key, "include_usage") != 0 || !json_is_boolean(value))
      return lm_refuse(why, 400, "stream_options",
                       "stream_options: only {\"include_usage\": true or false} is known");
    r->include_usage = json_is_true(value);
  }
  return true;
}

typedef enum { WHOLE, REAL, FLAG, TEXT, IGNORED, NEUTRAL } field_kind;

typedef struct {
  const char *name;
  field_kind kind;
  size_t offset;
  double low, high; /* NEUTRAL: low is the only number allowed */
} field;

#define AT(member) offsetof(lm_request, member)
static const field fields[] = {
    {"model", TEXT, AT(model), 0, 0},
    {"max_tokens", WHOLE, AT(max_tokens), 0, 9e15},
    {"temperature", REAL, AT(temperature), 0, 100},
    {"top_p", REAL, AT(top_p), 1e-9, 1},
    {"top_k", WHOLE, AT(top_k), -1, 1e9},
    {"min_p", REAL, AT(min_p), 0, 1},
    {"repetition_penalty", REAL, AT(repetition_penalty), 1e-3, 1e3},
    {"n", WHOLE, AT(n), 1, 1e6},
    {"seed", WHOLE, AT(seed), -9e15, 9e15},
    {"logprobs", WHOLE, AT(logprobs), 0, LM_MOST_LOGPROBS},
    {"echo", FLAG, AT(echo), 0, 0},
    {"stream", FLAG, AT(stream), 0, 0},
    {"ignore_eos", FLAG, AT(ignore_eos), 0, 0},
    {"user", IGNORED, 0, 0, 0},
    {"presence_penalty", NEUTRAL, 0, 0, 0},
    {"frequency_penalty", NEUTRAL, 0, 0, 0},
    {"logit_bias", NEUTRAL, 0, 0, 0},
    {"suffix", NEUTRAL, 0, 0, 0},
    {"best_of", NEUTRAL, 0, 1, 1},
};
enum { FIELDS = sizeof fields / sizeof fields[0] };
static const char *const apart[] = {"prompt", "stop", "stream_options"};
enum { APART = sizeof apart / sizeof apart[0] };

static bool is_neutral(const json_t *v, double number) {
  return (json_is_number(v) && json_number_value(v) == number) ||
         (json_is_object(v) && json_object_size(v) == 0) ||
         (json_is_string(v) && json_string_length(v) == 0);
}

static bool take_field(lm_request *r, const field *f, const json_t *v, lm_refusal *why) {
  char *at = (char *)r + f->offset;
  double number = json_number_value(v);
  if (f->kind == WHOLE || f->kind == REAL) {
    bool fits = f->kind == WHOLE ? json_is_integer(v) : json_is_number(v);
    if (!fits || !(number >= f->low && number <= f->high))
      return lm_refuse(why, 400, f->name, "%s: expected a %s from %g to %g", f->name,
                       f->kind == WHOLE ? "whole number" : "number", f->low, f->high);
  }
  switch (f->kind) {
    case WHOLE:
      *(int64_t *)(void *)at = json_integer_value(v);
      return true;
    case REAL:
      *(double *)(void *)at = number;
      return true;
    case FLAG:
      *(bool *)at = json_is_true(v);
      return json_is_boolean(v) ||
             lm_refuse(why, 400, f->name, "%s: expected true or false", f->name);
    case TEXT:
      *(const char **)(void *)at = json_string_value(v);
      return json_is_string(v) || lm_refuse(why, 400, f->name, "%s: expected a string", f->name);
    case IGNORED:
      return true;
    case NEUTRAL:
      break;
  }
  return is_neutral(v, f->low) ||
         lm_refuse(why, 400, f->name, "%s is not supported here; leave it out", f->name);
}

static bool unknown_field(const char *name, lm_refusal *why) {
  const char *known[FIELDS + APART + 1] = {0};
  for (int i = 0; i < FIELDS; i++) known[i] = fields[i].name;
  for (int i = 0; i < APART; i++) known[FIELDS + i] = apart[i];
  const char *near = lm_nearest(name, known);
  return lm_refuse(why, 400, near, "unknown field '%.100s'%s%s%s", name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool take_all(lm_request *r, const lm_request_limits *limits, lm_refusal *why) {
  const char *key;
  json_t *v;
  json_object_foreach((json_t *)r->json, key, v) {
    const field *f = NULL;
    for (int i = 0; i < FIELDS && !f; i++)
      if (strcmp(key, fields[i].name) == 0) f = &fields[i];
    bool is_null = json_is_null(v), ok = true;
    if (f)
      ok = is_null || take_field(r, f, v, why);
    else if (strcmp(key, "prompt") == 0)
      ok = take_prompt(r, v, limits, why);
    else if (strcmp(key, "stop") == 0)
      ok = is_null || take_stop(r, v, why);
    else if (strcmp(key, "stream_options") == 0)
      ok = is_null || take_stream_options(r, v, why);
    else
      ok = unknown_field(key, why);
    if (!ok) return false;
  }
  return true;
}

/* ---- the whole ---- */

bool lm_request_parse(lm_request *r, const void *body, int64_t bytes,
                      const lm_request_limits *limits, lm_refusal *why) {
  *r = (lm_request){.max_tokens = 16,
                    .n = 1,
                    .seed = -1,
                    .logprobs = -1,
                    .temperature = 1,
                    .top_p = 1,
                    .repetition_penalty = 1};
  json_error_t wrong;
  r->json = json_loadb(body, (size_t)bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
  if (!r->json)
    return lm_refuse(why, 400, NULL, "the body is not JSON: line %d, column %d: %s", wrong.line,
                     wrong.column, wrong.text);
  if (!json_is_object((json_t *)r->json))
    return lm_refuse(why, 400, NULL, "the body must be a JSON object {\"prompt\": ...}");
  if (!take_all(r, limits, why)) return false;
  if (!r->prompt) return lm_refuse(why, 400, "prompt", "prompt is required");
  if (r->top_k < 0) r->top_k = 0;
  if (r->max_tokens > limits->max_tokens)
    return lm_refuse(why, 400, "max_tokens", "max_tokens is %lld; this server draws at most %lld",
                     (long long)r->max_tokens, (long long)limits->max_tokens);
  if (r->n > limits->n)
    return lm_refuse(why, 400, "n", "n is %lld; this server takes at most %lld", (long long)r->n,
                     (long long)limits->n);
  if (r->n * r->prompts > limits->prompts)
    return lm_refuse(why, 413, "prompt",
                     "%lld prompts, %lld times each; this server takes at most %lld at once",
                     (long long)r->prompts, (long long)r->n, (long long)limits->prompts);
  return true;
}

void lm_request_free(lm_request *r) {
  for (int64_t i = 0; i < r->prompts; i++) free(r->prompt[i].token);
  free(r->prompt);
  json_decref(r->json);
  *r = (lm_request){0};
}
