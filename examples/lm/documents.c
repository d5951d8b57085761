/* Files to blocks, and blocks to tokens. */
#include "examples/lm/documents.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "examples/lm/map.h"

enum { BLOCK = 1 << 20 };

/* ---- the files ---- */

static bool add_files(lm_documents *d, const char *path, char *err) {
  lm_paths found;
  bool ok = lm_walk(path, &found, err);
  int64_t count = d->files.count + found.count;
  char **all = ok ? lm_resize(d->files.path, count, sizeof *all, err) : NULL;
  if (all) {
    d->files.path = all;
    for (int64_t i = 0; i < found.count; i++) all[d->files.count + i] = found.path[i];
    d->files.count = d->files.capacity = count;
    found.count = 0; /* the strings have moved */
  }
  lm_paths_free(&found);
  return all != NULL;
}

bool lm_documents_open(lm_documents *d, int count, char *const *paths, const char *field,
                       char *err) {
  *d = (lm_documents){.field = field};
  for (int i = 0; i < count; i++)
    if (!add_files(d, paths[i], err)) return false;
  d->size = lm_alloc(d->files.count, sizeof *d->size, err);
  d->open = lm_alloc(d->files.count, sizeof *d->open, err);
  if (!d->size || !d->open) return false;
  for (int64_t i = 0; i < d->files.count; i++) {
    struct stat s;
    if (stat(d->files.path[i], &s) != 0)
      return lm_fail(err, "cannot read '%s': %s", d->files.path[i], strerror(errno));
    d->size[i] = s.st_size;
    d->bytes += s.st_size;
  }
  return d->bytes > 0 ||
         lm_fail(err, "there is no text to read: %" PRId64 " files, all empty", d->files.count);
}

void lm_documents_close(lm_documents *d) {
  for (int64_t i = 0; d->open && i < d->files.count; i++) lm_unmap(&d->open[i]);
  free(d->size);
  free(d->open);
  lm_paths_free(&d->files);
  *d = (lm_documents){0};
}

static bool is_json(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot && (strcmp(dot, ".jsonl") == 0 || strcmp(dot, ".ndjson") == 0);
}

/* ---- blocks ---- */

/* Bytes of the block that begins the text: to the end of a line, after all of its line ends, or, of
 * a line that does not end, of a word. */
static int64_t block_length(lm_text t) {
  if (t.count <= BLOCK + BLOCK / 2) return t.count;
  int64_t i = BLOCK;
  while (i < t.count && t.bytes[i - 1] != '\n') i++;
  while (i < t.count && t.bytes[i] == '\n') i++;
  return i;
}

static int64_t count_lines(lm_text t) {
  int64_t lines = 0;
  for (int64_t i = 0; i < t.count; i++) lines += t.bytes[i] == '\n';
  return lines;
}

bool lm_documents_next(lm_documents *d, lm_block *block, char *err) {
  *block = (lm_block){0};
  while (d->next == 0 || d->at == d->open[d->next - 1].count) {
    if (d->next == d->files.count) return true;
    if (!lm_map(&d->open[d->next], d->files.path[d->next], err)) return false;
    d->next++;
    d->at = d->line = 0;
  }
  const int64_t file = d->next - 1;
  const lm_text *all = &d->open[file];
  lm_text rest = {all->bytes + d->at, all->count - d->at};
  *block = (lm_block){.text = {rest.bytes, block_length(rest)},
                      .file = file,
                      .line = d->line,
                      .json = is_json(d->files.path[file])};
  d->at += block->text.count;
  block->ends = d->at == all->count;
  if (block->json) d->line += count_lines(block->text);
  return true;
}

void lm_documents_release(lm_documents *d) {
  int64_t last = d->next - (d->next > 0 && d->at < d->open[d->next - 1].count); /* still needed */
  for (int64_t i = last - 1; i >= 0 && d->open[i].bytes; i--) {
    int64_t count = d->open[i].count;
    lm_unmap(&d->open[i]);
    d->open[i].count = i == d->next - 1 ? count : 0; /* it was read to its end: `at` stays true */
  }
}

/* ---- encoding ---- */

static bool end_document(const lm_tokenizer *t, lm_encoded *out) {
  int width = lm_tokenizer_width(t);
  int32_t end = lm_tokenizer_end(t);
  if (end >= 0 && !lm_tokens_push(&out->tokens, width, end, out->err)) return false;
  out->bytes += end >= 0;
  if (!lm_bytes_reserve(&out->ends, sizeof(int64_t), out->err)) return false;
  int64_t at = out->tokens.count / width;
  memcpy(out->ends.data + out->ends.count, &at, sizeof at);
  out->ends.count += (int64_t)sizeof at;
  return true;
}

/* Calls `use` with the field of each line's object. */
static bool each_line(const lm_documents *d, const lm_block *block, char *err,
                      bool (*use)(void *user, lm_text text), void *user) {
  const uint8_t *at = block->text.bytes, *end = at + block->text.count;
  for (int64_t line = block->line + 1; at < end; line++) {
    const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
    size_t size = (size_t)((stop ? stop : end) - at);
    json_error_t why;
    const uint8_t *first = at;
    while (first < at + size && (*first == ' ' || *first == '\t' || *first == '\r')) first++;
    if (first < at + size) {
      json_t *json = json_loadb((const char *)at, size, JSON_ALLOW_NUL, &why);
      const json_t *field = json_object_get(json, d->field);
      bool ok = json_is_string(field);
      if (!json)
        lm_fail(err, "'%s', line %" PRId64 ": %s", d->files.path[block->file], line, why.text);
      else if (!ok)
        lm_fail(err, "'%s', line %" PRId64 ": it is no object with a text '%s'",
                d->files.path[block->file], line, d->field);
      ok = ok && use(user, (lm_text){(const uint8_t *)json_string_value(field),
                                     (int64_t)json_string_length(field)});
      json_decref(json);
      if (!ok) return false;
    }
    at += size + 1;
  }
  return true;
}

typedef struct {
  lm_encoder *encoder;
  const lm_tokenizer *tokenizer;
  lm_encoded *out;
} encoding;

static bool encode_line(void *user, lm_text text) {
  encoding *e = user;
  e->out->bytes += text.count;
  return lm_encode(e->encoder, text, &e->out->tokens, e->out->err) &&
         end_document(e->tokenizer, e->out);
}

bool lm_block_encode(const lm_documents *d, const lm_block *block, lm_encoder *e,
                     const lm_tokenizer *t, lm_encoded *out) {
  encoding to = {e, t, out};
  out->tokens.count = out->ends.count = out->bytes = 0;
  if (block->json) return each_line(d, block, out->err, encode_line, &to);
  out->bytes = block->text.count;
  return lm_encode(e, block->text, &out->tokens, out->err) &&
         (!block->ends || end_document(t, out));
}

void lm_encoded_free(lm_encoded *out) {
  free(out->tokens.data);
  free(out->ends.data);
  *out = (lm_encoded){0};
}

/* ---- a sample ---- */

static bool append(void *user, lm_text text) {
  lm_bytes *to = user;
  char err[LM_ERROR_SIZE];
  if (!lm_bytes_reserve(to, text.count + 1, err)) return false;
  memcpy(to->data + to->count, text.bytes, (size_t)text.count);
  to->count += text.count;
  to->data[to->count++] = '\n';
  return true;
}

bool lm_documents_sample(lm_documents *d, int64_t most, lm_bytes *text, char *err) {
  double share = d->bytes > most ? (double)most / (double)d->bytes : 1, due = 0;
  lm_block block;
  /* Of blocks in order, those that keep what was taken up with its share of what was passed. */
  while (lm_documents_next(d, &block, err)) {
    if (!block.text.bytes) {
      lm_documents_release(d);
      d->next = d->at = d->line = 0;
      return true;
    }
    due += share * (double)block.text.count;
    if (due >= 0) {
      bool ok = block.json ? each_line(d, &block, err, append, text)
                           : append(text, block.text) || lm_fail(err, "out of memory");
      if (!ok) return false;
      due -= (double)block.text.count;
    }
    lm_documents_release(d);
  }
  return false;
}
