/* Options in a JSON file, both ways, and the message about a name that is not known. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args_impl.h"

enum { LONGEST_NAME = 64, CONFIG_LIMIT = 1 << 20 };

/* Edits (a letter put in, left out, changed, or swapped with its neighbour) from a to b. */
static int distance(const char *a, const char *b) {
  int row[3][LONGEST_NAME + 1];
  int n = (int)strlen(a), m = (int)strlen(b);
  if (n > LONGEST_NAME || m > LONGEST_NAME) return INT_MAX;
  for (int j = 0; j <= m; j++) row[0][j] = j;
  for (int i = 1; i <= n; i++) {
    int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= m; j++) {
      int best = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (last[j] + 1 < best) best = last[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
          before[j - 2] + 1 < best)
        best = before[j - 2] + 1;
      now[j] = best;
    }
  }
  return row[n % 3][m];
}

const char *lm_nearest(const char *word, const char *const *known) {
  const char *best = NULL;
  int least = 0;
  for (; *known; known++) {
    int d = distance(word, *known);
    if (!best || d < least) best = *known, least = d;
  }
  int length = (int)strlen(word);
  return best && least <= (length < 4 ? 1 : length / 2) ? best : NULL;
}

bool lm_option_unknown(const lm_option *table, const char *what, const char *prefix,
                       const char *name, char *err) {
  int64_t n = 0;
  while (table[n].name) n++;
  const char **known = lm_alloc(n + 3, sizeof *known, err);
  if (!known) return false;
  for (int64_t i = 0; i < n; i++) known[i] = table[i].name;
  if (prefix[0] != '\0') known[n] = "config", known[n + 1] = "help";
  const char *near = lm_nearest(name, known);
  free(known);
  if (near)
    return lm_fail(err, "unknown %s '%s%.150s'; did you mean '%s%s'?", what, prefix, name, prefix,
                   near);
  return lm_fail(err, "unknown %s '%s%.150s'; --help lists all", what, prefix, name);
}

static bool set_all(lm_args *args, const char *path, char *err) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)args->json, key, value) {
    const lm_option *o = lm_option_find(args->option, key, strlen(key));
    if (!o) {
      lm_option_unknown(args->option, "key", "", key, err);
      return lm_fail(err, "%.200s: %s", path, err);
    }
    unsigned char *source = &args->source[o - args->option];
    if (*source == LM_FROM_CONFIG)
      return lm_fail(err, "%.200s: '%s' is given twice, once with '-' and once with '_'", path,
                     o->name);
    char label[300];
    snprintf(label, sizeof label, "%.200s: %s", path, o->name);
    if (!lm_option_set_json(o, label, value, err)) return false;
    *source = LM_FROM_CONFIG;
  }
  return true;
}

bool lm_args_read_config(lm_args *args, const char *path, char *err) {
  lm_bytes text = {0};
  if (!lm_read_append(NULL, path, CONFIG_LIMIT, &text, err)) {
    free(text.data);
    return lm_fail(err, "--config: %s", err);
  }
  json_error_t why;
  args->json =
      json_loadb((const char *)text.data, (size_t)text.count, JSON_REJECT_DUPLICATES, &why);
  free(text.data);
  if (!args->json) return lm_fail(err, "%.200s:%d:%d: %s", path, why.line, why.column, why.text);
  if (!json_is_object((json_t *)args->json))
    return lm_fail(err, "%.200s: expected a JSON object {\"option\": value, ...}", path);
  return set_all(args, path, err);
}

static json_t *to_json(const lm_option *o) {
  switch (o->kind) {
    case LM_FLAG:
      return json_boolean(*(bool *)o->value);
    case LM_INT:
      return json_integer(*(int64_t *)o->value);
    case LM_FLOAT:
      return json_real(*(double *)o->value);
    case LM_STRING:
    case LM_CHOICE:
      break;
  }
  return json_string(*(const char **)o->value); /* NULL unless it is UTF-8 */
}

bool lm_args_save(const lm_args *args, const char *path, char *err) {
  json_t *root = json_object();
  bool ok = true;
  for (const lm_option *o = args->option; ok && o->name; o++) {
    bool text = o->kind == LM_STRING || o->kind == LM_CHOICE;
    if (text && !*(const char **)o->value) continue;
    if (json_object_set_new(root, o->name, to_json(o)) != 0)
      ok = lm_fail(err, "cannot save --%s as JSON: not finite, or not UTF-8", o->name);
  }
  char *dump = ok ? json_dumps(root, JSON_INDENT(2)) : NULL;
  if (ok && !dump) ok = lm_fail(err, "out of memory");
  ok = ok && lm_write_file(path, dump, strlen(dump), err);
  free(dump);
  json_decref(root);
  return ok;
}
