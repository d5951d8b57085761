/* Text that is written twice: once to measure it, once into memory of that size.
 *
 *   rilli_writer measure = {0};
 *   write_it(&measure);
 *   rilli_writer w = {.text = rill_alloc(ctx, measure.used + 1), .room = measure.used + 1};
 *   write_it(&w); */
#ifndef RILL_NN_JSON_IMPL_H_
#define RILL_NN_JSON_IMPL_H_

#include <stddef.h>

typedef struct {
  char *text;
  size_t used, room;
} rilli_writer;

void rilli_print(rilli_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The shortest decimal that reads back as the same number. */
void rilli_print_real(rilli_writer *w, double x);

#endif /* RILL_NN_JSON_IMPL_H_ */
