/* Documents in files, as prepare reads them: a file of text is one; a file of JSON lines (.jsonl,
 * .ndjson) has one a line, in a field of the object.
 *
 * The files are cut into blocks of about a megabyte that can be encoded at once, each by another
 * thread: of text at line ends, of JSON lines between lines. What a block becomes does not depend
 * on which thread encodes it, or on the number of threads. */
#ifndef RILL_EXAMPLES_LM_DOCUMENTS_H_
#define RILL_EXAMPLES_LM_DOCUMENTS_H_

#include "examples/lm/tokenizer.h"
#include "examples/lm/walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The files to read, and where reading stands. */
typedef struct {
  const char *field; /* of JSON lines */
  lm_paths files;
  int64_t bytes; /* of all files */
  int64_t *size; /* [files.count] */
  int64_t next;  /* file to be opened next */
  lm_text *open; /* [files.count]: mapped as long as blocks point into them */
  int64_t at;    /* in file next - 1 */
  int64_t line;  /* lines before `at` */
} lm_documents;

typedef struct {
  lm_text text; /* in a mapped file */
  int64_t file, line;
  bool json;
  bool ends; /* of text: the last block of its document */
} lm_block;

/* What a block became. `ends` are int64_t, counts of tokens up to the end of each document; tokens
 * after the last belong to one that goes on in the next block. */
typedef struct {
  lm_bytes tokens, ends;
  int64_t bytes; /* of text, ends of documents included */
  char err[LM_ERROR_SIZE];
} lm_encoded;

/* All files of `count` paths, folders included, in order. False when one cannot be read.
 * lm_documents_close after either. */
bool lm_documents_open(lm_documents *d, int count, char *const *paths, const char *field,
                       char *err);
void lm_documents_close(lm_documents *d);

/* The next block; block->text.bytes is NULL after the last. False when a file cannot be read. */
bool lm_documents_next(lm_documents *d, lm_block *block, char *err);
/* Blocks returned so far are done with: their files are unmapped. */
void lm_documents_release(lm_documents *d);

/* Encodes a block into `out`, whose arrays are emptied first. False, and why in out->err, for a
 * line that is no JSON object with the field. Needs nothing that other threads change. */
bool lm_block_encode(const lm_documents *d, const lm_block *block, lm_encoder *e,
                     const lm_tokenizer *t, lm_encoded *out);
void lm_encoded_free(lm_encoded *out);

/* Text of all files, evenly, at most `most` bytes: to train a tokenizer on. */
bool lm_documents_sample(lm_documents *d, int64_t most, lm_bytes *text, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_DOCUMENTS_H_ */
