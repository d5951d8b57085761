/* What prepare leaves beside its shards, manifest.json: the tokenizer, the shards, their sizes and
 * SHA-256 (as sha256sum prints them). */
#ifndef RILL_EXAMPLES_LM_MANIFEST_H_
#define RILL_EXAMPLES_LM_MANIFEST_H_

#include "examples/lm/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  char file[128]; /* a name without folders */
  bool validation;
  int64_t tokens, documents, bytes; /* bytes of text */
  char sha256[65];                  /* "" = not given */
} lm_manifest_shard;

typedef struct {
  char tokenizer[64]; /* in words: "8192 pieces" */
  int64_t vocabulary;
  int64_t end; /* the token that ends a document, or -1 */
  lm_manifest_shard *shard;
  int64_t shards, capacity;
} lm_manifest;

/* Reads the bytes of a manifest. False for anything else, with where and why; lm_manifest_free
 * after either. */
bool lm_manifest_parse(lm_manifest *m, const void *bytes, int64_t size, char *err);
bool lm_manifest_load(lm_manifest *m, const char *folder, char *err);
bool lm_manifest_add(lm_manifest *m, const lm_manifest_shard *shard, char *err);
/* Writes it into the folder, with sums, atomically. */
bool lm_manifest_save(const lm_manifest *m, const char *folder, char *err);
void lm_manifest_free(lm_manifest *m);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_MANIFEST_H_ */
