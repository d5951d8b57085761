/* The page. Every run has a colour: its running mean is a line, its validations a dashed one.
 * Losses are nats per token, which runs with the same tokenizer have in common. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/compare.h"
#include "examples/lm/curve.h"
#include "examples/lm/html.h"
#include "examples/lm/page.h"
#include "examples/lm/progress.h"

#define BEGINNING 0.04 /* part of a run that does not choose the frame */

/* ---- charts ---- */

typedef struct {
  lm_line *line; /* [2 * runs] */
  char (*style)[16];
  int lines;
  double right, low, high;
} picture;

static bool add_line(picture *p, const lm_run *run, int index, const double *x, bool validation,
                     char *err) {
  int64_t room = validation ? run->records : LM_CURVE_POINTS;
  lm_point *point = lm_alloc(room, sizeof *point, err);
  if (!point) return false;
  int64_t count = validation ? lm_curve_validation(run->record, run->records, x, 1, point)
                             : lm_curve_mean(run->record, run->records, x, 1, point);
  double from = x[0] + BEGINNING * (x[run->records - 1] - x[0]);
  lm_curve_frame(point, count, from, &p->low, &p->high);
  char *style = p->style[p->lines];
  snprintf(style, sizeof p->style[0], validation ? "c%d dashed" : "c%d", index % LM_PAGE_COLOURS);
  p->line[p->lines++] =
      (lm_line){style, run->name, point, count, validation && count <= LM_CURVE_DOTS};
  return true;
}

static bool add_run(picture *p, const lm_run *run, int index, lm_curve_axis axis, double unit,
                    char *err) {
  double *x = lm_alloc(run->records, sizeof *x, err);
  if (!x) return false;
  lm_curve_x(run->record, run->records, axis, x);
  for (int64_t i = 0; i < run->records; i++) x[i] /= unit;
  if (x[run->records - 1] > p->right) p->right = x[run->records - 1];
  bool ok = add_line(p, run, index, x, false, err) && add_line(p, run, index, x, true, err);
  free(x);
  return ok;
}

static bool write_chart(FILE *out, const lm_run *run, int runs, lm_curve_axis axis, double unit,
                        const char *title, const char *label, char *err) {
  picture p = {.low = (double)NAN, .high = (double)NAN};
  p.line = lm_alloc(2 * (int64_t)runs, sizeof *p.line, err);
  p.style = lm_alloc(2 * (int64_t)runs, sizeof *p.style, err);
  bool ok = p.line && p.style;
  for (int i = 0; ok && i < runs; i++) ok = add_run(&p, &run[i], i, axis, unit, err);
  if (ok && !isnan(p.low)) {
    double margin = 0.04 * (p.high - p.low);
    lm_chart chart = {.title = title,
                      .x_label = label,
                      .y_label = "nats per token",
                      .x_high = p.right,
                      .y_low = fmax(0, p.low - margin),
                      .y_high = p.high + margin,
                      .line = p.line,
                      .lines = p.lines,
                      .level = (double)NAN};
    fputs("<section><h2>", out);
    lm_html_text(out, title);
    fputs("</h2>\n", out);
    lm_chart_write(out, &chart);
    fputs("</section>\n", out);
  }
  for (int i = 0; i < p.lines; i++) free((void *)p.line[i].point);
  free(p.line);
  free(p.style);
  return ok;
}

static bool write_charts(FILE *out, const lm_run *run, int runs, char *err) {
  double longest = 0;
  for (int i = 0; i < runs; i++) longest = fmax(longest, lm_run_end(&run[i]).seconds);
  double unit = longest > 7200 ? 3600 : longest > 120 ? 60 : 1;
  const char *label = unit == 3600 ? "hours of training"
                      : unit == 60 ? "minutes of training"
                                   : "seconds of training";
  fputs("<section><p class=\"legend\">", out);
  for (int i = 0; i < runs; i++) {
    fprintf(out, "<span class=\"k%d\">", i % LM_PAGE_COLOURS);
    lm_html_text(out, run[i].name);
    fputs("</span> ", out);
  }
  fputs("</p>Lines are running means of the training loss, dashed lines validations.</section>\n",
        out);
  return write_chart(out, run, runs, LM_BY_STEP, 1, "Loss by step", "step", err) &&
         write_chart(out, run, runs, LM_BY_TOKENS, 1, "Loss by tokens", "tokens", err) &&
         write_chart(out, run, runs, LM_BY_SECONDS, unit, "Loss by time", label, err);
}

/* ---- tables ---- */

static void cell(FILE *out, const char *tag, const char *text) {
  fprintf(out, "<%s>", tag);
  lm_html_text(out, text);
  fprintf(out, "</%s>", tag);
}

static void number_cell(FILE *out, double value) {
  char text[64] = "-";
  if (!isnan(value)) snprintf(text, sizeof text, "%.4f", value);
  cell(out, "td", text);
}

static void write_results(FILE *out, const lm_run *run, int runs) {
  static const char *const head[] = {"run",      "steps",      "tokens", "time",   "tokens/s",
                                     "training", "validation", "best",   "at step"};
  fputs("<section><h2>Results</h2>\n<table>\n<tr>", out);
  for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) cell(out, "th", head[i]);
  fputs("</tr>\n", out);
  for (int i = 0; i < runs; i++) {
    lm_run_result r = lm_run_end(&run[i]);
    char text[64];
    fputs("<tr>", out);
    cell(out, "td", run[i].name);
    snprintf(text, sizeof text, "%lld", (long long)r.steps);
    cell(out, "td", text);
    lm_count_format((double)r.tokens, text, sizeof text);
    cell(out, "td", text);
    lm_time_format(r.seconds, text, sizeof text);
    cell(out, "td", text);
    lm_count_format(r.seconds > 0 ? (double)r.tokens / r.seconds : 0, text, sizeof text);
    cell(out, "td", text);
    number_cell(out, r.loss);
    number_cell(out, r.last);
    number_cell(out, r.best);
    snprintf(text, sizeof text, "%lld", (long long)r.best_step);
    cell(out, "td", isnan(r.best) ? "-" : text);
    fputs("</tr>\n", out);
  }
  fputs("</table></section>\n", out);
}

static void write_damage(FILE *out, const lm_run *run, int runs) {
  for (int i = 0; i < runs; i++) {
    const lm_runlog_damage *d = &run[i].damage;
    if (d->lines == 0) continue;
    fputs("<section>", out);
    lm_html_text(out, run[i].name);
    fprintf(out, ": %lld damaged lines were left out; line %lld: ", (long long)d->lines,
            (long long)d->first);
    lm_html_text(out, d->why);
    fputs("</section>\n", out);
  }
}

/* ---- settings ---- */

static const json_t *setting(const lm_run *run, const char *key) {
  return json_object_get((const json_t *)run->settings, key);
}

/* Do the runs differ in it, in a way that is not only where they wrote to? */
static bool differs(const lm_run *run, int runs, const char *key) {
  if (strcmp(key, "out") == 0 || strcmp(key, "resume") == 0) return false;
  for (int i = 1; i < runs; i++) {
    const json_t *a = setting(&run[0], key), *b = setting(&run[i], key);
    if (a != b && !(a && b && json_equal(a, b))) return true;
  }
  return runs == 1;
}

/* Is there a run before this one that has the setting too? Then it has been written. */
static bool seen_before(const lm_run *run, int index, const char *key) {
  for (int i = 0; i < index; i++)
    if (setting(&run[i], key)) return true;
  return false;
}

static void write_setting(FILE *out, const lm_run *run, int runs, const char *key) {
  fputs("<tr>", out);
  cell(out, "td", key);
  for (int i = 0; i < runs; i++) {
    const json_t *v = setting(&run[i], key);
    char *text =
        v && !json_is_string(v) ? json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    cell(out, "td", json_is_string(v) ? json_string_value(v) : text ? text : "-");
    free(text);
  }
  fputs("</tr>\n", out);
}

static void write_settings(FILE *out, const lm_run *run, int runs) {
  bool any = false;
  for (int i = 0; i < runs; i++) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)run[i].settings, key, value) {
      if (seen_before(run, i, key) || !differs(run, runs, key)) continue;
      if (!any) {
        fputs(runs > 1 ? "<section><h2>Settings that differ</h2>\n<table>\n<tr><th></th>"
                       : "<section><h2>Settings</h2>\n<table>\n<tr><th></th>",
              out);
        for (int k = 0; k < runs; k++) cell(out, "th", run[k].name);
        fputs("</tr>\n", out);
      }
      any = true;
      write_setting(out, run, runs, key);
    }
  }
  if (any) fputs("</table></section>\n", out);
}

/* ---- the whole ---- */

bool lm_compare_write(const char *path, const lm_run *run, int runs, char *err) {
  lm_page page;
  char title[64];
  snprintf(title, sizeof title, runs == 1 ? "A run" : "%d runs", runs);
  if (!lm_page_begin(&page, title, NULL, err)) return false;
  bool ok = write_charts(page.out, run, runs, err);
  if (ok) {
    write_results(page.out, run, runs);
    write_damage(page.out, run, runs);
    write_settings(page.out, run, runs);
    return lm_page_write(&page, path, err);
  }
  fclose(page.out);
  free(page.text);
  return false;
}
