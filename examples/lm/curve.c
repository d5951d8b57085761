/* Curves. */
#include "examples/lm/curve.h"

#include <math.h>

#define MEAN_OF 0.02 /* part of the run that the running mean spans */

void lm_curve_x(const lm_record *record, int64_t records, lm_curve_axis axis, double *x) {
  double sum = 0;
  for (int64_t i = 0; i < records; i++) {
    double seconds = isfinite(record[i].seconds) ? record[i].seconds : 0;
    sum += axis == LM_BY_TOKENS ? (double)record[i].tokens : seconds;
    x[i] = axis == LM_BY_STEP ? (double)record[i].step : sum;
  }
}

/* The mean of the losses around record i, of as many before as after it except at the end; NAN if
 * none is finite. */
static double mean_around(const lm_record *record, int64_t records, int64_t i) {
  int64_t reach = (int64_t)(MEAN_OF / 2 * (double)records);
  if (reach > i) reach = i;
  int64_t end = i + reach + 1 < records ? i + reach + 1 : records, count = 0;
  double sum = 0;
  for (int64_t k = i - reach; k < end; k++) {
    if (!isfinite(record[k].loss)) continue;
    sum += record[k].loss;
    count++;
  }
  return count > 0 ? sum / (double)count : (double)NAN;
}

int64_t lm_curve_mean(const lm_record *record, int64_t records, const double *x, double scale,
                      lm_point *point) {
  const int64_t wide = (records + LM_CURVE_COLUMNS - 1) / LM_CURVE_COLUMNS;
  int64_t count = 0;
  for (int64_t i = 0; i < records; i++) {
    if (i % wide != 0 && i != records - 1) continue;
    double y = mean_around(record, records, i) * scale;
    if (!isnan(y)) point[count++] = (lm_point){x[i], y};
  }
  return count;
}

int64_t lm_curve_validation(const lm_record *record, int64_t records, const double *x, double scale,
                            lm_point *point) {
  int64_t count = 0;
  for (int64_t i = 0; i < records; i++)
    if (isfinite(record[i].validation))
      point[count++] = (lm_point){x[i], record[i].validation * scale};
  return count;
}

void lm_curve_frame(const lm_point *point, int64_t count, double from, double *low, double *high) {
  for (int64_t i = 0; i < count; i++) {
    if (point[i].x < from) continue;
    if (!(point[i].y >= *low)) *low = point[i].y;
    if (!(point[i].y <= *high)) *high = point[i].y;
  }
}
