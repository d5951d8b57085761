/* What came out of one test, as a line of JSON:
 *
 *   {"task": "mqar", "model": "rdn", "length": 128, "pairs": 8, ..., "accuracy": 0.9981, ...}
 *
 * Lines of many runs make a table, a chart of accuracy against state size, or a heat map. */
#ifndef RILL_EXAMPLES_LM_RECALL_LINE_H_
#define RILL_EXAMPLES_LM_RECALL_LINE_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LM_NAME_SIZE = 48 };

typedef struct {
  char task[LM_NAME_SIZE], model[LM_NAME_SIZE];
  int64_t length, pairs, rewrites, vocab; /* the task */
  double depth;                           /* of a needle; -1 = anywhere */
  int64_t width, layers, heads, conv;     /* the model */
  int64_t parameters, state;              /* numbers in all its weights, in its states */
  int64_t steps, batch, seed;             /* its training; 0 steps = it came from elsewhere */
  double lr, seconds;
  double accuracy, whole,
      nats; /* of targets; of examples with all targets right; a target's loss */
  int64_t examples;
} lm_recall_line;

/* The line with its newline. False when memory is short, or a number is not finite. */
bool lm_recall_line_print(const lm_recall_line *line, lm_bytes *text, char *err);

/* Reads lines back. Keys that are not known are left alone; one that is missing is 0 or empty, but
 * for "task", "model" and "accuracy", which must be there. `name` is for messages: the file's. A
 * last line that was cut off is left out. *lines is released with free, also after false. */
bool lm_recall_lines_parse(const char *name, const char *text, size_t size, lm_recall_line **lines,
                           int64_t *count, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_RECALL_LINE_H_ */
