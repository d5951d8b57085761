/* Row 0 is at the top; cells share the width that the labels leave. */
#include "examples/lm/heatmap.h"

#include <inttypes.h>
#include <math.h>

#include "examples/lm/html.h"

enum { WIDTH = 900, LEFT = 90, TOP = 10, BOTTOM = 46, ROW = 44, GAP = 2 };

static double clamp(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static void write_cell(FILE *out, const lm_heatmap *m, int64_t row, int64_t column, double size) {
  double value = m->value[row * m->columns + column];
  double x = LEFT + size * (double)column, y = TOP + ROW * (double)row;
  if (isnan(value)) return;
  fprintf(out,
          "<rect class=\"cell\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"3\" "
          "fill-opacity=\"%.3f\"><title>%.4f at %g, %g</title></rect>"
          "<text class=\"value\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f%%</text>\n",
          x, y, size - GAP, ROW - GAP, 0.04 + 0.7 * clamp(value), value, m->x[column], m->y[row],
          x + size / 2, y + ROW / 2 + 4, 100 * value);
}

void lm_heatmap_write(FILE *out, const lm_heatmap *m) {
  const int64_t height = TOP + ROW * m->rows + BOTTOM;
  const double size = (double)(WIDTH - LEFT) / (double)(m->columns > 0 ? m->columns : 1);
  fprintf(out, "<svg viewBox=\"0 0 %d %" PRId64 "\" role=\"img\" aria-label=\"", WIDTH, height);
  lm_html_text(out, m->title);
  fputs("\">\n", out);
  for (int64_t row = 0; row < m->rows; row++) {
    fprintf(out, "<text class=\"label\" x=\"%d\" y=\"%" PRId64 "\" text-anchor=\"end\">%g</text>\n",
            LEFT - 8, TOP + ROW * row + ROW / 2 + 4, m->y[row]);
    for (int64_t column = 0; column < m->columns; column++) write_cell(out, m, row, column, size);
  }
  for (int64_t column = 0; column < m->columns; column++)
    fprintf(out,
            "<text class=\"label\" x=\"%.1f\" y=\"%" PRId64 "\" text-anchor=\"middle\">%g</text>\n",
            LEFT + size * ((double)column + 0.5), height - BOTTOM + 16, m->x[column]);
  fprintf(out, "<text class=\"label\" x=\"%d\" y=\"%" PRId64 "\" text-anchor=\"middle\">",
          (LEFT + WIDTH) / 2, height - 8);
  lm_html_text(out, m->x_label);
  fprintf(out,
          "</text>\n<text class=\"label\" transform=\"translate(16 %" PRId64
          ") rotate(-90)\" text-anchor=\"middle\">",
          TOP + ROW * m->rows / 2);
  lm_html_text(out, m->y_label);
  fputs("</text>\n</svg>\n", out);
}
