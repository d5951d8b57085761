/* What is trained on and what is held out, as streams of tokens.
 *
 * A corpus is text (a file or a folder of files) or shards of tokens (a .bin file or a folder of
 * them, as prepare or llm.c's scripts write; see shard.h).
 *
 * Text: its documents are the folder's files or, for one file and for few files, blocks of some
 * tens of kilobytes cut at the ends of paragraphs. Every n-th document is held out for validation;
 * which ones depends on the seed alone. The training documents lie one after the other in memory,
 * and so do the others:
 *
 *   file      | d0 | d1 | d2 | d3 | d4 | d5 | d6 | d7 |      every = 4, first = 2
 *   train     | d0 | d1 | d3 | d4 | d5 | d7 |
 *   validation| d2 | d6 |
 *
 * A file of a folder is followed by the token that ends a document.
 *
 * Shards: those whose name says "val" are held out. If there is none, or none but those, blocks of
 * all shards are, as above, where they lie: a stream has a part for each stretch between them. */
#ifndef RILL_EXAMPLES_LM_CORPUS_H_
#define RILL_EXAMPLES_LM_CORPUS_H_

#include "examples/lm/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint64_t seed;                  /* which documents are held out */
  int64_t every;                  /* one in so many is; 0 = 20 */
  const char *validation;         /* a file or folder to validate on: then nothing is held out */
  const struct rill_files *files; /* how text files are read; NULL = the operating system */
  lm_tokenizer_spec tokenizer;    /* for text, and for shards that come without; zero = bytes */
  /* Of shards whose tokenizer is not known: 0 = the largest token, rounded up to a multiple of 128
   */
  int64_t vocabulary;
  int64_t end; /* and the token that ends a document of theirs; 0 or less = not known */
} lm_corpus_opts;

typedef struct {
  lm_tokenizer *tokenizer;
  lm_parts train, validation;
  /* Of text. Of shards they count stretches and are not known. */
  int64_t files, train_documents, validation_documents;
  uint64_t fingerprint; /* of the tokens and of the split: a resumed run checks it */
  bool shards;
  lm_bytes array[2];       /* where tokens of text lie: to train on, held out */
  struct lm_shard *mapped; /* [mapped_count] */
  int64_t mapped_count;
} lm_corpus;

/* Opens text (all of it is read into memory) or shards (which are mapped). False when something is
 * missing, unreadable, empty or too short to split. lm_corpus_close after success. */
bool lm_corpus_open(lm_corpus *corpus, const char *path, lm_corpus_opts opts, char *err);
void lm_corpus_close(lm_corpus *corpus);

/* The same without a split, for evaluation: all of it is the validation stream, in tokens of `t`,
 * which stays the caller's. Shards must have come from the same tokenizer, as far as that is known.
 */
bool lm_corpus_open_whole(lm_corpus *corpus, const char *path, lm_tokenizer *t, char *err);

/* The text that a stream stands for, up to `most` tokens. Empty when tokens have no text. */
bool lm_corpus_text(const lm_corpus *corpus, const lm_parts *stream, int64_t most, lm_bytes *text,
                    char *err);

/* The bytes of a file, or of all files of a folder, without a split. Free them with
 * free((void *)text->bytes). An empty text is refused. */
bool lm_text_read(lm_text *text, const char *path, const struct rill_files *files, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_CORPUS_H_ */
