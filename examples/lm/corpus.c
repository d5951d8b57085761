/* Opening: text or shards, to be split or whole. */
#include "examples/lm/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "examples/lm/corpus_impl.h"
#include "examples/lm/random.h"
#include "examples/lm/shard.h"

enum { EVERY = 20, SAMPLED = 1 << 20 };

lm_split lm_split_of(const lm_corpus_opts *opts, int64_t documents) {
  int64_t every = opts->every != 0 ? opts->every : EVERY;
  int64_t choice = every < documents ? every : documents;
  return (lm_split){every, choice > 0 ? (int64_t)(lm_mix(opts->seed) % (uint64_t)choice) : 0};
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

/* Of mapped shards only both ends are read: all of them may be more than fits into memory. */
static uint64_t stream_print(uint64_t h, const lm_parts *stream, bool mapped) {
  for (int64_t i = 0; i < stream->parts; i++) {
    lm_tokens part = stream->part[i];
    lm_text bytes = {part.data, part.count * part.width};
    if (!mapped || bytes.count <= 2 * SAMPLED) {
      h = fingerprint(h, bytes);
    } else {
      h = fingerprint(lm_mix(h ^ (uint64_t)bytes.count), (lm_text){bytes.bytes, SAMPLED});
      h = fingerprint(h, (lm_text){bytes.bytes + bytes.count - SAMPLED, SAMPLED});
    }
  }
  return h;
}

static bool open_any(lm_corpus *c, const char *path, const lm_corpus_opts *opts, bool whole,
                     char *err) {
  lm_paths found;
  bool failed;
  bool shards = lm_corpus_shards_find(path, &found, &failed, err), ok = !failed;
  if (shards)
    ok = lm_corpus_shards_open(c, path, &found, opts, whole, err);
  else if (ok)
    ok = lm_corpus_text_open(c, path, opts, whole, err);
  lm_paths_free(&found);
  return ok;
}

bool lm_corpus_open(lm_corpus *corpus, const char *path, lm_corpus_opts opts, char *err) {
  *corpus = (lm_corpus){0};
  if (opts.every != 0 && opts.every < 2)
    return lm_fail(err, "one document in %lld cannot be held out: it must be one in 2 or more",
                   (long long)opts.every);
  if (!open_any(corpus, path, &opts, false, err)) {
    lm_corpus_close(corpus);
    return false;
  }
  uint64_t h = stream_print(0, &corpus->train, corpus->shards);
  h = stream_print(h, &corpus->validation, corpus->shards);
  if (!lm_tokenizer_is_bytes(corpus->tokenizer)) h ^= lm_tokenizer_print(corpus->tokenizer);
  corpus->fingerprint = h;
  return true;
}

bool lm_corpus_open_whole(lm_corpus *corpus, const char *path, lm_tokenizer *t, char *err) {
  *corpus = (lm_corpus){.tokenizer = t};
  bool ok = open_any(corpus, path, &(lm_corpus_opts){0}, true, err);
  corpus->tokenizer = NULL;
  if (!ok) lm_corpus_close(corpus);
  return ok;
}

void lm_corpus_close(lm_corpus *corpus) {
  for (int i = 0; i < 2; i++) free(corpus->array[i].data);
  for (int64_t i = 0; i < corpus->mapped_count; i++) lm_shard_close(&corpus->mapped[i]);
  free(corpus->mapped);
  lm_parts_free(&corpus->train);
  lm_parts_free(&corpus->validation);
  lm_tokenizer_free(corpus->tokenizer);
  *corpus = (lm_corpus){0};
}

bool lm_corpus_text(const lm_corpus *corpus, const lm_parts *stream, int64_t most, lm_bytes *text,
                    char *err) {
  for (int64_t i = 0; i < stream->parts && most > 0; i++) {
    lm_tokens part = stream->part[i];
    if (part.count > most) part.count = most;
    most -= part.count;
    if (!lm_tokenizer_decode(corpus->tokenizer, &part, text, err)) return false;
  }
  return true;
}
