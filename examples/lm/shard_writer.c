/* Filling shards. */
#include "examples/lm/shard_writer.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/lm/random.h"
#include "examples/lm/shard.h"

static const char *const prefix[2] = {"train", "val"};

/* Removes a folder and the files in it, if it is there. */
static void remove_folder(const char *path) {
  DIR *dir = opendir(path);
  char err[LM_ERROR_SIZE];
  for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
    char *file = lm_format(err, "%s/%s", path, entry->d_name);
    if (file && entry->d_name[0] != '.') unlink(file);
    free(file);
  }
  if (dir) closedir(dir);
  rmdir(path);
}

static bool is_empty_or_absent(const char *path) {
  DIR *dir = opendir(path);
  if (!dir) return errno == ENOENT;
  int entries = 0;
  while (readdir(dir)) entries++;
  closedir(dir);
  return entries <= 2;
}

bool lm_shard_writer_open(lm_shard_writer *w, const char *out, const lm_tokenizer *t,
                          lm_shard_writer_opts opts, char *err) {
  int64_t first = opts.every > 0 ? (int64_t)(lm_mix(opts.seed) % (uint64_t)opts.every) : 0;
  *w = (lm_shard_writer){.out = out,
                         .tokenizer = t,
                         .shard_tokens = opts.shard_tokens,
                         .every = opts.every,
                         .first = first,
                         .width = lm_shard_width(lm_tokenizer_vocabulary(t))};
  lm_tokenizer_name(t, w->manifest.tokenizer, sizeof w->manifest.tokenizer);
  w->manifest.vocabulary = lm_tokenizer_vocabulary(t);
  w->manifest.end = lm_tokenizer_end(t);
  if (!is_empty_or_absent(out))
    return lm_fail(err, "'%s' is there already, and is no empty folder: name another", out);
  w->part = lm_format(err, "%s.part", out);
  if (!w->part) return false;
  remove_folder(w->part); /* of one that was killed */
  return lm_make_folder(w->part, err) && lm_shard_begin(&w->to[0].bytes, err) &&
         lm_shard_begin(&w->to[1].bytes, err);
}

static bool flush(lm_shard_writer *w, int side, char *err) {
  lm_manifest_shard s = {.validation = side == 1,
                         .tokens = (w->to[side].bytes.count - LM_SHARD_HEADER) / w->width,
                         .documents = w->to[side].documents,
                         .bytes = w->to[side].text};
  if (s.tokens == 0) return true;
  snprintf(s.file, sizeof s.file, "%s_%06" PRId64 ".bin", prefix[side], w->to[side].shards++);
  char *path = lm_format(err, "%s/%s", w->part, s.file);
  bool ok = path && lm_shard_save(&w->to[side].bytes, w->width, path, s.sha256, err) &&
            lm_shard_begin(&w->to[side].bytes, err) && lm_manifest_add(&w->manifest, &s, err);
  free(path);
  w->to[side].documents = w->to[side].text = 0;
  return ok;
}

static bool copy(lm_shard_writer *w, int side, lm_tokens from, int64_t begin, int64_t count,
                 char *err) {
  lm_bytes *to = &w->to[side].bytes;
  if (from.width != w->width) {
    for (int64_t i = begin; i < begin + count; i++)
      if (!lm_tokens_push(to, w->width, lm_token_at(&from, i), err)) return false;
    return true;
  }
  size_t size = (size_t)(count * w->width);
  if (!lm_bytes_reserve(to, (int64_t)size, err)) return false;
  memcpy(to->data + to->count, (const uint8_t *)from.data + begin * w->width, size);
  to->count += (int64_t)size;
  return true;
}

bool lm_shard_writer_add(lm_shard_writer *w, lm_tokens tokens, int64_t bytes, bool ends,
                         char *err) {
  int side = w->every > 0 && w->document % w->every == w->first;
  for (int64_t at = 0, n; at < tokens.count; at += n) {
    int64_t filled = (w->to[side].bytes.count - LM_SHARD_HEADER) / w->width;
    n = tokens.count - at;
    if (n > w->shard_tokens - filled) n = w->shard_tokens - filled;
    int64_t text = n == tokens.count ? bytes : lm_tokenizer_measure(w->tokenizer, &tokens, at, n);
    if (!copy(w, side, tokens, at, n, err)) return false;
    w->to[side].text += text;
    w->to[side].documents += ends && at + n == tokens.count;
    if (filled + n == w->shard_tokens && !flush(w, side, err)) return false;
  }
  w->document += ends;
  return true;
}

bool lm_shard_writer_finish(lm_shard_writer *w, char *err) {
  if (!flush(w, 0, err) || !flush(w, 1, err)) return false;
  if (w->manifest.shards == 0) return lm_fail(err, "there is no text to write");
  if (!lm_tokenizer_save(w->tokenizer, w->part, err) ||
      !lm_manifest_save(&w->manifest, w->part, err))
    return false;
  if (rename(w->part, w->out) != 0)
    return lm_fail(err, "cannot name '%s' '%s': %s", w->part, w->out, strerror(errno));
  free(w->part);
  w->part = NULL;
  return true;
}

void lm_shard_writer_close(lm_shard_writer *w) {
  if (w->part) remove_folder(w->part);
  free(w->part);
  for (int i = 0; i < 2; i++) free(w->to[i].bytes.data);
  lm_manifest_free(&w->manifest);
  *w = (lm_shard_writer){0};
}
