/* Operand checks with one wording for all ops. */
#include "ops/expect.h"

#include <math.h>
#include <string.h>

static const char *name_of(const rill_infer *q, int i, char text[64]) {
  size_t n = strcspn(q->op->in[i], "?.");
  if (n > 63) n = 63;
  memcpy(text, q->op->in[i], n);
  text[n] = '\0';
  return text;
}

bool rilli_expect_float(rill_infer *q, int i) {
  char text[64];
  if (!rill_present(&q->in[i]) || rill_dtype_is_float(q->in[i].dtype)) return true;
  return rill_refuse(q, "%s must be f64, f32 or bf16, not %s", name_of(q, i, text),
                     rill_dtype_name(q->in[i].dtype));
}

bool rilli_expect_rank(rill_infer *q, int i, int rank) {
  char text[64];
  if (!rill_present(&q->in[i]) || q->in[i].rank >= rank) return true;
  return rill_refuse(q, "%s must have rank %d or more, not %d", name_of(q, i, text), rank,
                     q->in[i].rank);
}

bool rilli_expect(rill_infer *q, int i, rill_dtype dtype, rill_shape shape) {
  char text[64];
  const rill_array *a = &q->in[i];
  if (!rill_present(a)) return true;
  if (a->dtype != dtype)
    return rill_refuse(q, "%s must be %s, not %s", name_of(q, i, text), rill_dtype_name(dtype),
                       rill_dtype_name(a->dtype));
  if (!rill_shape_equal(rill_array_shape(a), shape))
    return rill_refuse(q, "%s must have shape %s, not %s", name_of(q, i, text),
                       rill_shape_print(shape).text, rill_shape_print(rill_array_shape(a)).text);
  return true;
}

bool rilli_expect_like(rill_infer *q, int i, int like) {
  return rilli_expect(q, i, q->in[like].dtype, rill_array_shape(&q->in[like]));
}

bool rilli_expect_positive(rill_infer *q, const char *name, double value) {
  if (value > 0 && isfinite(value)) return true;
  return rill_refuse(q, "%s must be positive and finite, not %g", name, value);
}

rill_dtype rilli_statistics_dtype(rill_dtype dtype) {
  return dtype == RILL_F64 ? RILL_F64 : RILL_F32;
}
