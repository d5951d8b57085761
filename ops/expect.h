/* Checks of operands that many ops share. Each refuses the call with a message that says what was
 * expected and what came, and returns false; absent operands pass. */
#ifndef RILL_OPS_EXPECT_H_
#define RILL_OPS_EXPECT_H_

#include "autograd/op.h"

/* f64, f32 or bf16 */
bool rilli_expect_float(rill_infer *q, int i);
/* At least `rank` axes. */
bool rilli_expect_rank(rill_infer *q, int i, int rank);
/* Exactly this dtype and shape. */
bool rilli_expect(rill_infer *q, int i, rill_dtype dtype, rill_shape shape);
/* The dtype and shape of input `like`. */
bool rilli_expect_like(rill_infer *q, int i, int like);
/* Positive and finite. */
bool rilli_expect_positive(rill_infer *q, const char *name, double value);

/* f64 for f64, else f32: the dtype of statistics and losses. */
rill_dtype rilli_statistics_dtype(rill_dtype dtype);

#endif /* RILL_OPS_EXPECT_H_ */
