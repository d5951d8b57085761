/* Options of a program, from one table: the command line, a JSON file and --help all read it.
 *
 *   static struct { int64_t steps; double lr; bool resume; const char *data; } opt;
 *   static const lm_option table[] = {
 *     {"data",  LM_STRING, &opt.data,  NULL,   .group = "Text", .help = "a file or a folder"},
 *     {"steps", LM_INT,    &opt.steps, "1000", .min = 1, .max = 1e9, .help = "updates to make"},
 *     {"lr",    LM_FLOAT,  &opt.lr,    "3e-4", .min = 0, .max = 1, .help = "peak learning rate"},
 *     {0}};
 *
 * Written as --lr 3e-4 or --lr=3e-4; a flag as --resume, --resume=false or --no-resume. Two names
 * are always there: --help, and --config FILE, a JSON object whose keys are the names. A later
 * source wins: default, file, command line. '-' and '_' in a name are the same. */
#ifndef RILL_EXAMPLES_LM_ARGS_H_
#define RILL_EXAMPLES_LM_ARGS_H_

#include <stdio.h>

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  LM_FLAG,   /* bool */
  LM_INT,    /* int64_t; 4e6 is understood too */
  LM_FLOAT,  /* double */
  LM_STRING, /* const char * */
  LM_CHOICE, /* const char *, one of the words of `choices` */
} lm_option_kind;

typedef struct {
  const char *name; /* without dashes; NULL ends the table */
  lm_option_kind kind;
  void *value;          /* the variable; its type is in lm_option_kind */
  const char *fallback; /* the default as one would type it; NULL = false, 0 or NULL */
  const char *group;    /* heading in --help; NULL = that of the option before */
  const char *help;
  double min, max;     /* of numbers, both included; both 0 = anything finite */
  const char *choices; /* of LM_CHOICE: "cosine|linear|constant" */
} lm_option;

typedef enum { LM_FROM_DEFAULT, LM_FROM_CONFIG, LM_FROM_COMMAND } lm_option_source;

typedef struct {
  /* filled in by the program */
  const char *program;     /* "pretrain" */
  const char *summary;     /* one or more sentences for --help */
  const char *operands;    /* what may follow the options, "FILE..."; NULL = nothing */
  const lm_option *option; /* the table */
  /* filled in by lm_args_parse */
  bool help;      /* --help was given; nothing was checked after it */
  char **operand; /* the arguments that are no options */
  int operand_count;
  const char *config;    /* --config, or NULL */
  unsigned char *source; /* lm_option_source of each option */
  void *json;            /* owns the strings that came from the file */
} lm_args;

/* Sets every variable of the table. False for an unknown option or key (the message names the
 * nearest known one), a missing value, or one of another type or range (it names the option, what
 * was expected and what came). lm_args_free after either. */
bool lm_args_parse(lm_args *args, int argc, char **argv, char *err);

/* Does what every main wants: parses; after --help prints it and returns 0, after an error prints
 * that and returns 2; otherwise returns -1, and the program goes on. */
int lm_args_main(lm_args *args, int argc, char **argv);

/* The text of --help: options by group, with defaults. */
void lm_args_help(const lm_args *args, FILE *out);

/* Where the option's value came from. Names not in the table are LM_FROM_DEFAULT. */
lm_option_source lm_args_source(const lm_args *args, const char *name);

/* The value as one would type it; "" for a string that is NULL. */
void lm_args_value(const lm_option *option, char *text, size_t size);

/* All values as a JSON file that --config reads back. Strings that are NULL are left out. */
bool lm_args_save(const lm_args *args, const char *path, char *err);

/* Releases what lm_args_parse made: strings that came from a file are gone then. */
void lm_args_free(lm_args *args);

/* The word of a list that is nearest to `word` by edit distance, or NULL when none is near. The
 * list ends with NULL. For messages about other names than options. */
const char *lm_nearest(const char *word, const char *const *known);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_ARGS_H_ */
