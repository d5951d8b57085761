/* Sums along one axis, fast along the last and along leading axes alike. */
#ifndef RILL_OPS_CPU_SUM_H_
#define RILL_OPS_CPU_SUM_H_

#include "autograd/op.h"

/* y [outer, inner] = sum over `size` of x [outer, size, inner], both contiguous. Floating x: y has
 * its dtype. Integers and bools: y is i64 and wraps around. False when memory is short. */
bool rilli_sum(rill_env *env, const rill_array *x, int64_t outer, int64_t size, int64_t inner,
               const rill_array *y);

#endif /* RILL_OPS_CPU_SUM_H_ */
