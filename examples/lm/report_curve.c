/* The loss curve: every step's loss in the background, a running mean in front, validation as dots.
 *
 * A run may have millions of steps and the picture has under a thousand columns: of each column's
 * steps the least and the greatest loss are kept, so that no spike is lost. The first steps, which
 * fall from 8 bits, would leave the rest flat: the frame is chosen from what comes after them. */
#include <math.h>
#include <stdlib.h>

#include "examples/lm/curve.h"
#include "examples/lm/report_impl.h"

enum { COLUMNS = LM_CURVE_COLUMNS };
#define BITS (1 / 0.69314718055994530942) /* in a nat */
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

/* Of the curves, and of what chooses the frame. */
static void smooth_and_validate(const lm_report *r, const double *x, curve *c) {
  const double scale = scale_of(r), from = BEGINNING * x[r->records - 1];
  c->means = lm_curve_mean(r->record, r->records, x, scale, c->mean);
  c->validations = lm_curve_validation(r->record, r->records, x, scale, c->validation);
  lm_curve_frame(c->mean, c->means, from, &c->low, &c->high);
  lm_curve_frame(c->validation, c->validations, from, &c->low, &c->high);
}

static void draw(FILE *out, const lm_report *r, const curve *c) {
  const lm_line line[] = {
      {"raw", "training, each step", c->raw, c->raws, false},
      {"train", "training, running mean", c->mean, c->means, false},
      {"validation", "validation", c->validation, c->validations, c->validations <= LM_CURVE_DOTS},
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
  c.mean = lm_alloc(LM_CURVE_POINTS, sizeof *c.mean, err);
  c.validation = lm_alloc(r->records, sizeof *c.validation, err);
  double *x = lm_alloc(r->records, sizeof *x, err);
  bool ok = x && c.raw && c.mean && c.validation;
  if (ok) {
    thin_out(r, &c);
    lm_curve_x(r->record, r->records, LM_BY_STEP, x);
    smooth_and_validate(r, x, &c);
    lm_point level = {0, r->trigram_bits_per_byte};
    if (isfinite(level.y)) lm_curve_frame(&level, 1, 0, &c.low, &c.high);
    if (c.means > 0) draw(out, r, &c);
  }
  free(x);
  free(c.raw);
  free(c.mean);
  free(c.validation);
  return ok;
}
