/* Runs side by side: their records and settings, as a page and as a table. */
#ifndef RILL_EXAMPLES_LM_COMPARE_H_
#define RILL_EXAMPLES_LM_COMPARE_H_

#include <stdio.h>

#include "examples/lm/runlog.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *name; /* as it was given: a run's folder, or a log */
  lm_record *record;
  int64_t records;
  lm_runlog_damage damage;
  void *settings; /* JSON of settings.json; NULL: there is none */
} lm_run;

/* Reads what pretrain left in a folder (log.jsonl, settings.json), or a log alone. Lines that are
 * damaged are left out and counted; false when no line is left. lm_run_close after either. */
bool lm_run_open(lm_run *run, const char *path, char *err);
void lm_run_close(lm_run *run);

/* What a run came to. */
typedef struct {
  int64_t steps, tokens;
  double seconds;
  double loss;       /* of training, mean of the last 2 % of the steps; nats per token */
  double last, best; /* validation, nats per token; NAN = never measured */
  int64_t best_step;
} lm_run_result;
lm_run_result lm_run_end(const lm_run *run);

/* A line for each run. */
void lm_compare_print(FILE *out, const lm_run *run, int runs);
/* The page: losses against steps, tokens and time, results, and the settings that differ. */
bool lm_compare_write(const char *path, const lm_run *run, int runs, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_COMPARE_H_ */
