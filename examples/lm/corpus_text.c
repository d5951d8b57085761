/* Text: reading, splitting, encoding. The bytes are read one file after the other into one buffer,
 * cut into documents, and encoded one document at a time into the tokens to train on or those held
 * out. */
#include <stdlib.h>
#include <string.h>

#include "examples/lm/corpus_impl.h"

enum { LEAST_BLOCK = 64, LARGEST_BLOCK = 65536 };

typedef struct {
  int64_t *end; /* [count]: each document's end; it begins where the last one ended */
  int64_t count, capacity;
} cuts;

static bool cut_at(cuts *c, int64_t end, char *err) {
  if (c->count == c->capacity) {
    int64_t capacity = c->capacity * 2 + 64;
    int64_t *larger = lm_resize(c->end, capacity, sizeof *larger, err);
    if (!larger) return false;
    c->end = larger;
    c->capacity = capacity;
  }
  c->end[c->count++] = end;
  return true;
}

/* Where to end a block that has reached `at`: after the next paragraph, or else line, or else
 * letter, no further than `within`. */
static int64_t block_end(const uint8_t *b, int64_t at, int64_t within) {
  for (int64_t i = at; i + 1 < within; i++)
    if (b[i] == '\n' && b[i + 1] == '\n') return i + 2;
  for (int64_t i = at; i < within; i++)
    if (b[i] == '\n') return i + 1;
  while (at < within && (b[at] & 0xc0) == 0x80) at++; /* not inside a UTF-8 sequence */
  return at;
}

static bool cut_blocks(cuts *c, const uint8_t *bytes, int64_t begin, int64_t end, int64_t block,
                       char *err) {
  while (end - begin > 2 * block) {
    begin = block_end(bytes, begin + block, begin + 2 * block);
    if (!cut_at(c, begin, err)) return false;
  }
  return end == begin || cut_at(c, end, err);
}

/* All files into one buffer; `ends` gets each file's end. */
static bool read_all(const char *path, const struct rill_files *files, lm_bytes *bytes, cuts *ends,
                     bool *folder, char *err) {
  lm_paths found;
  bool ok = lm_walk(path, &found, err);
  *folder = found.folder;
  for (int64_t i = 0; ok && i < found.count; i++) {
    ok = lm_read_append(files, found.path[i], INT64_MAX / 2, bytes, err);
    if (ok && found.folder) {
      ok = lm_bytes_reserve(bytes, 1, err);
      if (ok) bytes->data[bytes->count++] = 0;
    }
    ok = ok && cut_at(ends, bytes->count, err);
  }
  if (ok && found.count == 0)
    ok = lm_fail(err, "the folder '%s' holds no files to read", path);
  else if (ok && bytes->count == (found.folder ? found.count : 0))
    ok = lm_fail(err, "'%s' is empty: there is no text to read", path);
  lm_paths_free(&found);
  return ok;
}

bool lm_text_read(lm_text *text, const char *path, const struct rill_files *files, char *err) {
  lm_bytes bytes = {0};
  cuts ends = {0};
  bool folder, ok = read_all(path, files, &bytes, &ends, &folder, err);
  free(ends.end);
  if (!ok) free(bytes.data);
  *text = ok ? (lm_text){bytes.data, bytes.count} : (lm_text){0};
  return ok;
}

/* The documents: the files, or blocks of them when files are too few for a fair choice. */
static bool find_documents(const lm_bytes *bytes, const cuts *files, int64_t every, cuts *documents,
                           char *err) {
  int64_t block = INT64_MAX / 4;
  if (files->count < 2 * every) {
    block = bytes->count / every / 4;
    if (block < LEAST_BLOCK) block = LEAST_BLOCK;
    if (block > LARGEST_BLOCK) block = LARGEST_BLOCK;
  }
  int64_t begin = 0;
  for (int64_t i = 0; i < files->count; i++) {
    if (!cut_blocks(documents, bytes->data, begin, files->end[i], block, err)) return false;
    begin = files->end[i];
  }
  return true;
}

/* ---- encoding ---- */

typedef struct {
  lm_bytes bytes;
  cuts file, document;
  bool folder;
} text;

static void text_free(text *t) {
  free(t->bytes.data);
  free(t->file.end);
  free(t->document.end);
}

static bool text_read(text *t, const char *path, const struct rill_files *files, int64_t every,
                      char *err) {
  *t = (text){0};
  return read_all(path, files, &t->bytes, &t->file, &t->folder, err) &&
         find_documents(&t->bytes, &t->file, every, &t->document, err);
}

/* Encodes a document. One that ends a file of a folder has a zero byte as its last, in whose place
 * comes the token that ends a document. */
static bool encode(const lm_corpus *c, lm_encoder *e, lm_text part, bool closes, lm_bytes *array,
                   char *err) {
  if (!closes) return lm_encode(e, part, array, err);
  int32_t end = lm_tokenizer_end(c->tokenizer);
  part.count--;
  return lm_encode(e, part, array, err) &&
         (end < 0 || lm_tokens_push(array, lm_tokenizer_width(c->tokenizer), end, err));
}

/* Every document of t to its place; `split` NULL: all to `all`. */
static bool encode_documents(lm_corpus *c, lm_encoder *e, const text *t, const lm_split *split,
                             int all, char *err) {
  int64_t begin = 0, file = 0, *count[2] = {&c->train_documents, &c->validation_documents};
  for (int64_t i = 0; i < t->document.count; i++) {
    int64_t end = t->document.end[i];
    while (t->file.end[file] < end) file++;
    int to = !split ? all : lm_split_holds(*split, i) ? LM_HELD : LM_KEPT;
    lm_text part = {t->bytes.data + begin, end - begin};
    if (!encode(c, e, part, t->folder && t->file.end[file] == end, &c->array[to], err))
      return false;
    *count[to] += 1;
    begin = end;
  }
  return true;
}

static bool encode_all(lm_corpus *c, const text *t, const text *held, const lm_corpus_opts *opts,
                       bool whole, char *err) {
  lm_split split = lm_split_of(opts, t->document.count);
  lm_encoder *e = lm_encoder_new(c->tokenizer, err);
  bool apart = whole || held;
  bool ok = e && encode_documents(c, e, t, apart ? NULL : &split, whole ? LM_HELD : LM_KEPT, err) &&
            (!held || encode_documents(c, e, held, NULL, LM_HELD, err));
  lm_encoder_free(e);
  return ok && lm_parts_add(&c->train, lm_tokenizer_view(c->tokenizer, &c->array[LM_KEPT]), err) &&
         lm_parts_add(&c->validation, lm_tokenizer_view(c->tokenizer, &c->array[LM_HELD]), err);
}

bool lm_corpus_text_open(lm_corpus *c, const char *path, const lm_corpus_opts *opts, bool whole,
                         char *err) {
  text t, held = {0};
  int64_t every = lm_split_of(opts, 2).every;
  bool ok = text_read(&t, path, opts->files, every, err);
  c->files = t.file.count;
  if (ok && opts->validation) {
    ok = text_read(&held, opts->validation, opts->files, every, err);
  } else if (ok && !whole && t.document.count < 2) {
    ok = lm_fail(err, "'%s' has only %lld bytes: too few to hold some out for validation", path,
                 (long long)t.bytes.count);
  }
  lm_text all = {t.bytes.data, t.bytes.count};
  if (ok && !c->tokenizer) c->tokenizer = lm_tokenizer_make(&opts->tokenizer, all, err);
  bool apart = opts->validation != NULL;
  ok = ok && c->tokenizer && encode_all(c, &t, apart ? &held : NULL, opts, whole, err);
  text_free(&t);
  text_free(&held);
  return ok;
}
