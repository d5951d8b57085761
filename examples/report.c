/* report: runs side by side, on one page.
 *
 *   report runs/rdn runs/gdn --out compare.html */
#include <stdio.h>
#include <stdlib.h>

#include "examples/lm/args.h"
#include "examples/lm/compare.h"

static struct { const char *out; } opt;

static const lm_option table[] = {
    {"out", LM_STRING, &opt.out, "report.html", .group = "Output", .help = "the page to write"},
    {0}};

static bool report(const lm_args *args, char *err) {
  int runs = args->operand_count, open = 0;
  lm_run *run = lm_alloc(runs, sizeof *run, err);
  bool ok = run != NULL;
  for (; ok && open < runs; open++) {
    ok = lm_run_open(&run[open], args->operand[open], err);
    const lm_runlog_damage *d = &run[open].damage;
    if (ok && d->lines > 0)
      fprintf(stderr, "report: %s: line %lld: %s (%lld damaged lines are left out)\n",
              run[open].name, (long long)d->first, d->why, (long long)d->lines);
  }
  ok = ok && lm_compare_write(opt.out, run, runs, err);
  if (ok) {
    lm_compare_print(stdout, run, runs);
    printf("page: %s\n", opt.out);
  }
  for (int i = 0; i < open; i++) lm_run_close(&run[i]);
  free(run);
  return ok;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "report",
                  .summary =
                      "Compares runs of pretrain: losses against steps, tokens and time, "
                      "results, and the settings that differ. A run is its folder, or its "
                      "log.jsonl; one that is still going on may be looked at.",
                  .operands = "RUN...",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0 && args.operand_count == 0) {
    lm_fail(err, "which runs? Name their folders: report RUN...");
    code = 2;
  } else if (code < 0) {
    code = report(&args, err) ? 0 : 1;
  }
  if (code > 0 && err[0]) fprintf(stderr, "report: %s\n", err);
  lm_args_free(&args);
  return code;
}
