/* The page of one run, and its heat map, which the terminal shows too. */
#include "examples/lm/recall_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "examples/lm/chart.h"
#include "examples/lm/heatmap.h"
#include "examples/lm/html.h"
#include "examples/lm/page.h"

/* ---- depth by length ---- */

typedef struct {
  int64_t columns, rows;
  double *length, *depth, *value; /* [columns], [rows], [rows, columns] */
} grid;

static void grid_free(grid *g) {
  free(g->length);
  free(g->depth);
  free(g->value);
}

/* Where x is among the first *count of list, which is in order; it is put in when it is not there.
 */
static int64_t place_of(double *list, int64_t *count, double x) {
  int64_t i = 0;
  while (i < *count && list[i] < x) i++;
  if (i < *count && list[i] == x) return i;
  for (int64_t j = (*count)++; j > i; j--) list[j] = list[j - 1];
  list[i] = x;
  return i;
}

/* The first value of each depth and length. */
static bool grid_new(grid *g, const lm_recall_line *line, int64_t lines, char *err) {
  *g = (grid){.length = lm_alloc(lines, sizeof *g->length, err),
              .depth = lm_alloc(lines, sizeof *g->depth, err)};
  for (int64_t i = 0; g->length && g->depth && i < lines; i++) {
    place_of(g->length, &g->columns, (double)line[i].length);
    place_of(g->depth, &g->rows, line[i].depth);
  }
  g->value = g->length && g->depth ? lm_alloc(g->rows * g->columns, sizeof *g->value, err) : NULL;
  if (!g->value) {
    grid_free(g);
    return false;
  }
  for (int64_t i = 0; i < g->rows * g->columns; i++) g->value[i] = (double)NAN;
  for (int64_t i = lines - 1; i >= 0; i--) {
    int64_t row = place_of(g->depth, &g->rows, line[i].depth);
    int64_t column = place_of(g->length, &g->columns, (double)line[i].length);
    g->value[row * g->columns + column] = line[i].whole;
  }
  return true;
}

void lm_recall_grid_print(FILE *out, const lm_recall_line *line, int64_t lines) {
  char err[LM_ERROR_SIZE];
  grid g;
  if (!grid_new(&g, line, lines, err)) return;
  fprintf(out, "%8s", "depth");
  for (int64_t i = 0; i < g.columns; i++) fprintf(out, "%8.0f", g.length[i]);
  for (int64_t row = 0; row < g.rows; row++) {
    fprintf(out, "\n%8.2f", g.depth[row]);
    for (int64_t i = 0; i < g.columns; i++)
      fprintf(out, "%7.1f%%", 100 * g.value[row * g.columns + i]);
  }
  fputc('\n', out);
  grid_free(&g);
}

static bool write_heatmap(FILE *out, const lm_recall_line *line, int64_t lines, char *err) {
  grid g;
  if (!grid_new(&g, line, lines, err)) return false;
  lm_heatmap map = {.title = "answers that are right, by depth and length",
                    .x_label = "length of the example, in tokens",
                    .y_label = "depth of the needle",
                    .columns = g.columns,
                    .rows = g.rows,
                    .x = g.length,
                    .y = g.depth,
                    .value = g.value};
  fputs("<section><h2>Answers that are right</h2>\n", out);
  lm_heatmap_write(out, &map);
  fputs("</section>\n", out);
  grid_free(&g);
  return true;
}

/* ---- the loss ---- */

static bool write_loss(FILE *out, const lm_record *record, int64_t records, char *err) {
  lm_point *train = lm_alloc(records, sizeof *train, err);
  lm_point *test = lm_alloc(records, sizeof *test, err);
  int64_t trains = 0, tests = 0;
  double high = 0;
  for (int64_t i = 0; train && test && i < records; i++) {
    if (isfinite(record[i].loss))
      train[trains++] = (lm_point){(double)record[i].step, record[i].loss};
    if (isfinite(record[i].validation))
      test[tests++] = (lm_point){(double)record[i].step, record[i].validation};
    if (record[i].loss > high) high = record[i].loss;
    if (record[i].validation > high) high = record[i].validation;
  }
  bool done = train && test;
  if (done && trains > 0) {
    const lm_line line[] = {
        {.style = "c0", .name = "training", .point = train, .count = trains},
        {.style = "c1", .name = "test", .point = test, .count = tests, .dots = true}};
    lm_chart chart = {.title = "loss by step",
                      .x_label = "step",
                      .y_label = "nats a target",
                      .x_low = 0,
                      .x_high = (double)record[records - 1].step,
                      .y_low = 0,
                      .y_high = high,
                      .line = line,
                      .lines = 2,
                      .level = (double)NAN};
    fputs(
        "<section><h2>Loss</h2>\n<p class=\"legend\"><span class=\"k0\">training</span>"
        "<span class=\"k1\">test</span></p>\n",
        out);
    lm_chart_write(out, &chart);
    fputs("</section>\n", out);
  }
  free(train);
  free(test);
  return done;
}

/* ---- the page ---- */

static void write_table(FILE *out, const lm_recall_line *line, int64_t lines) {
  fputs(
      "<section><h2>Tests</h2>\n<table>\n<tr><th>length</th><th>pairs</th><th>rewrites</th>"
      "<th>depth</th><th>accuracy</th><th>whole examples</th><th>nats</th><th>examples</th></tr>\n",
      out);
  for (int64_t i = 0; i < lines; i++) {
    const lm_recall_line *l = &line[i];
    fprintf(out, "<tr><td>%" PRId64 "</td><td>%" PRId64 "</td><td>%" PRId64 "</td><td>", l->length,
            l->pairs, l->rewrites);
    if (l->depth >= 0) fprintf(out, "%.2f", l->depth);
    fprintf(out, "</td><td>%.4f</td><td>%.4f</td><td>%.4f</td><td>%" PRId64 "</td></tr>\n",
            l->accuracy, l->whole, l->nats, l->examples);
  }
  fputs("</table></section>\n", out);
}

bool lm_recall_report_write(const char *path, const lm_recall_line *line, int64_t lines,
                            const lm_record *record, int64_t records, char *err) {
  char title[160], summary[400];
  lm_page page;
  snprintf(title, sizeof title, "%s: %s", line->task, line->model);
  snprintf(summary, sizeof summary,
           "%" PRId64 " layers of width %" PRId64 ", %" PRId64 " parameters, %" PRId64
           " numbers in the states; %" PRId64 " steps of %" PRId64
           " examples, learning rate %g, seed %" PRId64 ", %.0f seconds.",
           line->layers, line->width, line->parameters, line->state, line->steps, line->batch,
           line->lr, line->seed, line->seconds);
  if (!lm_page_begin(&page, title, summary, err)) return false;
  char why[LM_ERROR_SIZE];
  bool done = line->depth < 0 || write_heatmap(page.out, line, lines, why);
  write_table(page.out, line, lines);
  done = done && (records == 0 || write_loss(page.out, record, records, why));
  return lm_page_write(&page, path, err) && (done || lm_fail(err, "%s", why));
}
