/* The end of a run as one HTML file that needs nothing else: the loss curve, what the model wrote,
 * its bits per byte beside those of a trigram letter model, and all settings. */
#ifndef RILL_EXAMPLES_LM_REPORT_H_
#define RILL_EXAMPLES_LM_REPORT_H_

#include "examples/lm/runlog.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *name, *value;
} lm_fact;

typedef struct {
  const char *title;   /* "rdn, 3.2M parameters" */
  const char *summary; /* a sentence below it; NULL = none */
  const lm_record *record;
  int64_t records;        /* 0 = no curve */
  double bytes_per_token; /* of the text, for losses are nats per token; 0 = 1, NAN = not known */
  /* Of the validation text. NAN leaves one out. */
  double bits_per_byte, trigram_bits_per_byte;
  const lm_fact *fact; /* a few results to show large: parameters, tokens, time */
  int facts;
  const lm_fact *setting; /* the table at the end */
  int settings;
  /* Any bytes; what the model was given, and what it wrote after that. */
  const void *prompt, *sample;
  size_t prompt_bytes, sample_bytes;
} lm_report;

/* Writes the file, atomically. Losses are shown as bits per byte, or as nats per token
 * where bytes are not known. */
bool lm_report_write(const char *path, const lm_report *report, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_REPORT_H_ */
