/* The first largest or smallest element along an axis. */
#ifndef RILL_OPS_CPU_EXTREME_H_
#define RILL_OPS_CPU_EXTREME_H_

#include "autograd/op.h"

/* Of x [outer, size, inner], contiguous, any dtype, size >= 1: the value (x's dtype) or NULL, and
 * the index along the axis, both [outer, inner]. NaN counts as larger, and as smaller, than every
 * number. Always true. */
bool rilli_extreme(rill_env *env, const rill_array *x, int64_t outer, int64_t size, int64_t inner,
                   bool smallest, void *value, int64_t *index);

#endif /* RILL_OPS_CPU_EXTREME_H_ */
