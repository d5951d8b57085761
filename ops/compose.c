/* Steps that several compositions begin or end with. */
#include "ops/compose.h"

#include "ops/ops.h"

rill_tensor *rilli_as_real(rill_tensor *x) {
  return x && rill_dtype_of(x) == RILL_BF16 ? rill_cast(x, RILL_F32) : x;
}

rill_tensor *rilli_as_dtype(rill_tensor *x, rill_dtype dtype) {
  return rill_dtype_of(x) == dtype ? x : rill_cast(x, dtype);
}

rill_tensor *rilli_sum_rows(rill_tensor *x) {
  int64_t n = rill_size(x, -1), rows = 1;
  for (int d = 0; d + 1 < rill_rank(x); d++) rows *= rill_size(x, d);
  return rill_sum(rill_reshape(x, RILL_SHAPE(rows, n)), 0, false);
}
