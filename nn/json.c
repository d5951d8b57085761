/* Text that is written twice. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "nn/json_impl.h"

void rilli_print(rilli_writer *w, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t left = w->used < w->room ? w->room - w->used : 0;
  int n = vsnprintf(left ? w->text + w->used : NULL, left, format, args);
  va_end(args);
  if (n > 0) w->used += (size_t)n;
}

void rilli_print_real(rilli_writer *w, double x) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, x);
    if (strtod(text, NULL) == x) break;
  }
  rilli_print(w, "%s", text);
}
