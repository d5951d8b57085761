/* Text as bytes, split into what is trained on and what is held out.
 *
 * A corpus is a file or a folder. Its documents are the folder's files or, for one file and for few
 * files, blocks of some tens of kilobytes cut at the ends of paragraphs. Every n-th document is
 * held out for validation; which ones depends on the seed alone. The training documents lie one
 * after the other in memory, and so do the others:
 *
 *   file      | d0 | d1 | d2 | d3 | d4 | d5 | d6 | d7 |      every = 4, first = 2
 *   train     | d0 | d1 | d3 | d4 | d5 | d7 |
 *   validation| d2 | d6 |
 *
 * A file of a folder is followed by one zero byte, which a model can learn as the end of a text. */
#ifndef RILL_EXAMPLES_LM_CORPUS_H_
#define RILL_EXAMPLES_LM_CORPUS_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint64_t seed;                  /* which documents are held out */
  int64_t every;                  /* one in so many is; 0 = 20 */
  const char *validation;         /* a file or folder to validate on: then nothing is held out */
  const struct rill_files *files; /* how files are read; NULL = the operating system */
} lm_corpus_opts;

typedef struct {
  const uint8_t *bytes;
  int64_t count;
} lm_text;

typedef struct {
  lm_text train, validation;
  int64_t files, train_documents, validation_documents;
  uint64_t fingerprint; /* of all bytes and of the split: a resumed run checks it */
} lm_corpus;

/* Reads all of it into memory. False when something is missing, unreadable, empty or too short to
 * split. lm_corpus_close after success. */
bool lm_corpus_open(lm_corpus *corpus, const char *path, lm_corpus_opts opts, char *err);
void lm_corpus_close(lm_corpus *corpus);

/* The bytes of a file, or of all files of a folder, without a split: for evaluation. Free them with
 * free((void *)text->bytes). An empty text is refused. */
bool lm_text_read(lm_text *text, const char *path, const struct rill_files *files, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_CORPUS_H_ */
