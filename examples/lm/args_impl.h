/* Shared by the files of args: setting one option from text or from JSON. */
#ifndef RILL_EXAMPLES_LM_ARGS_IMPL_H_
#define RILL_EXAMPLES_LM_ARGS_IMPL_H_

#include <jansson.h>

#include "examples/lm/args.h"

/* The option of that name ('-' and '_' are the same), or NULL. The name ends at `length`. */
const lm_option *lm_option_find(const lm_option *table, const char *name, size_t length);

/* Sets the variable; `label` is how the user knows the option: "--lr", "run.json: lr". */
bool lm_option_set_text(const lm_option *o, const char *label, const char *text, char *err);
bool lm_option_set_json(const lm_option *o, const char *label, const json_t *value, char *err);
void lm_option_set_zero(const lm_option *o);

/* Reads the --config file into args. */
bool lm_args_read_config(lm_args *args, const char *path, char *err);

/* "unknown option '--lrr'; did you mean '--lr'?"; `prefix` is "--" or "". False. */
bool lm_option_unknown(const lm_option *table, const char *what, const char *prefix,
                       const char *name, char *err);

#endif /* RILL_EXAMPLES_LM_ARGS_IMPL_H_ */
