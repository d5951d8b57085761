/* The command line, and what main does with its outcome. */
#include "examples/lm/args.h"

#include <stdlib.h>
#include <string.h>

#include "examples/lm/args_impl.h"

/* The options there always are. They have no variables: the parser handles them by name. */
static const lm_option built_in[] = {
    {.name = "config",
     .kind = LM_STRING,
     .help = "a JSON file with options; the command line wins"},
    {.name = "help", .kind = LM_FLAG, .help = "print this and exit"},
    {0}};

static int table_size(const lm_option *table) {
  int n = 0;
  while (table[n].name) n++;
  return n;
}

static void mark(lm_args *args, const lm_option *o, lm_option_source source) {
  args->source[o - args->option] = (unsigned char)source;
}

static bool set_defaults(lm_args *args, char *err) {
  for (const lm_option *o = args->option; o->name; o++) {
    lm_option_set_zero(o);
    if (o->fallback && !lm_option_set_text(o, o->name, o->fallback, err)) return false;
  }
  return true;
}

/* The value after '=', or else the next argument, which must not look like another option. */
static const char *value_of(const char *argument, const char *equals, int argc, char **argv,
                            int *at, char *err) {
  if (equals) return equals + 1;
  if (*at + 1 >= argc) {
    lm_fail(err, "%.200s needs a value", argument);
    return NULL;
  }
  const char *next = argv[*at + 1];
  if (strncmp(next, "--", 2) == 0 && next[2] != '\0') {
    lm_fail(err,
            "%.100s needs a value, and '%.100s' looks like an option; if it is the value, "
            "write %.100s=%.100s",
            argument, next, argument, next);
    return NULL;
  }
  ++*at;
  return next;
}

/* One argument that begins with "--". */
static bool parse_option(lm_args *args, int argc, char **argv, int *at, char *err) {
  const char *argument = argv[*at], *name = argument + 2;
  const char *equals = strchr(name, '=');
  size_t length = equals ? (size_t)(equals - name) : strlen(name);
  char label[128];
  snprintf(label, sizeof label, "--%.*s", (int)(length < 120 ? length : 120), name);
  const lm_option *extra = lm_option_find(built_in, name, length);
  if (extra && extra->kind == LM_FLAG) {
    args->help = true;
    return true;
  }
  if (extra) /* --config was read before all others */
    return value_of(label, equals, argc, argv, at, err) != NULL;
  const lm_option *o = lm_option_find(args->option, name, length);
  if (!o && !equals && length > 3 && strncmp(name, "no-", 3) == 0) {
    o = lm_option_find(args->option, name + 3, length - 3);
    if (o && o->kind == LM_FLAG) {
      mark(args, o, LM_FROM_COMMAND);
      *(bool *)o->value = false;
      return true;
    }
    o = NULL;
  }
  if (!o) return lm_option_unknown(args->option, "option", "--", label + 2, err);
  mark(args, o, LM_FROM_COMMAND);
  if (o->kind == LM_FLAG && !equals) {
    *(bool *)o->value = true;
    return true;
  }
  const char *value = value_of(label, equals, argc, argv, at, err);
  return value && lm_option_set_text(o, label, value, err);
}

/* --config, wherever it stands, and --help. */
static bool find_built_in(lm_args *args, int argc, char **argv, char *err) {
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) args->help = true;
    if (strcmp(argv[i], "--config") == 0) {
      args->config = value_of("--config", NULL, argc, argv, &i, err);
      if (!args->config) return false;
    } else if (strncmp(argv[i], "--config=", 9) == 0) {
      args->config = argv[i] + 9;
    }
  }
  return true;
}

static bool add_operand(lm_args *args, char *argument, char *err) {
  if (!args->operands)
    return lm_fail(err, "'%.200s' is no option (they begin with --), and %s takes nothing else",
                   argument, args->program);
  args->operand[args->operand_count++] = argument;
  return true;
}

bool lm_args_parse(lm_args *args, int argc, char **argv, char *err) {
  args->help = false;
  args->config = NULL;
  args->json = NULL;
  args->operand_count = 0;
  args->operand = NULL;
  args->source = lm_alloc(table_size(args->option), 1, err);
  if (!args->source) return false;
  args->operand = lm_alloc(argc, sizeof *args->operand, err);
  if (!args->operand || !set_defaults(args, err) || !find_built_in(args, argc, argv, err))
    return false;
  if (args->help) return true;
  if (args->config && !lm_args_read_config(args, args->config, err)) return false;
  bool rest = false; /* after "--" all are operands */
  for (int i = 1; i < argc; i++) {
    if (!rest && strcmp(argv[i], "--") == 0)
      rest = true;
    else if (!rest && strncmp(argv[i], "--", 2) == 0) {
      if (!parse_option(args, argc, argv, &i, err)) return false;
    } else if (!rest && argv[i][0] == '-' && argv[i][1] != '\0') {
      return lm_fail(err, "unknown option '%.100s': options begin with two dashes; see --help",
                     argv[i]);
    } else if (!add_operand(args, argv[i], err)) {
      return false;
    }
  }
  return true;
}

int lm_args_main(lm_args *args, int argc, char **argv) {
  char err[LM_ERROR_SIZE];
  bool ok = lm_args_parse(args, argc, argv, err);
  if (ok && !args->help) return -1;
  if (ok)
    lm_args_help(args, stdout);
  else
    fprintf(stderr, "%s: %s\n", args->program, err);
  lm_args_free(args);
  return ok ? 0 : 2;
}

lm_option_source lm_args_source(const lm_args *args, const char *name) {
  const lm_option *o = lm_option_find(args->option, name, strlen(name));
  return o ? (lm_option_source)args->source[o - args->option] : LM_FROM_DEFAULT;
}

void lm_args_free(lm_args *args) {
  free(args->source);
  free(args->operand);
  json_decref(args->json);
  args->source = NULL;
  args->operand = NULL;
  args->json = NULL;
}

/* ---- --help ---- */

static const char *value_word(const lm_option *o) {
  switch (o->kind) {
    case LM_FLAG:
      return "";
    case LM_INT:
      return " N";
    case LM_FLOAT:
      return " X";
    case LM_STRING:
      return " TEXT";
    case LM_CHOICE:
      return " WORD";
  }
  return "";
}

static void help_line(const lm_option *o, int width, FILE *out) {
  char left[80];
  snprintf(left, sizeof left, "--%s%s", o->name, value_word(o));
  fprintf(out, "  %-*s  %s", width, left, o->help ? o->help : "");
  if (o->choices) fprintf(out, ": %s", o->choices);
  if (o->fallback && !(o->kind == LM_FLAG && strcmp(o->fallback, "false") == 0))
    fprintf(out, " [%s]", o->fallback);
  fputc('\n', out);
}

void lm_args_help(const lm_args *args, FILE *out) {
  int width = 0;
  for (const lm_option *o = args->option; o->name; o++) {
    int n = (int)strlen(o->name) + 2 + (int)strlen(value_word(o));
    if (n > width) width = n;
  }
  if (width < 13) width = 13; /* --config TEXT */
  fprintf(out, "usage: %s [options]%s%s\n\n%s\n", args->program, args->operands ? " " : "",
          args->operands ? args->operands : "", args->summary);
  const char *group = NULL;
  for (const lm_option *o = args->option; o->name; o++) {
    if (o->group && (!group || strcmp(group, o->group) != 0))
      fprintf(out, "\n%s:\n", group = o->group);
    else if (o == args->option)
      fprintf(out, "\nOptions:\n");
    help_line(o, width, out);
  }
  fprintf(out, "\nGeneral:\n");
  for (const lm_option *o = built_in; o->name; o++) help_line(o, width, out);
  fprintf(out, "\nDefaults are in brackets. A flag is turned off by --no-NAME.\n");
}
