/* Shared by the files of task: random choices, and the tasks by name. */
#ifndef RILL_EXAMPLES_LM_TASK_IMPL_H_
#define RILL_EXAMPLES_LM_TASK_IMPL_H_

#include "examples/lm/random.h"
#include "examples/lm/task.h"

extern const lm_task lm_task_mqar, lm_task_mqar_forget; /* task_mqar.c */
extern const lm_task lm_task_needle;                    /* task_needle.c */
extern const lm_task lm_task_needle_text;               /* task_needle_text.c */
extern const lm_task lm_task_copy;                      /* task_copy.c */
extern const lm_task lm_task_parity, lm_task_s3;        /* task_parity.c */

static inline uint64_t lm_task_next(lm_task_stream *s) { return lm_random(s->key, s->counter++); }
/* 0 .. n-1; n is small beside 2^64, so that the remainder's bias is nothing. */
static inline int64_t lm_task_below(lm_task_stream *s, int64_t n) {
  return (int64_t)(lm_task_next(s) % (uint64_t)n);
}
/* In [0, 1). */
static inline double lm_task_unit(lm_task_stream *s) {
  return (double)(lm_task_next(s) >> 11) * 0x1p-53;
}

/* "pairs must be from 1 to 8, not 9"; false. */
bool lm_task_refuse(char *err, const char *what, int64_t low, int64_t high, int64_t value);
/* Is the value in low .. high? Otherwise refuses. */
bool lm_task_range(char *err, const char *what, int64_t low, int64_t high, int64_t value);

#endif /* RILL_EXAMPLES_LM_TASK_IMPL_H_ */
