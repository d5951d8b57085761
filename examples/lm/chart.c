/* One picture of fixed size, which the page scales:
 *
 *        LEFT                              WIDTH - RIGHT
 *   TOP    +-----------------------------------+
 *          |  lines, cut off at the frame      |
 *          +-----------------------------------+  HEIGHT - BOTTOM
 *          0    200    400    600    800    1000
 */
#include "examples/lm/chart.h"

#include <math.h>
#include <string.h>

#include "examples/lm/html.h"
#include "examples/lm/progress.h"

enum { WIDTH = 900, HEIGHT = 400, LEFT = 58, RIGHT = 16, TOP = 14, BOTTOM = 46, LETTER = 8 };

typedef struct {
  double low, high, tick;
  bool log; /* these are exponents of 2 */
} axis;

double lm_chart_tick(double low, double high, int parts) {
  double rough = (high - low) / parts;
  if (!(rough > 0) || isinf(rough)) return 1;
  double power = pow(10, floor(log10(rough)));
  double lead = rough / power;
  return power * (lead <= 1.5 ? 1 : lead <= 3.5 ? 2 : lead <= 7.5 ? 5 : 10);
}

static axis round_axis(double low, double high, int parts) {
  if (!(high > low)) low -= 0.5, high = low + 1;
  axis a = {.tick = lm_chart_tick(low, high, parts)};
  a.low = floor(low / a.tick + 1e-9) * a.tick;
  a.high = ceil(high / a.tick - 1e-9) * a.tick;
  return a;
}

static axis power_axis(double low, double high) {
  axis a = {.low = floor(log2(low) + 1e-9), .high = ceil(log2(high) - 1e-9), .log = true};
  if (!(a.high > a.low)) a.low -= 1, a.high += 1;
  a.tick = ceil((a.high - a.low) / 12);
  return a;
}

static double at_x(const axis *a, double x) {
  if (a->log) x = log2(x);
  return LEFT + (x - a->low) / (a->high - a->low) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const axis *a, double y) {
  return HEIGHT - BOTTOM - (y - a->low) / (a->high - a->low) * (HEIGHT - TOP - BOTTOM);
}

static void write_x_axis(FILE *out, const axis *x) {
  for (int i = 0; x->low + i * x->tick <= x->high + 0.01 * x->tick; i++) {
    double value = x->low + i * x->tick;
    if (x->log) value = exp2(value);
    double px = at_x(x, value);
    if (px > WIDTH - RIGHT + 1) break;
    char text[32];
    if (fabs(value) >= (x->log ? 1e6 : 1e4))
      lm_count_format(value, text, sizeof text);
    else
      snprintf(text, sizeof text, "%g", value);
    fprintf(out,
            "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
            "<text class=\"label\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            px, px, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5,
            fmin(px, WIDTH - LETTER * (double)strlen(text) / 2), HEIGHT - BOTTOM + 19, text);
  }
}

static void write_y_axis(FILE *out, const axis *y) {
  int digits = y->tick >= 0.999 ? 0 : (int)ceil(-log10(y->tick) - 1e-9);
  for (int i = 0; y->low + i * y->tick <= y->high + 0.01 * y->tick; i++) {
    double value = y->low + i * y->tick, py = at_y(y, value);
    fprintf(out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n",
            LEFT, WIDTH - RIGHT, py, py, LEFT - 8, py + 4, digits, value);
  }
}

static void write_line(FILE *out, const lm_line *line, const axis *x, const axis *y) {
  fprintf(out, "<polyline class=\"%s\" points=\"", line->style);
  for (int64_t i = 0; i < line->count; i++)
    fprintf(out, "%.1f,%.1f ", at_x(x, line->point[i].x), at_y(y, line->point[i].y));
  fputs("\"><title>", out);
  lm_html_text(out, line->name);
  fputs("</title></polyline>\n", out);
  for (int64_t i = 0; line->dots && i < line->count; i++) {
    fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\"><title>", line->style,
            at_x(x, line->point[i].x), at_y(y, line->point[i].y));
    lm_html_text(out, line->name);
    fprintf(out, " %.4f at %g</title></circle>\n", line->point[i].y, line->point[i].x);
  }
}

static void write_level(FILE *out, const lm_chart *c, const axis *y) {
  double py = at_y(y, c->level);
  fprintf(out,
          "<line class=\"level\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
          "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
          LEFT, WIDTH - RIGHT, py, py, WIDTH - RIGHT - 6, py - 6);
  lm_html_text(out, c->level_name);
  fprintf(out, " %.3f</text>\n", c->level);
}

void lm_chart_write(FILE *out, const lm_chart *c) {
  axis x = c->x_log ? power_axis(c->x_low, c->x_high) : round_axis(c->x_low, c->x_high, 8);
  axis y = round_axis(c->y_low, c->y_high, 6);
  if (!c->x_log && c->x_high > c->x_low)
    x.low = c->x_low, x.high = c->x_high; /* its ends need not be round */
  fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
  lm_html_text(out, c->title);
  fprintf(out,
          "\">\n<defs><clipPath id=\"frame\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>"
          "</clipPath></defs>\n",
          LEFT, TOP - 4, WIDTH - LEFT - RIGHT + 4, HEIGHT - TOP - BOTTOM + 4);
  write_y_axis(out, &y);
  write_x_axis(out, &x);
  fprintf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT,
          WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
  fprintf(out, "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
          (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6);
  lm_html_text(out, c->x_label);
  fprintf(out,
          "</text>\n<text class=\"label\" transform=\"translate(13 %d) rotate(-90)\" "
          "text-anchor=\"middle\">",
          (TOP + HEIGHT - BOTTOM) / 2);
  lm_html_text(out, c->y_label);
  fputs("</text>\n<g clip-path=\"url(#frame)\">\n", out);
  for (int i = 0; i < c->lines; i++) write_line(out, &c->line[i], &x, &y);
  if (isfinite(c->level)) write_level(out, c, &y);
  fputs("</g>\n</svg>\n", out);
}
