/* What optimizers share: optim.c keeps lists, counts and states; an optimizer brings its update. */
#ifndef RILL_OPTIM_OPTIM_IMPL_H_
#define RILL_OPTIM_OPTIM_IMPL_H_

#include "optim/attributes.h"
#include "optim/optim.h"

enum { RILLI_SLOTS = 3 };

typedef struct {
  const char *name;              /* "adamw" */
  const char *slot[RILLI_SLOTS]; /* names of a parameter's state tensors; NULL = none. "master" is
                                    there for bf16 parameters only, and begins as their values */
  /* Updates parameters with or without weight decay; in: the operands of update_impl.h. */
  void (*update)(const rill_optim *opt, bool decay, int inputs, rill_tensor *const *in);
  rilli_plan_attr (*betas)(const rill_optim *opt); /* for the plan; NULL = none */
} rilli_optim_kind;

struct rill_optim {
  rill_context *ctx;
  const rilli_optim_kind *kind;
  rill_parameters params;
  double lr;
  union {
    rill_adamw_opts adamw;
    rill_sgd_opts sgd;
  } opts;
  rill_optim_report report; /* of the latest step, unless steps are captured */
  bool captured;            /* steps may be made without the host: the plan knows */
  rill_tensor *plan;        /* f64 [RILLI_PLAN] */
  rill_tensor *rate;        /* f64: lr, for the plan */
  int64_t *owner;           /* [count] which parameter a square sum is of */
  rill_tensor **slot;       /* [count, RILLI_SLOTS] */
  rill_tensor *steps;       /* i64 [1]: report.steps as it was when the state was asked for */
  int64_t state_count;
  rill_parameter *state; /* [state_count] */
};

/* A new optimizer without options; NULL and an error when memory is short. */
rill_optim *rilli_optim_new(const rilli_optim_kind *kind, rill_parameters params, double lr);

/* Is 0 <= value <= high? Records an error that names function and option if not. */
bool rilli_optim_check(rill_context *ctx, const char *function, const char *option, double value,
                       double high);

/* Square sums of all gradients, f64; owner[i] = index of the parameter that sum i is of. Without
 * gradients one sum that is 0. */
rill_tensor *rilli_optim_squares(rill_parameters params, int64_t *owner);

/* Makes the plan of this step from the last one and the sums. */
void rilli_optim_plan(rill_optim *opt, rill_tensor *sums, rilli_plan_attr attr);

#endif /* RILL_OPTIM_OPTIM_IMPL_H_ */
