/* Files of tokens, as llm.c reads and writes them.
 *
 *   256 numbers of 4 bytes   magic, version, count of tokens, zeros
 *   tokens                   2 bytes each (magic 20240520, version 1: vocabularies up to 65536)
 *                            or 4 bytes (magic 20240801, version 7)
 *
 * All in little-endian order. They are mapped into memory, not read: a set of shards may be larger
 * than the machine's memory. */
#ifndef RILL_EXAMPLES_LM_SHARD_H_
#define RILL_EXAMPLES_LM_SHARD_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LM_SHARD_HEADER = 1024 };

typedef struct lm_shard {
  lm_tokens tokens;
  lm_text file;
} lm_shard;

/* Reads the header of a file of `size` bytes, of which `bytes` holds the first `given`. Fills width
 * and count; data is set when all of the file is given. False when it is no shard, or its size is
 * not what the header says. */
bool lm_shard_parse(const void *bytes, int64_t given, int64_t size, lm_tokens *tokens, char *err);

/* Maps a file. lm_shard_close after success. */
bool lm_shard_open(lm_shard *shard, const char *path, char *err);
void lm_shard_close(lm_shard *shard);

/* Is the file one that begins like a shard? */
bool lm_shard_is(const char *path);

/* To write one: begin with room for the header, append tokens of `width` (2 or 4; see
 * lm_shard_width) to the bytes, then save, atomically; sha256 (may be NULL) gets the hash of the
 * file. The bytes are empty after that. */
bool lm_shard_begin(lm_bytes *bytes, char *err);
bool lm_shard_save(lm_bytes *bytes, int width, const char *path, char sha256[65], char *err);
static inline int lm_shard_width(int64_t vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SHARD_H_ */
