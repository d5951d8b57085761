/* Shared by the files of report: the loss curve. */
#ifndef RILL_EXAMPLES_LM_REPORT_IMPL_H_
#define RILL_EXAMPLES_LM_REPORT_IMPL_H_

#include "examples/lm/report.h"

/* Writes the legend and the chart; nothing when no loss is finite. */
bool lm_report_curve(FILE *out, const lm_report *report, char *err);

#endif /* RILL_EXAMPLES_LM_REPORT_IMPL_H_ */
