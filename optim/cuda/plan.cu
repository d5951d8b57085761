/* The plan of a step by one thread: a few hundred sums are added in the time of a launch. */
#include "optim/attributes.h"
#include "tensor/cuda/launch.cuh"

extern "C" {
#include "autograd/op.h"
}

static __global__ void plan_next(double *plan, const double *lr, const double *sums, int64_t count,
                                 rilli_plan_attr attr) {
  rilli_plan_next(plan, *lr, sums, count, &attr);
}

extern "C" bool rilli_cuda_plan(const rill_call *call) {
  const rill_array *in = call->in;
  return rilli_launch(call->env, plan_next, rilli_grid_of(1), 1, 0, (double *)in[0].data,
                      (const double *)in[1].data, (const double *)in[2].data,
                      rill_array_count(&in[2]), *(const rilli_plan_attr *)call->attr);
}
