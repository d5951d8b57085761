/* Tokens in memory: an array whose elements take 1, 2 or 4 bytes, whatever the vocabulary needs,
 * and a stream of such arrays that is read as if it were one text. */
#ifndef RILL_EXAMPLES_LM_TOKENS_H_
#define RILL_EXAMPLES_LM_TOKENS_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a text. */
typedef struct {
  const uint8_t *bytes;
  int64_t count;
} lm_text;

typedef struct {
  const void *data; /* [count], unsigned, of this machine's byte order */
  int64_t count;
  int width; /* bytes of an element: 1, 2 or 4 */
} lm_tokens;

/* The pieces of a text that lie apart in memory: blocks of shards, for instance. */
typedef struct {
  lm_tokens *part; /* [parts] */
  int64_t parts, capacity;
  int64_t count; /* tokens in all */
} lm_parts;

/* The width that holds tokens 0 .. vocabulary - 1. */
static inline int lm_token_width(int64_t vocabulary) {
  return vocabulary <= 256 ? 1 : vocabulary <= 65536 ? 2 : 4;
}

/* Values above 2^31 - 1, which only a broken file has, are negative here. */
static inline int32_t lm_token_at(const lm_tokens *t, int64_t i) {
  if (t->width == 1) return ((const uint8_t *)t->data)[i];
  if (t->width == 2) return ((const uint16_t *)t->data)[i];
  return ((const int32_t *)t->data)[i];
}

/* Tokens begin .. begin + count - 1. */
void lm_tokens_read(const lm_tokens *t, int64_t begin, int64_t count, int32_t *out);

/* Appends a token to bytes that are an array of this width. */
bool lm_tokens_push(lm_bytes *array, int width, int32_t token, char *err);

/* The largest token, or -1 when there is none; INT32_MAX when one is too large for int32_t. */
int32_t lm_tokens_largest(const lm_tokens *t);

/* Adds a part at the end; the tokens stay where they are. Empty parts are left out. */
bool lm_parts_add(lm_parts *stream, lm_tokens part, char *err);
void lm_parts_free(lm_parts *stream);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_TOKENS_H_ */
