/* Tensors as text: a head line with dtype and shape, then the values in nested brackets.
 *
 *   f32 [2, 3]
 *   [[ 1.5,   nan, -2.25],
 *    [ 0. ,  12. ,  0.5 ]]
 *
 * More than 1000 elements are shortened to the first and last three of every axis. All shown
 * numbers get one format, with as many decimals (at most four) as they need, and one width. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/internal.h"

enum { SHORTEN_ABOVE = 1000, EDGE = 3, DECIMALS = 4, LINE = 96, CELL = 64 };

typedef struct {
  FILE *file;
  const rill_array *array;
  const char *values; /* row-major */
  bool shorten;
  bool scientific, point; /* point: whole numbers are shown as "1." */
  int decimals, width;
  double smallest, largest; /* magnitudes among the finite non-zero numbers */
} printer;

typedef void cell_fn(printer *p, int64_t i);

static double number_at(const printer *p, int64_t i) {
  const void *v = p->values;
  switch (p->array->dtype) {
    case RILL_F64:
      return ((const double *)v)[i];
    case RILL_BF16:
      return (double)rill_bf16_to_f32(((const rill_bf16 *)v)[i]);
    default:
      return (double)((const float *)v)[i];
  }
}

static int64_t integer_at(const printer *p, int64_t i) {
  const void *v = p->values;
  switch (p->array->dtype) {
    case RILL_I32:
      return ((const int32_t *)v)[i];
    case RILL_I64:
      return ((const int64_t *)v)[i];
    default:
      return ((const uint8_t *)v)[i];
  }
}

static int cell_text(const printer *p, int64_t i, char text[CELL]) {
  if (p->array->dtype == RILL_BOOL)
    return snprintf(text, CELL, "%s", integer_at(p, i) ? "true" : "false");
  if (!rill_dtype_is_float(p->array->dtype))
    return snprintf(text, CELL, "%" PRId64, integer_at(p, i));
  double x = number_at(p, i);
  if (isnan(x)) return snprintf(text, CELL, "nan");
  if (isinf(x)) return snprintf(text, CELL, x < 0 ? "-inf" : "inf");
  if (p->scientific) return snprintf(text, CELL, "%.*e", p->decimals, x);
  return snprintf(text, CELL, "%.*f%s", p->decimals, x, p->point ? "." : "");
}

/* ---- the walk over what is shown ---- */

/* The n-th shown index of an axis; -1 stands for the gap. */
static int64_t shown(const printer *p, int axis, int64_t n) {
  int64_t size = p->array->size[axis];
  if (!p->shorten || size <= 2 * EDGE || n < EDGE) return n;
  return n == EDGE ? -1 : size - 2 * EDGE - 1 + n;
}
static int64_t shown_count(const printer *p, int axis) {
  int64_t size = p->array->size[axis];
  return p->shorten && size > 2 * EDGE ? 2 * EDGE + 1 : size;
}

static void each_shown(printer *p, int axis, int64_t offset, cell_fn *cell) {
  if (axis == p->array->rank) {
    cell(p, offset);
    return;
  }
  for (int64_t n = 0; n < shown_count(p, axis); n++) {
    int64_t i = shown(p, axis, n);
    if (i >= 0) each_shown(p, axis + 1, offset * p->array->size[axis] + i, cell);
  }
}

/* ---- one format for all ---- */

static void see_magnitude(printer *p, int64_t i) {
  double x = fabs(number_at(p, i));
  if (!isfinite(x) || x == 0) return;
  if (x < p->smallest) p->smallest = x;
  if (x > p->largest) p->largest = x;
}

/* The digits behind the point that are not trailing zeros. */
static void see_decimals(printer *p, int64_t i) {
  char text[CELL], mantissa[CELL];
  double x = number_at(p, i);
  if (!isfinite(x)) return;
  snprintf(text, CELL, p->scientific ? "%.*e" : "%.*f", DECIMALS, x);
  snprintf(mantissa, CELL, "%.*s", (int)strcspn(text, "e"), text);
  int used = DECIMALS;
  for (size_t end = strlen(mantissa); used > 0 && mantissa[end - 1] == '0'; end--) used--;
  if (used > p->decimals) p->decimals = used;
}

static void see_width(printer *p, int64_t i) {
  char text[CELL];
  int width = cell_text(p, i, text);
  if (width > p->width) p->width = width;
}

static void choose_format(printer *p) {
  if (rill_dtype_is_float(p->array->dtype)) {
    p->smallest = INFINITY;
    each_shown(p, 0, 0, see_magnitude);
    p->scientific = p->largest >= 1e7 || (p->smallest < 1e-3 && p->largest > 0);
    each_shown(p, 0, 0, see_decimals);
    p->point = p->decimals == 0;
  }
  each_shown(p, 0, 0, see_width);
}

/* ---- the brackets ---- */

static void separate(printer *p, int axis, int *column) {
  int rank = p->array->rank;
  bool innermost = axis == rank - 1, wrap = *column + p->width + 3 > LINE;
  fputc(',', p->file);
  if (innermost && !wrap) {
    fputc(' ', p->file);
    *column += 2;
    return;
  }
  for (int line = innermost ? rank - 1 : axis; line < rank - 1; line++) fputc('\n', p->file);
  if (innermost) fputc('\n', p->file);
  fprintf(p->file, "%*s", axis + 1, "");
  *column = axis + 1;
}

static void print_axis(printer *p, int axis, int64_t offset, int *column) {
  if (axis == p->array->rank) {
    char text[CELL];
    cell_text(p, offset, text);
    *column += fprintf(p->file, "%*s", axis == 0 ? 0 : p->width, text);
    return;
  }
  fputc('[', p->file);
  ++*column;
  for (int64_t n = 0; n < shown_count(p, axis); n++) {
    int64_t i = shown(p, axis, n);
    if (n > 0) separate(p, axis, column);
    if (i >= 0) {
      print_axis(p, axis + 1, offset * p->array->size[axis] + i, column);
    } else {
      *column += fprintf(p->file, "...");
    }
  }
  fputc(']', p->file);
}

void rill_fprint(FILE *file, rill_tensor *x) {
  rilli_check(x, "rill_print", "x");
  if (rill_is_void(x)) {
    fprintf(file, "void tensor (%s)\n", rill_error(x->ctx) ? rill_error(x->ctx) : "no error");
    return;
  }
  fprintf(file, "%s %s", rill_dtype_name(x->array.dtype), rill_shape_print(rill_shape_of(x)).text);
  if (x->storage->device->kind != RILL_CPU) fprintf(file, " on %s", x->storage->device->name);
  int64_t count = rill_count(x);
  size_t bytes = (size_t)count * rill_dtype_size(x->array.dtype);
  char *values = count ? rill_alloc(x->ctx, bytes) : NULL;
  if (count == 0) {
    fprintf(file, "\n[]\n");
  } else if (!values || !rill_read(x, values, bytes)) {
    fprintf(file, " (not readable: %s)\n", rill_error(x->ctx) ? rill_error(x->ctx) : "?");
  } else {
    int column = 0;
    printer p = {
        .file = file, .array = &x->array, .values = values, .shorten = count > SHORTEN_ABOVE};
    choose_format(&p);
    fputc('\n', file);
    print_axis(&p, 0, 0, &column);
    fputc('\n', file);
  }
  rill_free(x->ctx, values);
}

void rill_print(rill_tensor *x) { rill_fprint(stdout, x); }
