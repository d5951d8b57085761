/* Reading runs, and their results as text. The page is in compare_page.c. */
#include "examples/lm/compare.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/lm/curve.h"
#include "examples/lm/progress.h"

enum { SETTINGS_LIMIT = 1 << 20 };

/* Settings are a help: a file that cannot be read as JSON is as good as none. */
static void read_settings(lm_run *run, const char *path) {
  lm_bytes text = {0};
  char ignored[LM_ERROR_SIZE];
  if (lm_read_append(NULL, path, SETTINGS_LIMIT, &text, ignored))
    run->settings = json_loadb((const char *)text.data, (size_t)text.count, 0, NULL);
  if (!json_is_object((json_t *)run->settings)) {
    json_decref(run->settings);
    run->settings = NULL;
  }
  free(text.data);
}

bool lm_run_open(lm_run *run, const char *path, char *err) {
  struct stat s;
  lm_bytes text = {0};
  *run = (lm_run){.name = path};
  bool folder = stat(path, &s) == 0 && S_ISDIR(s.st_mode);
  char *log = lm_format(err, folder ? "%s/log.jsonl" : "%s", path);
  char *settings = folder ? lm_format(err, "%s/settings.json", path) : NULL;
  bool ok =
      log && lm_read_append(NULL, log, INT64_MAX / 2, &text, err) &&
      lm_runlog_salvage(text.data, text.count, &run->record, &run->records, &run->damage, err);
  if (ok && run->records == 0)
    ok = run->damage.lines > 0 ? lm_fail(err, "'%.300s' is not the log of a run: line %lld: %s",
                                         log, (long long)run->damage.first, run->damage.why)
                               : lm_fail(err, "'%.300s' holds no steps yet", log);
  if (ok && settings) read_settings(run, settings);
  free(text.data);
  free(settings);
  free(log);
  return ok;
}

void lm_run_close(lm_run *run) {
  free(run->record);
  json_decref(run->settings);
  *run = (lm_run){0};
}

lm_run_result lm_run_end(const lm_run *run) {
  lm_run_result r = {.loss = (double)NAN, .last = (double)NAN, .best = (double)NAN};
  int64_t tail = run->records / 50 + 1, counted = 0;
  double sum = 0;
  for (int64_t i = 0; i < run->records; i++) {
    const lm_record *s = &run->record[i];
    r.steps = s->step;
    r.tokens += s->tokens;
    if (isfinite(s->seconds)) r.seconds += s->seconds;
    if (i >= run->records - tail && isfinite(s->loss)) sum += s->loss, counted++;
    if (!isfinite(s->validation)) continue;
    r.last = s->validation;
    if (!(r.best <= s->validation)) r.best = s->validation, r.best_step = s->step;
  }
  if (counted > 0) r.loss = sum / (double)counted;
  return r;
}

void lm_compare_print(FILE *out, const lm_run *run, int runs) {
  int wide = 4;
  for (int i = 0; i < runs; i++)
    if ((int)strlen(run[i].name) > wide) wide = (int)strlen(run[i].name);
  fprintf(out, "%-*s %10s %8s %8s %10s %10s %10s %10s\n", wide, "run", "steps", "tokens", "time",
          "training", "validation", "best", "at step");
  for (int i = 0; i < runs; i++) {
    lm_run_result r = lm_run_end(&run[i]);
    char tokens[32], time[32];
    lm_count_format((double)r.tokens, tokens, sizeof tokens);
    lm_time_format(r.seconds, time, sizeof time);
    fprintf(out, "%-*s %10lld %8s %8s %10.4f ", wide, run[i].name, (long long)r.steps, tokens, time,
            r.loss);
    if (isnan(r.last))
      fprintf(out, "%10s %10s %10s\n", "-", "-", "-");
    else
      fprintf(out, "%10.4f %10.4f %10lld\n", r.last, r.best, (long long)r.best_step);
  }
}
