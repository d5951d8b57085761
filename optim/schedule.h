/* Learning rates as a function of the step. */
#ifndef RILL_OPTIM_SCHEDULE_H_
#define RILL_OPTIM_SCHEDULE_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  RILL_SCHEDULE_CONSTANT = 0,
  RILL_SCHEDULE_LINEAR, /* falls from peak to low along a line */
  RILL_SCHEDULE_COSINE, /* falls from peak to low along half a cosine */
  RILL_SCHEDULE_WSD,    /* warm-up, stable, decay: stays at peak, then falls to low along a line */
} rill_schedule_kind;

/* All kinds rise in the first `warmup` steps, step i having peak (i + 1) / warmup. Then progress is
 * (i - warmup) / (total - warmup), so that peak holds at i = warmup and low from i = total on. */
typedef struct {
  rill_schedule_kind kind;
  double peak, low;
  int64_t warmup; /* steps; 0 = none */
  int64_t total;  /* steps in all; not used by CONSTANT */
  int64_t decay;  /* WSD: length of the fall at the end; 0 = a fifth of total */
} rill_schedule;

/* The rate of step i = 0, 1, ...; a pure function. */
double rill_schedule_at(const rill_schedule *schedule, int64_t step);

/* "constant", "linear", "cosine", "wsd"; false when there is no schedule of that name. */
bool rill_schedule_find(const char *name, rill_schedule_kind *kind);
const char *rill_schedule_name(rill_schedule_kind kind);

#ifdef __cplusplus
}
#endif

#endif /* RILL_OPTIM_SCHEDULE_H_ */
