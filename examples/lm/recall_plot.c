/* The page of many runs.
 *
 *   lines -> sorted by (task, length, pairs, rewrites | model, state | lr, seed)
 *         -> mean over seeds (and depths) of a learning rate -> best of the learning rates: a point
 *         -> the points of a model: a line; of a task, length and number of pairs: a chart */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/chart.h"
#include "examples/lm/html.h"
#include "examples/lm/page.h"
#include "examples/lm/recall_report.h"

enum { MODELS = 64 };

static int order(double a, double b) { return (a > b) - (a < b); }

/* By chart. */
static int compare_chart(const lm_recall_line *a, const lm_recall_line *b) {
  int c = strcmp(a->task, b->task);
  if (c == 0) c = order((double)a->length, (double)b->length);
  if (c == 0) c = order((double)a->pairs, (double)b->pairs);
  return c != 0 ? c : order((double)a->rewrites, (double)b->rewrites);
}

/* By chart, model, and what stands for one point. */
static int compare_point(const lm_recall_line *a, const lm_recall_line *b) {
  int c = compare_chart(a, b);
  if (c == 0) c = strcmp(a->model, b->model);
  if (c == 0) c = order((double)a->state, (double)b->state);
  return c != 0 ? c : order((double)a->width, (double)b->width);
}

static int compare(const void *x, const void *y) {
  const lm_recall_line *a = x, *b = y;
  int c = compare_point(a, b);
  if (c == 0) c = order(a->lr, b->lr);
  return c != 0 ? c : order((double)a->seed, (double)b->seed);
}

/* A model at one size. */
typedef struct {
  const lm_recall_line *line; /* one of its runs */
  double accuracy, lr;        /* the best learning rate and its mean */
  int64_t results;            /* with it: seeds, and depths of a needle */
} point;

/* The point whose first line is *line; *line moves behind its last. */
static point next_point(const lm_recall_line **line, const lm_recall_line *end) {
  point p = {.line = *line, .accuracy = -1};
  while (*line < end && compare_point(p.line, *line) == 0) {
    const lm_recall_line *first = *line;
    double sum = 0;
    int64_t runs = 0;
    for (; *line < end && compare_point(first, *line) == 0 && (*line)->lr == first->lr; (*line)++)
      sum += (*line)->accuracy, runs++;
    if (sum / (double)runs <= p.accuracy) continue;
    p.accuracy = sum / (double)runs;
    p.lr = first->lr;
    p.results = runs;
  }
  return p;
}

static void write_points(FILE *out, const point *p, int64_t points) {
  fputs(
      "<table>\n<tr><th>model</th><th>width</th><th>state</th><th>parameters</th>"
      "<th>accuracy</th><th>learning rate</th><th>mean of</th></tr>\n",
      out);
  for (int64_t i = 0; i < points; i++) {
    fputs("<tr><td>", out);
    lm_html_text(out, p[i].line->model);
    fprintf(out,
            "</td><td>%" PRId64 "</td><td>%" PRId64 "</td><td>%" PRId64
            "</td><td>%.4f</td><td>%g</td><td>%" PRId64 "</td></tr>\n",
            p[i].line->width, p[i].line->state, p[i].line->parameters, p[i].accuracy, p[i].lr,
            p[i].results);
  }
  fputs("</table>\n", out);
}

static void write_chart(FILE *out, const point *p, int64_t points, lm_point *dot) {
  lm_line line[MODELS];
  char style[MODELS][8];
  int lines = 0;
  double low = INFINITY, high = 0;
  for (int64_t i = 0; i < points && lines <= MODELS; i++) {
    bool same = i > 0 && strcmp(p[i].line->model, p[i - 1].line->model) == 0;
    dot[i] = (lm_point){(double)p[i].line->state, p[i].accuracy};
    if (dot[i].x < 1) dot[i].x = 1;
    if (dot[i].x < low) low = dot[i].x;
    if (dot[i].x > high) high = dot[i].x;
    if (!same && lines == MODELS) break;
    if (!same) {
      snprintf(style[lines], sizeof style[lines], "c%d", lines % LM_PAGE_COLOURS);
      line[lines] = (lm_line){
          .style = style[lines], .name = p[i].line->model, .point = &dot[i], .dots = true};
      lines++;
    }
    line[lines - 1].count++;
  }
  fputs("<p class=\"legend\">", out);
  for (int i = 0; i < lines; i++) {
    fprintf(out, "<span class=\"k%d\">", i % LM_PAGE_COLOURS);
    lm_html_text(out, line[i].name);
    fputs("</span>", out);
  }
  fputs("</p>\n", out);
  lm_chart chart = {.title = "accuracy by size of the states",
                    .x_label = "numbers in the states of all layers (S and R where there are two)",
                    .y_label = "accuracy",
                    .x_low = low,
                    .x_high = high,
                    .x_log = true,
                    .y_low = 0,
                    .y_high = 1,
                    .line = line,
                    .lines = lines,
                    .level = (double)NAN};
  lm_chart_write(out, &chart);
}

/* One chart, of the lines from *line on; *line moves behind its last. */
static void write_section(FILE *out, const lm_recall_line **line, const lm_recall_line *end,
                          point *p, lm_point *dot) {
  const lm_recall_line *first = *line;
  int64_t points = 0;
  while (*line < end && compare_chart(first, *line) == 0) p[points++] = next_point(line, end);
  fputs("<section><h2>", out);
  lm_html_text(out, first->task);
  fprintf(out, ", length %" PRId64, first->length);
  if (first->pairs > 0) fprintf(out, ", %" PRId64 " pairs", first->pairs);
  if (first->rewrites > 0) fprintf(out, ", %" PRId64 " rewritten", first->rewrites);
  fputs("</h2>\n", out);
  write_chart(out, p, points, dot);
  write_points(out, p, points);
  fputs("</section>\n", out);
}

bool lm_recall_plot_write(const char *path, const lm_recall_line *line, int64_t lines, char *err) {
  static const char summary[] =
      "Of runs that differ in the learning rate alone the best is shown, of runs that differ in "
      "the "
      "seed alone (or in a needle's depth) the mean. RLA and RDN hold two states, S and R, and "
      "both are counted; what short "
      "convolutions remember is not. For softmax attention it is the cache of keys and values.";
  lm_page page;
  lm_recall_line *sorted = lm_alloc(lines, sizeof *sorted, err);
  point *p = lm_alloc(lines, sizeof *p, err);
  lm_point *dot = lm_alloc(lines, sizeof *dot, err);
  bool done = sorted && p && dot &&
              lm_page_begin(&page, "Accuracy against the size of the state", summary, err);
  if (done) {
    memcpy(sorted, line, (size_t)lines * sizeof *sorted);
    qsort(sorted, (size_t)lines, sizeof *sorted, compare);
    for (const lm_recall_line *next = sorted, *end = sorted + lines; next < end;)
      write_section(page.out, &next, end, p, dot);
    done = lm_page_write(&page, path, err);
  }
  free(sorted);
  free(p);
  free(dot);
  return done;
}
