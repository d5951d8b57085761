/* The record of a run: a file of JSON lines in its folder, one object a step.
 *
 *   {"step": 12, "loss": 3.21, "norm": 0.92, "lr": 0.0003, "seconds": 0.04, "tokens": 8192}
 *   {"step": 13, ..., "validation": 3.3}
 *
 * Each line reaches the system before the next step begins, so that a killed run has lost none. A
 * resumed run takes the file up at its checkpoint's step: the lines after it are cut off, and the
 * record is as if the run had never stopped. */
#ifndef RILL_EXAMPLES_LM_RUNLOG_H_
#define RILL_EXAMPLES_LM_RUNLOG_H_

#include <math.h>
#include <stdio.h>

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t step;      /* 1, 2, ...: each greater than the last */
  double loss;       /* nats per token, of training; NAN = unknown */
  double norm, lr;   /* of the gradient, before clipping; NAN = unknown */
  double seconds;    /* the step took */
  int64_t tokens;    /* it trained on */
  double validation; /* nats per token; NAN = not measured at this step */
  bool skipped;      /* the update was not applied: its gradient was not finite */
} lm_record;

typedef struct {
  FILE *file;
  char *path;
  int64_t last; /* step of the last line */
} lm_runlog;

/* Opens the log to go on after `step`, keeping the lines up to it; 0 begins a new one, in place of
 * any there was. False when it cannot be read or written, or is not a log. */
bool lm_runlog_open(lm_runlog *log, const char *path, int64_t step, char *err);
/* Adds a line. False for a step not after the last one, or when the disk is full: the line is
 * absent or incomplete then, and reading or resuming ignores it. */
bool lm_runlog_write(lm_runlog *log, const lm_record *record, char *err);
bool lm_runlog_close(lm_runlog *log, char *err);

/* Reads a log. *records is released with free. A last line that is incomplete (the run was killed,
 * or is being written) is left out; any other that is not a record is an error with its number. */
bool lm_runlog_read(const char *path, lm_record **records, int64_t *count, char *err);

/* What is wrong with a log that was read all the same. */
typedef struct {
  int64_t lines;   /* were left out */
  int64_t first;   /* the first of them, counted from 1; 0 = none */
  const char *why; /* what is wrong with it */
} lm_runlog_damage;

/* Reads the bytes of a log as far as they are one: lines that are no records, and those whose step
 * is not after the one before, are left out and counted in *damage. An incomplete last line is no
 * damage. False only without memory. */
bool lm_runlog_salvage(const void *bytes, int64_t size, lm_record **records, int64_t *count,
                       lm_runlog_damage *damage, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_RUNLOG_H_ */
