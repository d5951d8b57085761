/* The calls that Rill makes of the SentencePiece library, as a table.
 *
 * The library is C++ and exists only as shared objects, so what is compiled against it
 * (sentencepiece.cc) is a shared object of its own, librill_sentencepiece.so, which tokenizer.c
 * opens when a tokenizer needs it: a program that does not use one starts without either. */
#ifndef RILL_EXAMPLES_LM_SENTENCEPIECE_H_
#define RILL_EXAMPLES_LM_SENTENCEPIECE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *kind; /* "bpe" or "unigram" */
  int64_t vocabulary;
  /* Hands out the next sentence; false after the last. */
  bool (*next)(void *user, const char **text, size_t *bytes);
  /* Takes the model. */
  bool (*emit)(void *user, const void *model, size_t bytes);
  void *user;
} lm_sentencepiece_training;

/* Messages go to err, LM_ERROR_SIZE bytes. No exception leaves these. */
typedef struct {
  /* A processor of the model, or NULL. */
  void *(*load)(const void *model, size_t bytes, char *err);
  void (*release)(void *processor);
  /* Writes the first `room` ids of the text and returns how many there are; -1 after an error. May
   * be called from several threads at once. */
  int64_t (*encode)(const void *processor, const char *text, size_t bytes, int32_t *ids,
                    int64_t room);
  bool (*train)(const lm_sentencepiece_training *how, char *err);
} lm_sentencepiece;

/* What the shared object exports: a function of this name and type. */
#define LM_SENTENCEPIECE_ENTRY "lm_sentencepiece_table"
const lm_sentencepiece *lm_sentencepiece_table(void);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SENTENCEPIECE_H_ */
