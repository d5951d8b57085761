/* The loss curve: every step's loss in the background, a running mean in front, validation as dots.
 *
 * A run may have millions of steps and the picture has under a thousand columns: of each column's
 * steps the least and the greatest loss are kept, so that no spike is lost. The first steps, which
 * fall from 8 bits, would leave the rest flat: the frame is chosen from what comes after them. */
#include <math.h>
#include <stdlib.h>

#include "examples/lm/chart.h"
#include "examples/lm/report_impl.h"

enum { COLUMNS = 800, MOST_DOTS = 80 };
#define BITS (1 / 0.69314718055994530942) /* in a nat */
#define MEAN_OF 0.02                      /* part of the run that the running mean spans */
#define BEGINNING 0.04                    /* part of the run that does not choose the frame */

typedef struct {
  lm_point *raw, *mean, *validation;
  int64_t raws, means, validations;
  double low, high; /* of what chooses the frame */
} curve;

/* From nats per token to what is shown. */
static double scale_of(const lm_report *r) {
  if (isnan(r->bytes_per_token)) return 1;
  return r->bytes_per_token > 0 ? BITS / r->bytes_per_token : BITS;
}

static void widen(curve *c, double y) {
  if (!(y >= c->low)) c->low = y;
  if (!(y <= c->high)) c->high = y;
}

/* Puts the least and the greatest of each column, in the order they came. */
static void thin_out(const lm_report *r, curve *c) {
  const double scale = scale_of(r);
  const int64_t wide = (r->records + COLUMNS - 1) / COLUMNS;
  for (int64_t begin = 0; begin < r->records; begin += wide) {
    int64_t end = begin + wide < r->records ? begin + wide : r->records, least = -1, most = -1;
    for (int64_t i = begin; i < end; i++) {
      double y = r->record[i].loss;
      if (!isfinite(y)) continue;
      if (least < 0 || y < r->record[least].loss) least = i;
      if (most < 0 || y > r->record[most].loss) most = i;
    }
    const int64_t pick[2] = {least < most ? least : most, least < most ? most : least};
    for (int k = least == most ? 1 : 0; k < 2 && least >= 0; k++) {
      const lm_record *s = &r->record[pick[k]];
      c->raw[c->raws++] = (lm_point){(double)s->step, s->loss * scale};
    }
  }
}

/* The mean of the losses around record i, of as many before as after it except at the end; NAN if
 * none is finite. */
static double mean_around(const lm_report *r, int64_t i) {
  int64_t reach = (int64_t)(MEAN_OF / 2 * (double)r->records);
  if (reach > i) reach = i;
  int64_t end = i + reach + 1 < r->records ? i + reach + 1 : r->records, count = 0;
  double sum = 0;
  for (int64_t k = i - reach; k < end; k++) {
    if (!isfinite(r->record[k].loss)) continue;
    sum += r->record[k].loss;
    count++;
  }
  return count > 0 ? sum / (double)count : NAN;
}

static void smooth(const lm_report *r, curve *c) {
  const double scale = scale_of(r);
  const int64_t wide = (r->records + COLUMNS - 1) / COLUMNS;
  for (int64_t i = 0; i < r->records; i++) {
    if (i % wide != 0 && i != r->records - 1) continue;
    double y = mean_around(r, i) * scale;
    if (isnan(y)) continue;
    c->mean[c->means++] = (lm_point){(double)r->record[i].step, y};
    if (i >= (int64_t)(BEGINNING * (double)r->records)) widen(c, y);
  }
}

static void validate(const lm_report *r, curve *c) {
  const double scale = scale_of(r);
  for (int64_t i = 0; i < r->records; i++) {
    const lm_record *s = &r->record[i];
    if (!isfinite(s->validation)) continue;
    c->validation[c->validations++] = (lm_point){(double)s->step, s->validation * scale};
    if (i >= (int64_t)(BEGINNING * (double)r->records)) widen(c, s->validation * scale);
  }
}

static void draw(FILE *out, const lm_report *r, const curve *c) {
  const lm_line line[] = {
      {"raw", "training, each step", c->raw, c->raws, false},
      {"train", "training, running mean", c->mean, c->means, false},
      {"validation", "validation", c->validation, c->validations, c->validations <= MOST_DOTS},
  };
  bool bits = !isnan(r->bytes_per_token);
  double margin = 0.04 * (c->high - c->low);
  lm_chart chart = {
      .title = bits ? "Bits per byte by step" : "Nats per token by step",
      .x_label = "step",
      .y_label = bits ? "bits per byte" : "nats per token",
      .x_high = (double)r->record[r->records - 1].step,
      .y_low = fmax(0, c->low - margin),
      .y_high = c->high + margin,
      .line = line,
      .lines = 3,
      .level = r->trigram_bits_per_byte,
      .level_name = "trigram letters",
  };
  fputs(
      "<p class=\"legend\"><span class=\"raw\">training, each step</span>"
      "<span class=\"train\">running mean</span>",
      out);
  if (c->validations > 0) fputs("<span class=\"validation\">validation</span>", out);
  fputs("</p>\n", out);
  lm_chart_write(out, &chart);
}

bool lm_report_curve(FILE *out, const lm_report *r, char *err) {
  curve c = {.low = NAN, .high = NAN};
  c.raw = lm_alloc(2 * COLUMNS + 2, sizeof *c.raw, err);
  c.mean = lm_alloc(COLUMNS + 2, sizeof *c.mean, err);
  c.validation = lm_alloc(r->records, sizeof *c.validation, err);
  bool ok = c.raw && c.mean && c.validation;
  if (ok) {
    thin_out(r, &c);
    smooth(r, &c);
    validate(r, &c);
    if (isfinite(r->trigram_bits_per_byte)) widen(&c, r->trigram_bits_per_byte);
    if (c.means > 0) draw(out, r, &c);
  }
  free(c.raw);
  free(c.mean);
  free(c.validation);
  return ok;
}
