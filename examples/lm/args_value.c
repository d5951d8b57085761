/* One option: its value from text or JSON, checked, and back to text. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args_impl.h"

static bool same_letter(char a, char b) { return a == b || (a == '_' && b == '-'); }

const lm_option *lm_option_find(const lm_option *table, const char *name, size_t length) {
  for (const lm_option *o = table; o->name; o++) {
    if (strlen(o->name) != length) continue;
    size_t i = 0;
    while (i < length && (same_letter(name[i], o->name[i]) || same_letter(o->name[i], name[i])))
      i++;
    if (i == length) return o;
  }
  return NULL;
}

void lm_option_set_zero(const lm_option *o) {
  switch (o->kind) {
    case LM_FLAG:
      *(bool *)o->value = false;
      break;
    case LM_INT:
      *(int64_t *)o->value = 0;
      break;
    case LM_FLOAT:
      *(double *)o->value = 0;
      break;
    case LM_STRING:
    case LM_CHOICE:
      *(const char **)o->value = NULL;
      break;
  }
}

/* What the option takes, for messages: "a number from 0 to 1". */
static void expected(const lm_option *o, char *text, size_t size) {
  const char *noun = o->kind == LM_INT ? "a whole number" : "a number";
  if (o->kind == LM_FLAG)
    snprintf(text, size, "true or false");
  else if (o->kind == LM_CHOICE)
    snprintf(text, size, "one of %s", o->choices);
  else if (o->kind == LM_STRING)
    snprintf(text, size, "a text");
  else if (o->min == 0 && o->max == 0)
    snprintf(text, size, "%s", noun);
  else if (o->max >= 9e18 || isinf(o->max))
    snprintf(text, size, "%s of at least %.15g", noun, o->min);
  else
    snprintf(text, size, "%s from %.15g to %.15g", noun, o->min, o->max);
}

static bool refuse(const lm_option *o, const char *label, const char *came, char *err) {
  char what[256];
  expected(o, what, sizeof what);
  return lm_fail(err, "%s: expected %s, got %s", label, what, came);
}

static bool refuse_text(const lm_option *o, const char *label, const char *text, char *err) {
  char came[160];
  snprintf(came, sizeof came, "'%.150s'", text);
  return refuse(o, label, came, err);
}

static bool in_range(const lm_option *o, double x) {
  if (o->min == 0 && o->max == 0) return isfinite(x);
  return x >= o->min && x <= o->max;
}

/* A whole number, also in the notation of floats (4e6) where that is exact. */
static bool whole(const char *text, int64_t *value) {
  char *end;
  errno = 0;
  long long n = strtoll(text, &end, 10);
  if (end != text && *end == '\0' && errno == 0) {
    *value = n;
    return true;
  }
  double x = strtod(text, &end);
  if (end == text || *end != '\0' || !(fabs(x) <= 0x1p53) || x != floor(x)) return false;
  *value = (int64_t)x;
  return true;
}

static bool is_choice(const char *choices, const char *text) {
  size_t length = strlen(text);
  for (const char *c = choices; c && *c;) {
    size_t n = strcspn(c, "|");
    if (n == length && memcmp(c, text, n) == 0) return true;
    c += n + (c[n] == '|');
  }
  return false;
}

bool lm_option_set_text(const lm_option *o, const char *label, const char *text, char *err) {
  switch (o->kind) {
    case LM_FLAG: {
      bool yes = strcmp(text, "true") == 0, no = strcmp(text, "false") == 0;
      if (!yes && !no) return refuse_text(o, label, text, err);
      *(bool *)o->value = yes;
      return true;
    }
    case LM_INT: {
      int64_t n;
      if (!whole(text, &n) || !in_range(o, (double)n)) return refuse_text(o, label, text, err);
      *(int64_t *)o->value = n;
      return true;
    }
    case LM_FLOAT: {
      char *end;
      double x = strtod(text, &end);
      if (end == text || *end != '\0' || !in_range(o, x)) return refuse_text(o, label, text, err);
      *(double *)o->value = x;
      return true;
    }
    case LM_CHOICE:
      if (!is_choice(o->choices, text)) return refuse_text(o, label, text, err);
      break;
    case LM_STRING:
      break;
  }
  *(const char **)o->value = text;
  return true;
}

bool lm_option_set_json(const lm_option *o, const char *label, const json_t *value, char *err) {
  static const char *const type_name[] = {"an object", "an array", "a string", "a whole number",
                                          "a number",  "true",     "false",    "null"};
  char number[64] = "";
  if (json_is_integer(value))
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
  else if (json_is_real(value))
    snprintf(number, sizeof number, "%.17g", json_real_value(value));
  if (o->kind == LM_FLAG && json_is_boolean(value)) {
    *(bool *)o->value = json_is_true(value);
    return true;
  }
  if ((o->kind == LM_INT || o->kind == LM_FLOAT) && number[0] != '\0')
    return lm_option_set_text(o, label, number, err);
  if ((o->kind == LM_STRING || o->kind == LM_CHOICE) && json_is_string(value)) {
    if (strlen(json_string_value(value)) != json_string_length(value))
      return refuse(o, label, "a string with a zero byte", err);
    return lm_option_set_text(o, label, json_string_value(value), err);
  }
  return refuse(o, label, number[0] != '\0' ? number : type_name[json_typeof(value)], err);
}

void lm_args_value(const lm_option *o, char *text, size_t size) {
  switch (o->kind) {
    case LM_FLAG:
      snprintf(text, size, "%s", *(bool *)o->value ? "true" : "false");
      return;
    case LM_INT:
      snprintf(text, size, "%lld", (long long)*(int64_t *)o->value);
      return;
    case LM_FLOAT: { /* the shortest that reads back the same */
      double x = *(double *)o->value;
      for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, x);
        if (strtod(text, NULL) == x) return;
      }
      return;
    }
    case LM_STRING:
    case LM_CHOICE: {
      const char *s = *(const char **)o->value;
      snprintf(text, size, "%s", s ? s : "");
      return;
    }
  }
}
