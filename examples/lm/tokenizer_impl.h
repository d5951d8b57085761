/* Shared by the files of tokenizer. */
#ifndef RILL_EXAMPLES_LM_TOKENIZER_IMPL_H_
#define RILL_EXAMPLES_LM_TOKENIZER_IMPL_H_

#include "examples/lm/pieces.h"
#include "examples/lm/sentencepiece.h"
#include "examples/lm/tokenizer.h"
#include "examples/lm/utf8.h"

typedef enum { LM_BYTES, LM_PIECES, LM_IDS } lm_tokenizer_kind;

struct lm_tokenizer {
  lm_tokenizer_kind kind;
  int64_t vocabulary;
  int32_t end;
  lm_bytes model;                /* of pieces: the file */
  lm_pieces pieces;              /* what it holds */
  const lm_sentencepiece *calls; /* the library, */
  void *processor;               /* and the model in it; NULL until an encoder asks */
};

/* The SentencePiece library, or NULL and why not. */
const lm_sentencepiece *lm_sentencepiece_open(char *err);

#endif /* RILL_EXAMPLES_LM_TOKENIZER_IMPL_H_ */
