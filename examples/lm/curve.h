/* Curves of a run's record, thin enough to draw: a run may have millions of steps, and a picture
 * has under a thousand columns. */
#ifndef RILL_EXAMPLES_LM_CURVE_H_
#define RILL_EXAMPLES_LM_CURVE_H_

#include "examples/lm/chart.h"
#include "examples/lm/runlog.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LM_CURVE_COLUMNS = 800, LM_CURVE_POINTS = LM_CURVE_COLUMNS + 2, LM_CURVE_DOTS = 80 };

/* What a curve is drawn against; the last two add up over the steps. */
typedef enum { LM_BY_STEP, LM_BY_TOKENS, LM_BY_SECONDS } lm_curve_axis;

/* The place of each record on that axis: x [records]. */
void lm_curve_x(const lm_record *record, int64_t records, lm_curve_axis axis, double *x);

/* The running mean of the training loss, over 2 % of the run, times scale: point [LM_CURVE_POINTS],
 * x as above. Returns how many points there are. */
int64_t lm_curve_mean(const lm_record *record, int64_t records, const double *x, double scale,
                      lm_point *point);
/* The validations: point [records]. */
int64_t lm_curve_validation(const lm_record *record, int64_t records, const double *x, double scale,
                            lm_point *point);

/* Widens low and high (NAN at first) to the points whose x is `from` or more. */
void lm_curve_frame(const lm_point *point, int64_t count, double from, double *low, double *high);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_CURVE_H_ */
