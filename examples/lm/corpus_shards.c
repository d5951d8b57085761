/* Shards: finding, mapping, splitting. Tokens stay in the files; a stream points into them. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "examples/lm/corpus_impl.h"
#include "examples/lm/manifest.h"
#include "examples/lm/shard.h"

enum { LEAST_BLOCK = 1024, LARGEST_BLOCK = 1 << 18, ROUND = 128 };

/* ---- finding ---- */

static bool ends_in_bin(const char *path) {
  size_t n = strlen(path);
  return n > 4 && strcmp(path + n - 4, ".bin") == 0;
}

/* Keeps the .bin files of a folder; false when there are none. */
static bool keep_shards(lm_paths *found) {
  int64_t kept = 0;
  for (int64_t i = 0; i < found->count; i++) {
    if (ends_in_bin(found->path[i])) {
      found->path[kept++] = found->path[i];
    } else {
      free(found->path[i]);
    }
  }
  found->count = kept;
  return kept > 0;
}

bool lm_corpus_shards_find(const char *path, lm_paths *found, bool *failed, char *err) {
  *failed = !lm_walk(path, found, err);
  if (*failed) return false;
  return found->folder ? keep_shards(found) : ends_in_bin(path) || lm_shard_is(path);
}

static const char *name_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* "val_000001.bin", "tiny_shakespeare_val.bin", "fineweb_validation_3.bin" */
static bool is_validation(const char *path) {
  for (const char *at = name_of(path); (at = strstr(at, "val")) != NULL; at++)
    if (at == name_of(path) || strchr("_-.", at[-1])) return true;
  return false;
}

/* ---- the tokenizer ---- */

static bool exists(const char *folder, const char *name, char *err) {
  struct stat s;
  char *path = lm_format(err, "%s/%s", folder, name);
  bool there = path && stat(path, &s) == 0;
  free(path);
  return there;
}

/* Checks the shards against the manifest, and the folder's tokenizer against both it and the one
 * that is there already. */
static bool check_manifest(lm_corpus *c, const char *folder, const lm_paths *found, char *err) {
  lm_manifest m;
  bool ok = lm_manifest_load(&m, folder, err);
  if (ok && m.shards != found->count)
    ok = lm_fail(err, "'%s' has %lld shards, but its manifest lists %lld", folder,
                 (long long)found->count, (long long)m.shards);
  for (int64_t i = 0; ok && i < m.shards; i++) {
    int64_t j = 0;
    while (j < found->count && strcmp(name_of(found->path[j]), m.shard[i].file) != 0) j++;
    if (j == found->count)
      ok = lm_fail(err, "the manifest of '%s' lists %s, which is not there", folder,
                   m.shard[i].file);
    else if (c->mapped[j].tokens.count != m.shard[i].tokens)
      ok = lm_fail(err, "'%s' has %lld tokens, but its manifest says %lld", found->path[j],
                   (long long)c->mapped[j].tokens.count, (long long)m.shard[i].tokens);
  }
  lm_tokenizer *own = ok ? lm_tokenizer_load(folder, err) : NULL;
  if (own && (lm_tokenizer_vocabulary(own) != m.vocabulary || lm_tokenizer_end(own) != m.end))
    ok = lm_fail(err, "the tokenizer in '%s' is not the one of its manifest (%s)", folder,
                 m.tokenizer);
  if (own && ok && c->tokenizer && lm_tokenizer_print(own) != lm_tokenizer_print(c->tokenizer))
    ok = lm_fail(err, "the shards in '%s' were made with another tokenizer (%s)", folder,
                 m.tokenizer);
  lm_manifest_free(&m);
  ok = ok && own;
  if (ok && !c->tokenizer)
    c->tokenizer = own;
  else
    lm_tokenizer_free(own);
  return ok;
}

/* Shards without a manifest: a tokenizer that the user names, or numbers. */
static bool assume_tokenizer(lm_corpus *c, const char *path, const lm_corpus_opts *opts,
                             char *err) {
  int32_t largest = opts->vocabulary > 0 && !c->tokenizer ? (int32_t)opts->vocabulary - 1 : -1;
  if (largest < 0)
    for (int64_t i = 0; i < c->mapped_count; i++) {
      int32_t here = lm_tokens_largest(&c->mapped[i].tokens);
      if (here > largest) largest = here;
    }
  if (c->tokenizer && largest >= lm_tokenizer_vocabulary(c->tokenizer))
    return lm_fail(err, "'%s' holds token %d, but the tokenizer has only %lld", path, largest,
                   (long long)lm_tokenizer_vocabulary(c->tokenizer));
  if (c->tokenizer) return true;
  int64_t vocabulary =
      opts->vocabulary > 0 ? opts->vocabulary : (largest / ROUND + 1) * (int64_t)ROUND;
  int32_t end = opts->end > 0 && opts->end < vocabulary ? (int32_t)opts->end : -1;
  c->tokenizer = lm_tokenizer_ids(vocabulary, end, err);
  return c->tokenizer != NULL;
}

/* ---- splitting ---- */

/* Where to end a block that has reached `at`: after the next token that ends a document, if one
 * comes before `within`. */
static int64_t block_end(const lm_tokens *t, int64_t at, int64_t within, int32_t end) {
  for (int64_t i = at; end >= 0 && i < within; i++)
    if (lm_token_at(t, i) == end) return i + 1;
  return at;
}

static lm_tokens range(const lm_tokens *t, int64_t begin, int64_t end) {
  return (lm_tokens){(const uint8_t *)t->data + begin * t->width, end - begin, t->width};
}

/* Every so many-th block of all shards is held out; what lies between is a part to train on. */
static bool split_blocks(lm_corpus *c, const lm_corpus_opts *opts, int64_t tokens, char *err) {
  lm_split split = lm_split_of(opts, INT64_MAX);
  int64_t block = tokens / split.every / 4, number = 0;
  if (block < LEAST_BLOCK) block = LEAST_BLOCK;
  if (block > LARGEST_BLOCK) block = LARGEST_BLOCK;
  for (int64_t s = 0; s < c->mapped_count; s++) {
    const lm_tokens *t = &c->mapped[s].tokens;
    int64_t from = 0; /* of the part to train on */
    for (int64_t begin = 0, end; begin < t->count; begin = end, number++) {
      end = t->count;
      if (end - begin > 2 * block)
        end = block_end(t, begin + block, begin + 2 * block, lm_tokenizer_end(c->tokenizer));
      if (!lm_split_holds(split, number)) continue;
      if (!lm_parts_add(&c->train, range(t, from, begin), err) ||
          !lm_parts_add(&c->validation, range(t, begin, end), err))
        return false;
      from = end;
    }
    if (!lm_parts_add(&c->train, range(t, from, t->count), err)) return false;
  }
  return true;
}

static bool fill_streams(lm_corpus *c, const lm_paths *found, const lm_corpus_opts *opts,
                         bool whole, char *err) {
  int64_t held = 0, tokens = 0;
  for (int64_t i = 0; i < found->count; i++) {
    held += is_validation(found->path[i]);
    tokens += c->mapped[i].tokens.count;
  }
  bool by_name = !whole && !opts->validation && held > 0 && held < found->count;
  if (!whole && !opts->validation && !by_name) return split_blocks(c, opts, tokens, err);
  for (int64_t i = 0; i < found->count; i++) {
    bool validation = whole || (by_name && is_validation(found->path[i]));
    if (!lm_parts_add(validation ? &c->validation : &c->train, c->mapped[i].tokens, err))
      return false;
  }
  return true;
}

bool lm_corpus_shards_open(lm_corpus *c, const char *path, const lm_paths *found,
                           const lm_corpus_opts *opts, bool whole, char *err) {
  if (opts->validation)
    return lm_fail(
        err,
        "'%s' holds shards of tokens: what to validate on is told by their names (val_*) "
        "and not by a text beside them",
        path);
  if (opts->tokenizer.kind)
    return lm_fail(err, "'%s' holds tokens already: a tokenizer cannot be trained on them", path);
  if (!c->tokenizer && opts->tokenizer.path &&
      !(c->tokenizer = lm_tokenizer_load(opts->tokenizer.path, err)))
    return false;
  c->shards = true;
  c->files = found->count;
  c->mapped = lm_alloc(found->count, sizeof *c->mapped, err);
  if (!c->mapped) return false;
  for (int64_t i = 0; i < found->count; i++, c->mapped_count++)
    if (!lm_shard_open(&c->mapped[i], found->path[i], err)) return false;
  bool known = found->folder && exists(path, "manifest.json", err);
  if (!(known ? check_manifest(c, path, found, err) : assume_tokenizer(c, path, opts, err)) ||
      !fill_streams(c, found, opts, whole, err))
    return false;
  c->train_documents = c->train.parts;
  c->validation_documents = c->validation.parts;
  if (c->validation.count == 0 || (!whole && c->train.count == 0))
    return lm_fail(err, "'%s' has too few tokens to hold some out for validation", path);
  return true;
}
