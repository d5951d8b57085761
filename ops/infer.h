/* The commonest rules for output dtypes and shapes. */
#ifndef RILL_OPS_INFER_H_
#define RILL_OPS_INFER_H_

#include "ops/expect.h"

/* A set of dtypes that an op takes. */
typedef enum {
  RILLI_FLOATS = 1,   /* f64 f32 bf16 */
  RILLI_INTEGERS = 2, /* i64 i32 u8 */
  RILLI_BOOLS = 4,
  RILLI_NUMBERS = RILLI_FLOATS | RILLI_INTEGERS,
  RILLI_ANY = RILLI_NUMBERS | RILLI_BOOLS
} rilli_kinds;

/* Input i is of one of these kinds. */
bool rilli_expect_kind(rill_infer *q, int i, rilli_kinds kinds);

/* Inputs first, first + 1, ... share one dtype of these kinds and broadcast with every input. */
bool rilli_infer_broadcast(rill_infer *q, int first, rilli_kinds kinds, rill_shape *shape);

/* Output 0 is like input 0: for ops of one floating operand; of one number; and for derivatives,
 * whose operands are all alike. */
bool rilli_infer_float(rill_infer *q);
bool rilli_infer_number(rill_infer *q);
bool rilli_infer_alike(rill_infer *q);
/* Broadcast operands of one dtype, which the output has too: floating, or any number. */
bool rilli_infer_floats(rill_infer *q);
bool rilli_infer_numbers(rill_infer *q);

/* *axis of input i counted from the front; refused when it has no such axis. */
bool rilli_infer_axis(rill_infer *q, int i, int axis, int *from_front);

#endif /* RILL_OPS_INFER_H_ */
