/* A table of numbers from 0 to 1 as inline SVG, darker where they are larger. Colours come from the
 * page, by class: .cell, .value and .label. */
#ifndef RILL_EXAMPLES_LM_HEATMAP_H_
#define RILL_EXAMPLES_LM_HEATMAP_H_

#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *title, *x_label, *y_label;
  int64_t columns, rows;
  const double *x, *y; /* [columns] and [rows]: what the columns and rows stand for */
  const double *value; /* [rows, columns]; NAN = not known */
} lm_heatmap;

void lm_heatmap_write(FILE *out, const lm_heatmap *map);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_HEATMAP_H_ */
