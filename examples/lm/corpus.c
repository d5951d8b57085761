/* Reading and splitting. The bytes are read one file after the other into one buffer; the held-out
 * documents are then copied out and the others moved together, so that memory is the size of the
 * text plus its held-out part. */
#include "examples/lm/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "examples/lm/random.h"
#include "examples/lm/walk.h"

enum { EVERY = 20, LEAST_BLOCK = 64, LARGEST_BLOCK = 65536 };

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
                     char *err) {
  lm_paths found;
  bool ok = lm_walk(path, &found, err);
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
  bool ok = read_all(path, files, &bytes, &ends, err);
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

/* Moves the training documents together at the front of `bytes`, the others to `held`. */
static bool split(lm_corpus *corpus, lm_bytes *bytes, const cuts *documents, lm_bytes *held,
                  int64_t every, uint64_t seed, char *err) {
  int64_t first =
      (int64_t)(lm_mix(seed) % (uint64_t)(every < documents->count ? every : documents->count));
  int64_t begin = 0, kept = 0;
  for (int64_t i = 0; i < documents->count; i++) {
    int64_t size = documents->end[i] - begin;
    if (i % every == first) {
      if (!lm_bytes_reserve(held, size, err)) return false;
      memcpy(held->data + held->count, bytes->data + begin, (size_t)size);
      held->count += size;
      corpus->validation_documents++;
    } else {
      memmove(bytes->data + kept, bytes->data + begin, (size_t)size);
      kept += size;
      corpus->train_documents++;
    }
    begin += size;
  }
  bytes->count = kept;
  return true;
}

static uint64_t fingerprint(uint64_t h, lm_text text) {
  h = lm_mix(h ^ (uint64_t)text.count);
  int64_t i = 0;
  for (; i + 8 <= text.count; i += 8) {
    uint64_t word = 0;
    for (int j = 0; j < 8; j++) word |= (uint64_t)text.bytes[i + j] << 8 * j;
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  for (; i < text.count; i++) h = lm_mix(h ^ text.bytes[i]);
  return lm_mix(h);
}

/* Fills corpus and the two buffers; on failure they are the caller's to release all the same. */
static bool read_and_split(lm_corpus *corpus, const char *path, lm_corpus_opts opts,
                           lm_bytes *train, lm_bytes *held, char *err) {
  int64_t every = opts.every != 0 ? opts.every : EVERY;
  if (every < 2)
    return lm_fail(err, "one document in %lld cannot be held out: it must be one in 2 or more",
                   (long long)every);
  cuts files = {0}, documents = {0}, others = {0};
  bool ok = read_all(path, opts.files, train, &files, err) &&
            find_documents(train, &files, every, &documents, err);
  corpus->files = files.count;
  if (ok && opts.validation) {
    corpus->train_documents = documents.count;
    ok = read_all(opts.validation, opts.files, held, &others, err);
    corpus->validation_documents = others.count;
  } else if (ok && documents.count < 2) {
    ok = lm_fail(err, "'%s' has only %lld bytes: too few to hold some out for validation", path,
                 (long long)train->count);
  } else if (ok) {
    ok = split(corpus, train, &documents, held, every, opts.seed, err);
  }
  free(files.end);
  free(documents.end);
  free(others.end);
  return ok;
}

bool lm_corpus_open(lm_corpus *corpus, const char *path, lm_corpus_opts opts, char *err) {
  *corpus = (lm_corpus){0};
  lm_bytes train = {0}, held = {0};
  if (!read_and_split(corpus, path, opts, &train, &held, err)) {
    free(train.data);
    free(held.data);
    return false;
  }
  corpus->train = (lm_text){train.data, train.count};
  corpus->validation = (lm_text){held.data, held.count};
  corpus->fingerprint = fingerprint(fingerprint(0, corpus->train), corpus->validation);
  return true;
}

void lm_corpus_close(lm_corpus *corpus) {
  free((void *)(uintptr_t)corpus->train.bytes);
  free((void *)(uintptr_t)corpus->validation.bytes);
  *corpus = (lm_corpus){0};
}
