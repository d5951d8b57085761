/* One table of fields serves writing and reading. */
#include "examples/lm/recall_line.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { TEXT, WHOLE, REAL } kind;

static const struct {
  const char *name;
  kind kind;
  size_t offset;
  bool needed;
} FIELD[] = {
#define FIELD_OF(name, kind, needed) \
  { #name, kind, offsetof(lm_recall_line, name), needed }
    FIELD_OF(task, TEXT, true),       FIELD_OF(model, TEXT, true),
    FIELD_OF(length, WHOLE, false),   FIELD_OF(pairs, WHOLE, false),
    FIELD_OF(rewrites, WHOLE, false), FIELD_OF(vocab, WHOLE, false),
    FIELD_OF(depth, REAL, false),     FIELD_OF(width, WHOLE, false),
    FIELD_OF(layers, WHOLE, false),   FIELD_OF(heads, WHOLE, false),
    FIELD_OF(conv, WHOLE, false),     FIELD_OF(parameters, WHOLE, false),
    FIELD_OF(state, WHOLE, false),    FIELD_OF(steps, WHOLE, false),
    FIELD_OF(batch, WHOLE, false),    FIELD_OF(seed, WHOLE, false),
    FIELD_OF(lr, REAL, false),        FIELD_OF(seconds, REAL, false),
    FIELD_OF(accuracy, REAL, true),   FIELD_OF(whole, REAL, false),
    FIELD_OF(nats, REAL, false),      FIELD_OF(examples, WHOLE, false),
#undef FIELD_OF
};

enum { FIELDS = sizeof FIELD / sizeof FIELD[0] };

static json_t *field_to_json(const void *at, kind k) {
  if (k == TEXT) return json_string(at);
  return k == WHOLE ? json_integer(*(const int64_t *)at) : json_real(*(const double *)at);
}

bool lm_recall_line_print(const lm_recall_line *line, lm_bytes *text, char *err) {
  json_t *o = json_object();
  for (int i = 0; i < FIELDS; i++) {
    const void *at = (const char *)line + FIELD[i].offset;
    if (json_object_set_new(o, FIELD[i].name, field_to_json(at, FIELD[i].kind)) != 0) {
      json_decref(o);
      return lm_fail(err, "the result's %s is not finite, or not UTF-8", FIELD[i].name);
    }
  }
  char *dump = json_dumps(o, JSON_REAL_PRECISION(6));
  json_decref(o);
  if (!dump) return lm_fail(err, "out of memory");
  size_t length = strlen(dump);
  bool done = lm_bytes_reserve(text, (int64_t)length + 1, err);
  if (done) {
    memcpy(text->data + text->count, dump, length);
    text->data[text->count + (int64_t)length] = '\n';
    text->count += (int64_t)length + 1;
  }
  free(dump);
  return done;
}

/* False when the value is of another kind. */
static bool field_from_json(const json_t *value, void *at, kind k) {
  switch (k) {
    case TEXT:
      if (json_is_string(value)) snprintf(at, LM_NAME_SIZE, "%s", json_string_value(value));
      return json_is_string(value);
    case WHOLE:
      *(int64_t *)at = json_integer_value(value);
      return json_is_integer(value);
    case REAL:
      *(double *)at = json_number_value(value);
      return json_is_number(value) && isfinite(*(double *)at);
  }
  return false;
}

/* The name of the field that is missing or wrong, or NULL. */
static const char *parse(const json_t *o, lm_recall_line *line) {
  *line = (lm_recall_line){0};
  if (!json_is_object(o)) return "object";
  for (int i = 0; i < FIELDS; i++) {
    const json_t *value = json_object_get(o, FIELD[i].name);
    if (!value && !FIELD[i].needed) continue;
    if (!value || !field_from_json(value, (char *)line + FIELD[i].offset, FIELD[i].kind))
      return FIELD[i].name;
  }
  return NULL;
}

bool lm_recall_lines_parse(const char *name, const char *text, size_t size, lm_recall_line **lines,
                           int64_t *count, char *err) {
  *lines = NULL;
  *count = 0;
  int64_t number = 0, capacity = 0;
  for (const char *end = text + size, *next; text < end; text = next) {
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    if (!newline) break;
    next = newline + 1;
    number++;
    if (*count == capacity) {
      capacity = 2 * capacity + 64;
      lm_recall_line *grown = lm_resize(*lines, capacity, sizeof *grown, err);
      if (!grown) return false;
      *lines = grown;
    }
    json_t *o = json_loadb(text, (size_t)(newline - text), JSON_REJECT_DUPLICATES, NULL);
    const char *wrong = parse(o, &(*lines)[*count]);
    json_decref(o);
    if (wrong)
      return lm_fail(err, "%.300s:%lld: no result of recall: '%s' is missing or wrong", name,
                     (long long)number, wrong);
    (*count)++;
  }
  return true;
}
