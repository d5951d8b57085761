/* The vocabulary of a SentencePiece model, read from its file: what each token stands for.
 *
 * Decoding needs nothing but this table. It is also the check of a file from elsewhere, before the
 * library sees it. */
#ifndef RILL_EXAMPLES_LM_PIECES_H_
#define RILL_EXAMPLES_LM_PIECES_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t count;  /* tokens */
  int64_t *start; /* [count + 1]: token i is text[start[i]] .. text[start[i + 1] - 1] */
  uint8_t *text;
  int32_t byte[256]; /* the token of each byte */
  int32_t end;       /* the token that ends a document, or -1 */
} lm_pieces;

/* Reads the file's bytes. A token of text is that text, with U+2581 as the space it stands for; a
 * byte token is that byte; the token that ends a document is a zero byte; other control tokens are
 * nothing. False when the bytes are no model, or one that cannot spell every byte, or hold more
 * than 2^20 pieces. lm_pieces_free after either. */
bool lm_pieces_parse(lm_pieces *pieces, const void *bytes, int64_t size, char *err);
void lm_pieces_free(lm_pieces *pieces);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_PIECES_H_ */
