/* What a tokenizer is, where it comes from and where it is kept. Encoding is in tokenizer_encode.c,
 * training in tokenizer_train.c. */
#include "examples/lm/tokenizer.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/lm/random.h"
#include "examples/lm/tokenizer_impl.h"

enum { MOST_TRAINED = 1 << 20, LARGEST_MODEL = 1 << 28 };

static const char MODEL_FILE[] = "tokenizer.model", IDS_FILE[] = "tokens.json";

static lm_tokenizer *make(lm_tokenizer_kind kind, int64_t vocabulary, int32_t end, char *err) {
  lm_tokenizer *t = lm_alloc(1, sizeof *t, err);
  if (t) *t = (lm_tokenizer){.kind = kind, .vocabulary = vocabulary, .end = end};
  return t;
}

lm_tokenizer *lm_tokenizer_bytes(char *err) { return make(LM_BYTES, 256, 0, err); }

lm_tokenizer *lm_tokenizer_ids(int64_t vocabulary, int32_t end, char *err) {
  if (vocabulary < 1 || vocabulary > INT32_MAX || end < -1 || end >= vocabulary) {
    lm_fail(err,
            "a vocabulary of %" PRId64 " with %d as its end: 1 to 2^31 - 1, and -1 or one of it",
            vocabulary, end);
    return NULL;
  }
  return make(LM_IDS, vocabulary, end, err);
}

lm_tokenizer *lm_tokenizer_parse(const void *model, int64_t size, char *err) {
  lm_tokenizer *t = make(LM_PIECES, 0, -1, err);
  if (!t) return NULL;
  if (!lm_bytes_reserve(&t->model, size + 1, err) ||
      !lm_pieces_parse(&t->pieces, model, size, err)) {
    lm_tokenizer_free(t);
    return NULL;
  }
  memcpy(t->model.data, model, (size_t)size);
  t->model.count = size;
  t->vocabulary = t->pieces.count;
  t->end = t->pieces.end;
  return t;
}

void lm_tokenizer_free(lm_tokenizer *t) {
  if (!t) return;
  if (t->processor) t->calls->release(t->processor);
  lm_pieces_free(&t->pieces);
  free(t->model.data);
  free(t);
}

/* ---- files ---- */

static bool exists(const char *path) {
  struct stat s;
  return stat(path, &s) == 0;
}

static lm_tokenizer *load_model(const char *path, char *err) {
  lm_bytes file = {0};
  lm_tokenizer *t = NULL;
  if (lm_read_append(NULL, path, LARGEST_MODEL, &file, err)) {
    t = lm_tokenizer_parse(file.data, file.count, err);
    if (!t) lm_fail(err, "'%s': %s", path, err);
  }
  free(file.data);
  return t;
}

static lm_tokenizer *load_ids(const char *path, char *err) {
  json_error_t why;
  json_int_t vocabulary, end;
  lm_tokenizer *t = NULL;
  json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
  if (!json ||
      json_unpack_ex(json, &why, 0, "{s:I, s:I !}", "vocabulary", &vocabulary, "end", &end))
    lm_fail(err, "'%s', line %d: %s", path, why.line, why.text);
  else if (end < -1 || end > INT32_MAX)
    lm_fail(err, "'%s': no token can be %" PRId64, path, (int64_t)end);
  else if (!(t = lm_tokenizer_ids((int64_t)vocabulary, (int32_t)end, err)))
    lm_fail(err, "'%s': %s", path, err);
  json_decref(json);
  return t;
}

lm_tokenizer *lm_tokenizer_load(const char *path, char *err) {
  struct stat s;
  if (stat(path, &s) != 0) {
    lm_fail(err, "there is no tokenizer '%s': %s", path, strerror(errno));
    return NULL;
  }
  if (!S_ISDIR(s.st_mode)) return load_model(path, err);
  char *model = lm_format(err, "%s/%s", path, MODEL_FILE);
  char *ids = lm_format(err, "%s/%s", path, IDS_FILE);
  lm_tokenizer *t = NULL;
  if (model && ids)
    t = exists(model) ? load_model(model, err)
        : exists(ids) ? load_ids(ids, err)
                      : lm_tokenizer_bytes(err);
  free(model);
  free(ids);
  return t;
}

bool lm_tokenizer_save(const lm_tokenizer *t, const char *folder, char *err) {
  char *model = lm_format(err, "%s/%s", folder, MODEL_FILE);
  char *ids = lm_format(err, "%s/%s", folder, IDS_FILE);
  bool ok = model && ids;
  if (ok && t->kind != LM_PIECES) unlink(model);
  if (ok && t->kind != LM_IDS) unlink(ids);
  if (ok && t->kind == LM_PIECES)
    ok = lm_write_file(model, t->model.data, (size_t)t->model.count, err);
  if (ok && t->kind == LM_IDS) {
    char text[96];
    int size = snprintf(text, sizeof text, "{\"vocabulary\": %" PRId64 ", \"end\": %d}\n",
                        t->vocabulary, t->end);
    ok = lm_write_file(ids, text, (size_t)size, err);
  }
  free(model);
  free(ids);
  return ok;
}

/* ---- what --tokenizer says ---- */

bool lm_tokenizer_spec_parse(const char *text, lm_tokenizer_spec *spec, char *err) {
  static const char *const kinds[] = {"bpe", "unigram"};
  *spec = (lm_tokenizer_spec){0};
  if (strcmp(text, "bytes") == 0) return true;
  for (int i = 0; i < 2; i++) {
    size_t n = strlen(kinds[i]);
    if (strncmp(text, kinds[i], n) != 0 || (text[n] != ':' && text[n] != '\0')) continue;
    char *end = NULL;
    long long count = text[n] ? strtoll(text + n + 1, &end, 10) : 0;
    if (!end || end == text + n + 1 || *end || count < 257 || count > MOST_TRAINED)
      return lm_fail(err, "%s: a number of tokens from 257 to %d must follow, as in %s:8192", text,
                     MOST_TRAINED, kinds[i]);
    spec->kind = kinds[i];
    spec->vocabulary = count;
    return true;
  }
  if (!exists(text))
    return lm_fail(
        err,
        "'%s' is no tokenizer: bytes, bpe:8192, unigram:8000, or the file or folder of a "
        "SentencePiece model",
        text);
  spec->path = text;
  return true;
}

lm_tokenizer *lm_tokenizer_make(const lm_tokenizer_spec *spec, lm_text text, char *err) {
  if (spec->kind) return lm_tokenizer_train(spec->kind, spec->vocabulary, text, err);
  return spec->path ? lm_tokenizer_load(spec->path, err) : lm_tokenizer_bytes(err);
}

/* ---- what it is ---- */

int64_t lm_tokenizer_vocabulary(const lm_tokenizer *t) { return t->vocabulary; }
int lm_tokenizer_width(const lm_tokenizer *t) { return lm_token_width(t->vocabulary); }
int32_t lm_tokenizer_end(const lm_tokenizer *t) { return t->end; }
bool lm_tokenizer_is_bytes(const lm_tokenizer *t) { return t->kind == LM_BYTES; }
bool lm_tokenizer_has_text(const lm_tokenizer *t) { return t->kind != LM_IDS; }

uint64_t lm_tokenizer_print(const lm_tokenizer *t) {
  uint64_t h = lm_mix((uint64_t)t->kind ^ lm_mix((uint64_t)t->vocabulary));
  h = lm_mix(h ^ (uint64_t)(int64_t)t->end);
  for (int64_t i = 0; i < t->model.count; i++) h = (h ^ t->model.data[i]) * 0x100000001b3u;
  return lm_mix(h);
}

void lm_tokenizer_name(const lm_tokenizer *t, char *text, size_t size) {
  static const char *const unit[] = {[LM_PIECES] = "pieces", [LM_IDS] = "ids"};
  if (t->kind == LM_BYTES)
    snprintf(text, size, "bytes");
  else
    snprintf(text, size, "%" PRId64 " %s", t->vocabulary, unit[t->kind]);
}

/* ---- decoding ---- */

#define ROW(n)                                                                              \
  n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, n + 10, n + 11, n + 12, \
      n + 13, n + 14, n + 15
static const uint8_t every_byte[256] = {ROW(0),   ROW(16),  ROW(32),  ROW(48),  ROW(64),  ROW(80),
                                        ROW(96),  ROW(112), ROW(128), ROW(144), ROW(160), ROW(176),
                                        ROW(192), ROW(208), ROW(224), ROW(240)};
#undef ROW

lm_text lm_tokenizer_text(const lm_tokenizer *t, int32_t token) {
  if (token < 0 || token >= t->vocabulary || t->kind == LM_IDS) return (lm_text){NULL, 0};
  if (t->kind == LM_BYTES) return (lm_text){&every_byte[token], 1};
  const int64_t *start = t->pieces.start + token;
  return (lm_text){t->pieces.text + start[0], start[1] - start[0]};
}

int64_t lm_tokenizer_measure(const lm_tokenizer *t, const lm_tokens *tokens, int64_t begin,
                             int64_t count) {
  if (t->kind == LM_BYTES) return count;
  int64_t bytes = 0;
  for (int64_t i = begin; i < begin + count; i++)
    bytes += lm_tokenizer_text(t, lm_token_at(tokens, i)).count;
  return bytes;
}

bool lm_tokenizer_decode(const lm_tokenizer *t, const lm_tokens *tokens, lm_bytes *text,
                         char *err) {
  if (!lm_bytes_reserve(text, lm_tokenizer_measure(t, tokens, 0, tokens->count), err)) return false;
  for (int64_t i = 0; i < tokens->count; i++) {
    lm_text piece = lm_tokenizer_text(t, lm_token_at(tokens, i));
    if (piece.count) memcpy(text->data + text->count, piece.bytes, (size_t)piece.count);
    text->count += piece.count;
  }
  return true;
}
