/* Numbers are written with 17 digits, so that reading gives the same bits; what is not finite is
 * null, for JSON has no such numbers. */
#include "examples/lm/runlog.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A record and the place in the file where its line ends. */
typedef struct {
  lm_record record;
  int64_t end;
} placed;

static bool number(const json_t *o, const char *key, double *value) {
  const json_t *v = json_object_get(o, key);
  *value = v && json_is_number(v) ? json_number_value(v) : NAN;
  return !v || json_is_number(v) || json_is_null(v);
}

static bool whole(const json_t *o, const char *key, int64_t *value) {
  const json_t *v = json_object_get(o, key);
  *value = json_integer_value(v);
  return json_is_integer(v) && *value >= 0;
}

/* What is wrong with the line, or NULL. */
static const char *parse(const char *text, size_t length, int64_t last, lm_record *r) {
  json_t *o = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
  const char *wrong = NULL;
  *r = (lm_record){0};
  if (!json_is_object(o))
    wrong = "not a JSON object";
  else if (!whole(o, "step", &r->step) || !whole(o, "tokens", &r->tokens))
    wrong = "\"step\" and \"tokens\" must be whole numbers";
  else if (r->step <= last)
    wrong = "its step is not after the one before";
  else if (!number(o, "loss", &r->loss) || !number(o, "norm", &r->norm) ||
           !number(o, "lr", &r->lr) || !number(o, "seconds", &r->seconds) ||
           !number(o, "validation", &r->validation))
    wrong = "\"loss\", \"norm\", \"lr\", \"seconds\" and \"validation\" must be numbers or null";
  else
    r->skipped = json_is_true(json_object_get(o, "skipped"));
  json_decref(o);
  return wrong;
}

static bool append(placed **list, int64_t *count, int64_t *capacity, placed item, char *err) {
  if (*count == *capacity) {
    int64_t larger = *capacity * 2 + 256;
    placed *grown = lm_resize(*list, larger, sizeof *grown, err);
    if (!grown) return false;
    *list = grown;
    *capacity = larger;
  }
  (*list)[(*count)++] = item;
  return true;
}

/* All whole lines that are records; the others are counted. *list is the caller's to free in any
 * case. */
static bool parse_lines(const char *text, int64_t size, placed **list, int64_t *count,
                        lm_runlog_damage *damage, char *err) {
  int64_t capacity = 0, begin = 0, number = 0;
  bool ok = true;
  *list = NULL;
  *count = 0;
  *damage = (lm_runlog_damage){0};
  while (ok && begin < size) {
    const char *line = text + begin, *newline = memchr(line, '\n', (size_t)(size - begin));
    if (!newline) break;
    placed item = {.end = begin + (newline - line) + 1};
    int64_t last = *count > 0 ? (*list)[*count - 1].record.step : 0;
    const char *wrong = parse(line, (size_t)(newline - line), last, &item.record);
    number++;
    if (!wrong)
      ok = append(list, count, &capacity, item, err);
    else if (damage->lines++ == 0)
      damage->first = number, damage->why = wrong;
    begin = item.end;
  }
  return ok;
}

/* The same of a file, which must have no other lines. */
static bool read_lines(const char *path, placed **list, int64_t *count, char *err) {
  lm_bytes text = {0};
  lm_runlog_damage damage = {0};
  *list = NULL;
  *count = 0;
  bool ok = lm_read_append(NULL, path, INT64_MAX / 2, &text, err) &&
            parse_lines((const char *)text.data, text.count, list, count, &damage, err);
  if (ok && damage.lines > 0)
    ok = lm_fail(err, "%.300s:%lld: %s", path, (long long)damage.first, damage.why);
  free(text.data);
  return ok;
}

static lm_record *take_records(const placed *list, int64_t count, char *err) {
  lm_record *records = lm_alloc(count, sizeof *records, err);
  for (int64_t i = 0; records && i < count; i++) records[i] = list[i].record;
  return records;
}

bool lm_runlog_read(const char *path, lm_record **records, int64_t *count, char *err) {
  placed *list;
  bool ok = read_lines(path, &list, count, err);
  *records = ok ? take_records(list, *count, err) : NULL;
  free(list);
  return *records != NULL;
}

bool lm_runlog_salvage(const void *bytes, int64_t size, lm_record **records, int64_t *count,
                       lm_runlog_damage *damage, char *err) {
  placed *list;
  bool ok = parse_lines(bytes, size, &list, count, damage, err);
  *records = ok ? take_records(list, *count, err) : NULL;
  free(list);
  return *records != NULL;
}

/* Cuts off what is after `step`. A log that is gone, or lost its last lines with the power, costs
 * a part of the record and must not keep the run from going on. */
static bool cut(const char *path, int64_t step, char *err) {
  if (access(path, F_OK) != 0 && errno == ENOENT) return true;
  placed *list;
  int64_t count, keep = 0;
  bool ok = read_lines(path, &list, &count, err);
  if (!ok) lm_fail(err, "%s; to go on without this log, move it away", err);
  while (ok && keep < count && list[keep].record.step <= step) keep++;
  if (ok && truncate(path, keep > 0 ? (off_t)list[keep - 1].end : 0) != 0)
    ok = lm_fail(err, "cannot shorten '%s': %s", path, strerror(errno));
  free(list);
  return ok;
}

bool lm_runlog_open(lm_runlog *log, const char *path, int64_t step, char *err) {
  *log = (lm_runlog){.last = step};
  if (step > 0 && !cut(path, step, err)) return false;
  log->path = lm_format(err, "%s", path);
  if (!log->path) return false;
  log->file = fopen(path, step > 0 ? "a" : "w");
  if (log->file) return true;
  lm_fail(err, "cannot write '%s': %s", path, strerror(errno));
  free(log->path);
  log->path = NULL;
  return false;
}

static void put(FILE *f, const char *key, double value) {
  if (isfinite(value))
    fprintf(f, ", \"%s\": %.17g", key, value);
  else
    fprintf(f, ", \"%s\": null", key);
}

bool lm_runlog_write(lm_runlog *log, const lm_record *r, char *err) {
  if (r->step <= log->last)
    return lm_fail(err, "the log is at step %lld, and a line of step %lld came",
                   (long long)log->last, (long long)r->step);
  fprintf(log->file, "{\"step\": %lld", (long long)r->step);
  put(log->file, "loss", r->loss);
  put(log->file, "norm", r->norm);
  put(log->file, "lr", r->lr);
  put(log->file, "seconds", r->seconds);
  fprintf(log->file, ", \"tokens\": %lld", (long long)r->tokens);
  if (!isnan(r->validation)) put(log->file, "validation", r->validation);
  if (r->skipped) fputs(", \"skipped\": true", log->file);
  fputs("}\n", log->file);
  if (fflush(log->file) != 0 || ferror(log->file))
    return lm_fail(err, "cannot write '%s': %s", log->path, strerror(errno));
  log->last = r->step;
  return true;
}

bool lm_runlog_close(lm_runlog *log, char *err) {
  bool ok = true;
  if (log->file && fclose(log->file) != 0)
    ok = lm_fail(err, "cannot write '%s': %s", log->path, strerror(errno));
  free(log->path);
  *log = (lm_runlog){0};
  return ok;
}
