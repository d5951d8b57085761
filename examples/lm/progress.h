/* What the terminal shows of a run: what runs where, then a line a step.
 *
 *   device    cpu, 2 threads
 *   model     rdn, 3.2M parameters
 *
 *   step 12/500 | loss 3.214 | norm 0.92 | lr 3.0e-04 | 41.2 ms | 38.1% MFU | 199k tok/s | eta 20s
 *
 * On a terminal the newest step stands behind a bar in the last row and is overwritten; every so
 * many steps one is left standing. Elsewhere only those are printed, as plain lines. */
#ifndef RILL_EXAMPLES_LM_PROGRESS_H_
#define RILL_EXAMPLES_LM_PROGRESS_H_

#include <stdio.h>

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t step, steps; /* of steps 1 .. steps */
  double loss, norm, lr;
  double seconds; /* the step took */
  int64_t tokens; /* it trained on */
  double mfu;     /* part of the machine's peak that was used, 0 .. 1; 0 leaves the field out */
  int64_t memory_bytes; /* peak; 0 leaves the field out */
  double eta;           /* seconds to go; lm_progress_step works it out itself */
} lm_step;

typedef struct {
  FILE *out;
  bool quiet;     /* nothing but lm_progress_say is printed */
  bool terminal;  /* out is one: draw a bar */
  int64_t every;  /* leave a line standing every so many steps; the first and last always */
  double average; /* seconds a step, of late */
  double drawn;   /* when the bar was drawn last */
  bool bar;       /* the last row is a bar now */
} lm_progress;

/* every = 0 means 10. */
lm_progress lm_progress_new(FILE *out, bool quiet, int64_t every);

/* A line of the banner: a name and what it is. Not when quiet. */
void lm_progress_fact(lm_progress *p, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A line of its own between the steps (a validation, a saved checkpoint). Not when quiet. */
void lm_progress_note(lm_progress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, also when quiet: results and warnings. */
void lm_progress_say(lm_progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lm_progress_step(lm_progress *p, const lm_step *s);
/* Work that has no steps: on a terminal a bar of the part that is done, 0 .. 1, and a text behind
 * it; elsewhere nothing. */
void lm_progress_part(lm_progress *p, double part, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes the bar away. Call it before anything else writes to `out`. */
void lm_progress_clear(lm_progress *p);

/* The step line, without a newline. */
void lm_step_format(const lm_step *s, char *line, size_t size);
/* 950, 199k, 3.2M, 1.55B */
void lm_count_format(double count, char *text, size_t size);
/* 812 kB, 1.2 GB (powers of 1000) */
void lm_memory_format(int64_t bytes, char *text, size_t size);
/* 20s, 3m05s, 2h10m, 4d03h */
void lm_time_format(double seconds, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_PROGRESS_H_ */
