/* Settings as text, and the size of a model's memory. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/recall.h"

/* A number up to the next ':', ',' or end; *text moves there. */
static bool number(const char **text, double *value) {
  char *end;
  errno = 0;
  *value = strtod(*text, &end);
  bool ends = *end == ':' || *end == ',' || *end == '\0';
  bool good = end != *text && ends && errno == 0 && *value > 0 && *value <= 1e9;
  *text = end;
  return good;
}

/* One setting; *text moves to the ',' or the end behind it. */
static bool one_setting(const char **text, lm_recall_setting *setting) {
  double part[3] = {0, 0, 1};
  int parts = 0;
  do {
    if (parts == 3 || !number(text, &part[parts++])) return false;
  } while (**text == ':' && (*text)++);
  if (part[0] != floor(part[0]) || part[1] != floor(part[1])) return false;
  setting->shape.length = (int64_t)part[0];
  if (parts > 1) setting->shape.pairs = (int64_t)part[1];
  setting->weight = part[2];
  return true;
}

bool lm_recall_settings(const lm_task *task, const lm_task_shape *like, const char *label,
                        const char *text, lm_recall_setting **list, int64_t *count, char *err) {
  *list = NULL;
  *count = 0;
  const char *whole = text;
  for (bool more = true; more; more = *text == ',' && text++) {
    lm_recall_setting *grown = lm_resize(*list, *count + 1, sizeof **list, err);
    if (!grown) break;
    *list = grown;
    lm_recall_setting *s = &grown[*count];
    *s = (lm_recall_setting){.shape = *like, .weight = 1};
    if (!one_setting(&text, s)) {
      lm_fail(err,
              "%s: expected LENGTH:PAIRS:WEIGHT, ... (the last two may be left out), got '%.80s'",
              label, whole);
      break;
    }
    if (!lm_task_resolve(task, &s->shape, err)) {
      lm_fail(err, "%s: %s", label, err);
      break;
    }
    (*count)++;
    if (*text == '\0') return true;
  }
  free(*list);
  *list = NULL;
  *count = 0;
  return false;
}

int64_t lm_recall_state(const rill_lm_config *c, int64_t length) {
  if (!c->parts.rule.name) return c->layers * 2 * c->groups * c->key_size * length;
  int64_t states = c->parts.rule.residual == RILL_RESIDUAL_FITTED ? 2 : 1;
  return c->layers * c->heads * c->key_size * (c->value_size + c->parts.normaliser) * states;
}
