/* Positions of an index sorted by what they point at, for sums in a fixed order. */
#ifndef RILL_OPS_CUDA_SORT_H_
#define RILL_OPS_CUDA_SORT_H_

#include "autograd/op.h"

/* Device memory, scratch of the call. Row r is pointed at by positions at[start[r]], ...,
 * at[start[r + 1] - 1], in ascending order; row[i] is the row of at[i]. */
typedef struct {
  const uint32_t *row, *at; /* [n] */
  const uint32_t *start;    /* [rows + 1] */
} rilli_sorted;

/* Sorts keys [n] on the device, each a row, or `rows` for none. `keys` is used up. n and rows are
 * below 2^31. False when memory is short or a launch failed. */
bool rilli_cuda_sort(rill_env *env, uint32_t *keys, int64_t n, int64_t rows, rilli_sorted *sorted);

#endif /* RILL_OPS_CUDA_SORT_H_ */
