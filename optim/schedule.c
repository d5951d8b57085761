/* Learning-rate schedules. */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

static const double PI = 3.14159265358979323846;
static const char *const NAMES[] = {"constant", "linear", "cosine", "wsd"};
enum { KINDS = sizeof NAMES / sizeof NAMES[0], DECAY_SHARE = 5 };

/* How far step i is from `from` (0) to `to` (1). */
static double progress(int64_t i, int64_t from, int64_t to) {
  if (i >= to) return 1;
  return i <= from ? 0 : (double)(i - from) / (double)(to - from);
}

double rill_schedule_at(const rill_schedule *s, int64_t step) {
  int64_t decay = s->decay > 0 ? s->decay : s->total / DECAY_SHARE;
  if (step < s->warmup) return s->peak * (double)(step + 1) / (double)s->warmup;
  switch (s->kind) {
    case RILL_SCHEDULE_CONSTANT:
      break;
    case RILL_SCHEDULE_LINEAR:
      return s->peak + (s->low - s->peak) * progress(step, s->warmup, s->total);
    case RILL_SCHEDULE_COSINE:
      return s->low +
             (s->peak - s->low) * 0.5 * (1 + cos(PI * progress(step, s->warmup, s->total)));
    case RILL_SCHEDULE_WSD: {
      int64_t start = s->total - decay > s->warmup ? s->total - decay : s->warmup;
      return s->peak + (s->low - s->peak) * progress(step, start, s->total);
    }
  }
  return s->peak;
}

bool rill_schedule_find(const char *name, rill_schedule_kind *kind) {
  for (int i = 0; i < KINDS; i++) {
    if (strcmp(NAMES[i], name) != 0) continue;
    *kind = (rill_schedule_kind)i;
    return true;
  }
  return false;
}

const char *rill_schedule_name(rill_schedule_kind kind) {
  return (int)kind >= 0 && (int)kind < KINDS ? NAMES[kind] : "?";
}
