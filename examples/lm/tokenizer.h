/* From text to tokens and back.
 *
 *   bytes   a token is a byte; nothing to keep. The default.
 *   pieces  a SentencePiece model: loaded, or trained on the text ("bpe:8192")
 *   ids     tokens whose text is not known: shards from elsewhere. Neither way works
 *
 * With bytes and pieces any bytes come back as they were. A piece stands for UTF-8 text, so what is
 * none (a zero byte, a stray 0xff) is spelled in byte tokens, and so is U+2581, which SentencePiece
 * writes for a space. A model's own normalisation is switched off.
 *
 * One token ends a document: the zero byte, or the model's </s>. Its text is a zero byte in both,
 * so that a text has the same number of bytes whatever it is cut into. */
#ifndef RILL_EXAMPLES_LM_TOKENIZER_H_
#define RILL_EXAMPLES_LM_TOKENIZER_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_tokenizer lm_tokenizer;

/* lm_tokenizer_free releases each of these; NULL after an error. */
lm_tokenizer *lm_tokenizer_bytes(char *err);
/* `end` is the token that ends (or begins) a document, -1 = none. */
lm_tokenizer *lm_tokenizer_ids(int64_t vocabulary, int32_t end, char *err);
/* A SentencePiece model from the bytes of its file. */
lm_tokenizer *lm_tokenizer_parse(const void *model, int64_t size, char *err);
/* Trains one: kind "bpe" or "unigram". The same text gives the same model; of a long text an even
 * sample is read. */
lm_tokenizer *lm_tokenizer_train(const char *kind, int64_t vocabulary, lm_text text, char *err);
/* That of a checkpoint or a folder of shards: its tokenizer.model or tokens.json, or bytes when it
 * has neither. A file is a model. */
lm_tokenizer *lm_tokenizer_load(const char *path, char *err);
void lm_tokenizer_free(lm_tokenizer *t); /* NULL is allowed */

/* Puts tokenizer.model or tokens.json into a folder (bytes need none). What is there already of
 * another tokenizer is removed. */
bool lm_tokenizer_save(const lm_tokenizer *t, const char *folder, char *err);

/* What --tokenizer says: "bytes", "bpe:8192", "unigram:8000", or a model's file or folder. */
typedef struct {
  const char *kind; /* "bpe" or "unigram": to be trained. NULL: ready */
  int64_t vocabulary;
  const char *path; /* a file or folder; NULL: bytes, when kind is NULL too */
} lm_tokenizer_spec;
bool lm_tokenizer_spec_parse(const char *text, lm_tokenizer_spec *spec, char *err);
/* The tokenizer of a specification; `text` is what to train on. */
lm_tokenizer *lm_tokenizer_make(const lm_tokenizer_spec *spec, lm_text text, char *err);

int64_t lm_tokenizer_vocabulary(const lm_tokenizer *t);
int lm_tokenizer_width(const lm_tokenizer *t);      /* of its arrays of tokens: lm_token_width */
int32_t lm_tokenizer_end(const lm_tokenizer *t);    /* the token that ends a document, or -1 */
bool lm_tokenizer_is_bytes(const lm_tokenizer *t);  /* a token is a byte */
bool lm_tokenizer_has_text(const lm_tokenizer *t);  /* false for ids */
uint64_t lm_tokenizer_print(const lm_tokenizer *t); /* a hash: equal for equal tokenizers */
/* "bytes", "8192 pieces", "50257 ids" */
void lm_tokenizer_name(const lm_tokenizer *t, char *text, size_t size);

/* ---- decoding ---- */

/* The bytes that a token stands for; none for ids and for tokens outside the vocabulary. */
lm_text lm_tokenizer_text(const lm_tokenizer *t, int32_t token);
/* Bytes of text that tokens begin .. begin + count - 1 stand for. */
int64_t lm_tokenizer_measure(const lm_tokenizer *t, const lm_tokens *tokens, int64_t begin,
                             int64_t count);
/* Appends the text of tokens. */
bool lm_tokenizer_decode(const lm_tokenizer *t, const lm_tokens *tokens, lm_bytes *text, char *err);

/* ---- encoding ---- */

/* Encoders remember the words they have seen, so one is kept for a long text, and one a thread. */
typedef struct lm_encoder lm_encoder;

/* NULL when the tokenizer has no text, or the SentencePiece library cannot be opened. Not to be
 * called from several threads at once. lm_encoder_free releases it, before the tokenizer. */
lm_encoder *lm_encoder_new(lm_tokenizer *t, char *err);
void lm_encoder_free(lm_encoder *e); /* NULL is allowed */

/* Appends the tokens of a text to `array`, elements of the tokenizer's width. */
bool lm_encode(lm_encoder *e, lm_text text, lm_bytes *array, char *err);
/* The same for a short text, with an encoder of its own. */
bool lm_tokenizer_encode(lm_tokenizer *t, lm_text text, lm_bytes *array, char *err);
/* The array as tokens. */
lm_tokens lm_tokenizer_view(const lm_tokenizer *t, const lm_bytes *array);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_TOKENIZER_H_ */
