/* The commonest infer functions. */
#include "ops/infer.h"

#include <string.h>

static rilli_kinds kind_of(rill_dtype dtype) {
  if (rill_dtype_is_float(dtype)) return RILLI_FLOATS;
  return dtype == RILL_BOOL ? RILLI_BOOLS : RILLI_INTEGERS;
}

static const char *name_of_kinds(rilli_kinds kinds) {
  switch (kinds) {
    case RILLI_FLOATS:
      return "f64, f32 or bf16";
    case RILLI_INTEGERS:
      return "i64, i32 or u8";
    case RILLI_BOOLS:
      return "bool";
    default:
      return "a number";
  }
}

bool rilli_expect_kind(rill_infer *q, int i, rilli_kinds kinds) {
  if (kind_of(q->in[i].dtype) & kinds) return true;
  return rill_refuse(q, "%s must be %s, not %s", q->op->in[i], name_of_kinds(kinds),
                     rill_dtype_name(q->in[i].dtype));
}

bool rilli_infer_broadcast(rill_infer *q, int first, rilli_kinds kinds, rill_shape *shape) {
  for (int i = first; i < q->inputs; i++) {
    if (!rilli_expect_kind(q, i, kinds)) return false;
    if (q->in[i].dtype != q->in[first].dtype)
      return rill_refuse(q, "%s is %s and %s is %s; rill_cast converts", q->op->in[first],
                         rill_dtype_name(q->in[first].dtype), q->op->in[i],
                         rill_dtype_name(q->in[i].dtype));
  }
  *shape = rill_array_shape(&q->in[0]);
  for (int i = 1; i < q->inputs; i++) {
    rill_shape other = rill_array_shape(&q->in[i]), both;
    if (!rill_shape_broadcast(*shape, other, &both))
      return rill_refuse(q, "shapes %s and %s do not broadcast", rill_shape_print(*shape).text,
                         rill_shape_print(other).text);
    *shape = both;
  }
  return true;
}

static bool like_first(rill_infer *q) {
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}

bool rilli_infer_float(rill_infer *q) { return rilli_expect_float(q, 0) && like_first(q); }

bool rilli_infer_number(rill_infer *q) {
  return rilli_expect_kind(q, 0, RILLI_NUMBERS) && like_first(q);
}

bool rilli_infer_alike(rill_infer *q) {
  if (!rilli_expect_float(q, 0)) return false;
  for (int i = 1; i < q->inputs; i++)
    if (!rilli_expect_like(q, i, 0)) return false;
  return like_first(q);
}

static bool infer_broadcast(rill_infer *q, rilli_kinds kinds) {
  rill_shape shape;
  return rilli_infer_broadcast(q, 0, kinds, &shape) &&
         rill_infer_output(q, 0, q->in[0].dtype, shape);
}
bool rilli_infer_floats(rill_infer *q) { return infer_broadcast(q, RILLI_FLOATS); }
bool rilli_infer_numbers(rill_infer *q) { return infer_broadcast(q, RILLI_NUMBERS); }

bool rilli_infer_axis(rill_infer *q, int i, int axis, int *from_front) {
  *from_front = rill_axis(axis, q->in[i].rank);
  if (*from_front >= 0) return true;
  return rill_refuse(q, "axis %d is out of range for rank %d", axis, q->in[i].rank);
}
