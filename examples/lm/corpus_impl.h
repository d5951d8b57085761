/* Shared by the files of corpus. */
#ifndef RILL_EXAMPLES_LM_CORPUS_IMPL_H_
#define RILL_EXAMPLES_LM_CORPUS_IMPL_H_

#include "examples/lm/corpus.h"
#include "examples/lm/walk.h"

enum { LM_KEPT, LM_HELD }; /* lm_corpus.array: to train on, held out */

/* How many documents, or blocks, one is held out of, and which of them. */
typedef struct {
  int64_t every, first;
} lm_split;
lm_split lm_split_of(const lm_corpus_opts *opts, int64_t documents);
static inline bool lm_split_holds(lm_split s, int64_t document) {
  return document % s.every == s.first;
}

/* Text into corpus->array; the tokenizer is made if there is none. `path` is one to train on, and
 * to hold out of unless opts->validation is there; or, with `whole`, all of it is held out. */
bool lm_corpus_text_open(lm_corpus *corpus, const char *path, const lm_corpus_opts *opts,
                         bool whole, char *err);

/* The shards that a path stands for: a shard, or a folder with .bin files. False is no error,
 * unless *failed says so. */
bool lm_corpus_shards_find(const char *path, lm_paths *found, bool *failed, char *err);
/* Maps them and adds them to the streams. */
bool lm_corpus_shards_open(lm_corpus *corpus, const char *path, const lm_paths *found,
                           const lm_corpus_opts *opts, bool whole, char *err);

#endif /* RILL_EXAMPLES_LM_CORPUS_IMPL_H_ */
