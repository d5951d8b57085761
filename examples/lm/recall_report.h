/* Pages about what recall measured. */
#ifndef RILL_EXAMPLES_LM_RECALL_REPORT_H_
#define RILL_EXAMPLES_LM_RECALL_REPORT_H_

#include "examples/lm/recall_line.h"
#include "examples/lm/runlog.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One run: a heat map of depth and length where there are depths, all tests as a table, the loss.
 * The lines are of one task and model; at least one. */
bool lm_recall_report_write(const char *path, const lm_recall_line *line, int64_t lines,
                            const lm_record *record, int64_t records, char *err);

/* Many runs: for each task, length and number of pairs the accuracy against the size of the state,
 * a line for each model. Of runs that differ only in the learning rate the best counts, of runs
 * that differ only in the seed the mean. At least one line. */
bool lm_recall_plot_write(const char *path, const lm_recall_line *line, int64_t lines, char *err);

/* Depth (down) by length (across) as text for a terminal, a number of percent in each place. */
void lm_recall_grid_print(FILE *out, const lm_recall_line *line, int64_t lines);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_RECALL_REPORT_H_ */
