/* A line chart as inline SVG: axes with round numbers, a grid, lines, and one level to compare
 * with. Colours come from the page, by class: .raw .train .validation for lines and dots, .level,
 * .grid, .axis and .label. */
#ifndef RILL_EXAMPLES_LM_CHART_H_
#define RILL_EXAMPLES_LM_CHART_H_

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  double x, y;
} lm_point;

typedef struct {
  const char *style; /* its class */
  const char *name;  /* for readers of the page that see no lines */
  const lm_point *point;
  int64_t count;
  bool dots; /* one at each point, with its values as a tip */
} lm_line;

typedef struct {
  const char *title, *x_label, *y_label;
  double x_low, x_high, y_low, y_high; /* what is shown; widened to round numbers */
  bool x_log;                          /* powers of two along x, which is > 0 */
  const lm_line *line;
  int lines;
  double level; /* a dashed line across; NAN = none */
  const char *level_name;
} lm_chart;

void lm_chart_write(FILE *out, const lm_chart *chart);

/* The round number (1, 2 or 5 times a power of ten) that divides the range into about `parts`. */
double lm_chart_tick(double low, double high, int parts);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_CHART_H_ */
