/* Manifests: JSON to struct and back. */
#include "examples/lm/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 26 };

static const char FORMAT[] = "rill tokens";
enum { VERSION = 1 };

bool lm_manifest_add(lm_manifest *m, const lm_manifest_shard *shard, char *err) {
  if (m->shards == m->capacity) {
    int64_t capacity = m->capacity * 2 + 16;
    lm_manifest_shard *larger = lm_resize(m->shard, capacity, sizeof *larger, err);
    if (!larger) return false;
    m->shard = larger;
    m->capacity = capacity;
  }
  m->shard[m->shards++] = *shard;
  return true;
}

void lm_manifest_free(lm_manifest *m) {
  free(m->shard);
  *m = (lm_manifest){0};
}

/* ---- reading ---- */

static bool read_shard(lm_manifest *m, json_t *json, char *err) {
  json_error_t why;
  const char *file, *sha256 = "";
  int validation;
  json_int_t tokens, documents, bytes;
  lm_manifest_shard s = {0};
  if (json_unpack_ex(json, &why, 0, "{s:s, s:b, s:I, s:I, s:I, s?s}", "file", &file, "validation",
                     &validation, "tokens", &tokens, "documents", &documents, "bytes", &bytes,
                     "sha256", &sha256) != 0)
    return lm_fail(err, "shard %" PRId64 ": %s", m->shards, why.text);
  if (!file[0] || strlen(file) >= sizeof s.file || strchr(file, '/') || file[0] == '.')
    return lm_fail(err, "shard %" PRId64 ": '%.80s' is no name of a file beside it", m->shards,
                   file);
  if (tokens < 0 || documents < 0 || bytes < 0)
    return lm_fail(err, "shard %" PRId64 ": a count is negative", m->shards);
  if (sha256[0] && (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64))
    return lm_fail(err, "shard %" PRId64 ": its sha256 is none", m->shards);
  snprintf(s.file, sizeof s.file, "%s", file);
  snprintf(s.sha256, sizeof s.sha256, "%s", sha256);
  s.validation = validation;
  s.tokens = (int64_t)tokens;
  s.documents = (int64_t)documents;
  s.bytes = (int64_t)bytes;
  return lm_manifest_add(m, &s, err);
}

static bool read_json(lm_manifest *m, json_t *json, char *err) {
  json_error_t why;
  const char *format, *name;
  int version;
  json_int_t vocabulary, end;
  json_t *shards, *shard;
  size_t i;
  if (json_unpack_ex(json, &why, 0, "{s:s, s:i, s:{s:s, s:I, s:I}, s:o}", "format", &format,
                     "version", &version, "tokenizer", "name", &name, "vocabulary", &vocabulary,
                     "end", &end, "shards", &shards) != 0)
    return lm_fail(err, "%s", why.text);
  if (strcmp(format, FORMAT) != 0 || version != VERSION)
    return lm_fail(err, "it is '%.40s', version %d, not '%s', version %d", format, version, FORMAT,
                   VERSION);
  if (vocabulary < 1 || vocabulary > INT32_MAX || end < -1 || end >= vocabulary)
    return lm_fail(err, "a vocabulary of %" PRId64 " with %" PRId64 " as its end",
                   (int64_t)vocabulary, (int64_t)end);
  if (!json_is_array(shards)) return lm_fail(err, "'shards' is no array");
  m->vocabulary = (int64_t)vocabulary;
  m->end = (int64_t)end;
  snprintf(m->tokenizer, sizeof m->tokenizer, "%.60s", name);
  json_array_foreach(shards, i, shard) if (!read_shard(m, shard, err)) return false;
  return true;
}

bool lm_manifest_parse(lm_manifest *m, const void *bytes, int64_t size, char *err) {
  json_error_t why;
  *m = (lm_manifest){0};
  json_t *json = json_loadb(bytes, (size_t)size, JSON_REJECT_DUPLICATES, &why);
  bool ok = json ? read_json(m, json, err) : lm_fail(err, "line %d: %s", why.line, why.text);
  json_decref(json);
  return ok;
}

bool lm_manifest_load(lm_manifest *m, const char *folder, char *err) {
  lm_bytes file = {0};
  *m = (lm_manifest){0};
  char *path = lm_format(err, "%s/manifest.json", folder);
  bool ok = path && lm_read_append(NULL, path, LARGEST, &file, err);
  if (ok && !lm_manifest_parse(m, file.data, file.count, err))
    ok = lm_fail(err, "'%s': %s", path, err);
  free(file.data);
  free(path);
  return ok;
}

/* ---- writing ---- */

static json_t *sums(const lm_manifest *m, bool validation) {
  int64_t shards = 0, tokens = 0, documents = 0, bytes = 0;
  for (int64_t i = 0; i < m->shards; i++) {
    if (m->shard[i].validation != validation) continue;
    shards++;
    tokens += m->shard[i].tokens;
    documents += m->shard[i].documents;
    bytes += m->shard[i].bytes;
  }
  return json_pack("{s:I, s:I, s:I, s:I}", "shards", (json_int_t)shards, "documents",
                   (json_int_t)documents, "tokens", (json_int_t)tokens, "bytes", (json_int_t)bytes);
}

bool lm_manifest_save(const lm_manifest *m, const char *folder, char *err) {
  json_t *shards = json_array();
  for (int64_t i = 0; i < m->shards; i++) {
    const lm_manifest_shard *s = &m->shard[i];
    json_array_append_new(
        shards,
        json_pack("{s:s, s:b, s:I, s:I, s:I, s:s}", "file", s->file, "validation", s->validation,
                  "tokens", (json_int_t)s->tokens, "documents", (json_int_t)s->documents, "bytes",
                  (json_int_t)s->bytes, "sha256", s->sha256));
  }
  json_t *json = json_pack("{s:s, s:i, s:{s:s, s:I, s:I}, s:o*, s:o*, s:o*}", "format", FORMAT,
                           "version", VERSION, "tokenizer", "name", m->tokenizer, "vocabulary",
                           (json_int_t)m->vocabulary, "end", (json_int_t)m->end, "train",
                           sums(m, false), "validation", sums(m, true), "shards", shards);
  char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
  char *path = lm_format(err, "%s/manifest.json", folder);
  bool ok = text && path ? lm_write_file(path, text, strlen(text), err)
                         : lm_fail(err, "out of memory for the manifest");
  free(path);
  free(text);
  json_decref(json);
  return ok;
}
