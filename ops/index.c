/* Index checks with one wording for all ops. */
#include "ops/index.h"

#include <inttypes.h>

bool rilli_expect_index(rill_infer *q, int i) {
  rill_dtype dtype = q->in[i].dtype;
  if (dtype == RILL_I32 || dtype == RILL_I64) return true;
  return rill_refuse(q, "%s must be i32 or i64, not %s", q->op->in[i], rill_dtype_name(dtype));
}

bool rilli_check_index(const rill_call *call, const rill_array *index, int64_t size) {
  int64_t n = rill_array_count(index);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = rilli_index_at(index, i);
    if (at < 0 || at >= size)
      return rill_kernel_fail(
          call, "index %" PRId64 " at position %" PRId64 " is outside [0, %" PRId64 ")", at, i,
          size);
  }
  return true;
}
