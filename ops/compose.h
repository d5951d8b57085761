/* What ops share when they are written in other ops: bf16 is computed in f32 and rounded once, as
 * the kernels do. */
#ifndef RILL_OPS_COMPOSE_H_
#define RILL_OPS_COMPOSE_H_

#include "tensor/tensor.h"

/* x, bf16 as f32; NULL for NULL. */
rill_tensor *rilli_as_real(rill_tensor *x);
/* x in this dtype. */
rill_tensor *rilli_as_dtype(rill_tensor *x, rill_dtype dtype);
/* [..., n] -> [n]: the sum over all but the last axis. */
rill_tensor *rilli_sum_rows(rill_tensor *x);

#endif /* RILL_OPS_COMPOSE_H_ */
