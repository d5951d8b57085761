/* The plan of a step: an op of one thread that everything else of the step waits for. */
#include "autograd/op.h"
#include "optim/attributes.h"
#include "optim/optim_impl.h"

enum { PLAN, LR, SUMS };

bool rilli_cuda_plan(const rill_call *call);

static bool infer(rill_infer *q) {
  for (int i = PLAN; i <= SUMS; i++)
    if (q->in[i].dtype != RILL_F64) return rill_refuse(q, "operands must be f64");
  if (q->in[PLAN].rank != 1 || q->in[PLAN].size[0] != RILLI_PLAN)
    return rill_refuse(q, "plan must have shape [%d]", RILLI_PLAN);
  return true;
}

static bool run(const rill_call *call) {
  const rill_array *in = call->in;
  rilli_plan_next(in[PLAN].data, *(const double *)in[LR].data, in[SUMS].data,
                  rill_array_count(&in[SUMS]), call->attr);
  return true;
}

static const rill_op plan_op = {
    .name = "plan_update",
    .in = {"plan", "lr", "sums"},
    .attr_size = sizeof(rilli_plan_attr),
    .infer = infer,
    .kernels = {{RILL_CPU, "loop", NULL, run}, RILL_CUDA_KERNEL("thread", NULL, rilli_cuda_plan)},
    .no_grad = "it overwrites its operand",
    .writes = 1u << PLAN};

void rilli_optim_plan(rill_optim *opt, rill_tensor *sums, rilli_plan_attr attr) {
  RILL_APPLY(&plan_op, &attr, opt->plan, opt->rate, sums);
}
