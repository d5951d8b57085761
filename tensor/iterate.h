/* Walking several strided arrays of one shape in rows: the loop under every elementwise CPU kernel.
 */
#ifndef RILL_TENSOR_ITERATE_H_
#define RILL_TENSOR_ITERATE_H_

#include "tensor/array.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_ITERATE_MAX 8

/* One row: n elements, ptr[j] the first element of array j, step[j] its distance in bytes to the
 * next. */
typedef void rill_row_fn(void *user, int64_t n, char *const *ptr, const int64_t *step);

/* Calls `row` for every row of arrays that all have the sizes of arrays[0] (stride 0 where
 * broadcast). Axes are merged where every array allows it, so contiguous arrays are one long row,
 * cut into pieces of fixed length for the threads. Rows run in parallel and in no order: a row may
 * write only its own elements. */
void rill_iterate(const rill_env *env, int count, const rill_array *arrays, rill_row_fn *row,
                  void *user);

/* to = from, converted to to's dtype; equal sizes, any strides; host memory. Floating to integer
 * truncates toward zero and saturates, NaN becomes 0. */
void rill_array_copy(const rill_env *env, const rill_array *to, const rill_array *from);

/* *a seen with `shape`, missing leading axes added and axes of size 1 stretched (stride 0). */
rill_array rill_array_broadcast(const rill_array *a, int rank, const int64_t *size);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_ITERATE_H_ */
