/* Indices of the indexing ops: i32 or i64, checked before anything is written. */
#ifndef RILL_OPS_INDEX_H_
#define RILL_OPS_INDEX_H_

#include "autograd/op.h"

/* Refuses an index (input i) that is neither i32 nor i64. */
bool rilli_expect_index(rill_infer *q, int i);

static inline int64_t rilli_index_at(const rill_array *index, int64_t i) {
  return index->dtype == RILL_I32 ? ((const int32_t *)index->data)[i]
                                  : ((const int64_t *)index->data)[i];
}

/* Fails the call, naming the position, unless all of a contiguous index lie in [0, size). */
bool rilli_check_index(const rill_call *call, const rill_array *index, int64_t size);

#endif /* RILL_OPS_INDEX_H_ */
