/* Writes tokens into a folder of shards, those to train on and those held out, and its manifest.
 *
 * All of it is written into OUT.part, which takes the name OUT when it is complete: a folder OUT is
 * whole, whatever happens. */
#ifndef RILL_EXAMPLES_LM_SHARD_WRITER_H_
#define RILL_EXAMPLES_LM_SHARD_WRITER_H_

#include "examples/lm/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *out;
  char *part; /* the folder until it is complete */
  const lm_tokenizer *tokenizer;
  int64_t shard_tokens, every, first; /* document number first, first + every, ... is held out */
  int width;
  int64_t document; /* the current one's number */
  lm_manifest manifest;
  struct {
    lm_bytes bytes; /* of the shard being filled */
    int64_t documents, text;
    int64_t shards;
  } to[2]; /* to train on, held out */
} lm_shard_writer;

typedef struct {
  int64_t shard_tokens; /* of a full shard */
  int64_t every;        /* one document in so many is held out; 0 = none */
  uint64_t seed;        /* which of them */
} lm_shard_writer_opts;

/* Refuses a folder that is there and not empty. lm_shard_writer_close after either. */
bool lm_shard_writer_open(lm_shard_writer *w, const char *out, const lm_tokenizer *t,
                          lm_shard_writer_opts opts, char *err);
/* Appends tokens of the current document, `bytes` of text; `ends` says that it ends with them. */
bool lm_shard_writer_add(lm_shard_writer *w, lm_tokens tokens, int64_t bytes, bool ends, char *err);
/* Writes what is left, the tokenizer and the manifest, and gives the folder its name. */
bool lm_shard_writer_finish(lm_shard_writer *w, char *err);
/* Releases it; of a folder that is not finished, what was written is removed. */
void lm_shard_writer_close(lm_shard_writer *w);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SHARD_WRITER_H_ */
