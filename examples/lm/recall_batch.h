/* A batch of examples, and what the model makes of it: shared by training and testing. */
#ifndef RILL_EXAMPLES_LM_RECALL_BATCH_H_
#define RILL_EXAMPLES_LM_RECALL_BATCH_H_

#include "examples/lm/recall.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Examples are rows of `length` tokens. Those of a task of text are in the model's own tokens: rows
 * are then as long as the longest, and what is behind the end of a shorter one does not count. */
typedef struct {
  const lm_task *task;
  lm_task_shape shape;
  lm_tokenizer *tokenizer; /* of a task of text whose tokens are not bytes; else NULL */
  lm_encoder *encoder;
  lm_bytes scratch;
  int64_t size, room;      /* examples, and rows there is room for */
  int64_t length, rows;    /* tokens of an example, and targets that count in all of them */
  int32_t *input, *target; /* [size, length] */
  int64_t *row;            /* [rows]: where they are among the size x length */
  int32_t *answer;         /* [rows] */
} lm_recall_batch;

/* Room for `size` examples; `tokenizer` is the model's, or NULL. lm_recall_batch_free after either
 * result. */
bool lm_recall_batch_new(lm_recall_batch *b, const lm_task *task, const lm_task_shape *shape,
                         lm_tokenizer *tokenizer, int64_t size, char *err);
void lm_recall_batch_free(lm_recall_batch *b);

/* Makes examples index[0] .. index[count - 1] of a split; count is at most the size it was made
 * for. */
bool lm_recall_batch_fill(lm_recall_batch *b, uint64_t seed, lm_split split, const int64_t *index,
                          int64_t count, char *err);

/* What the output layer is given where it counts: [rows, width]. */
rill_tensor *lm_recall_hidden(const lm_model *model, const lm_recall_batch *b);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_RECALL_BATCH_H_ */
