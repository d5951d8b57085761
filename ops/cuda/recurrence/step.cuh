/* One token a sequence, forward only: decoding (step.cu). */
#ifndef RILL_OPS_CUDA_RECURRENCE_STEP_CUH_
#define RILL_OPS_CUDA_RECURRENCE_STEP_CUH_

#include "ops/cuda/recurrence/problem.cuh"

bool rilli_recur_step_fits(const rill_call *call);
bool rilli_recur_step_run(const rill_call *call);

#endif /* RILL_OPS_CUDA_RECURRENCE_STEP_CUH_ */
