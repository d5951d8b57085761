/* Optimizers: what turns gradients into better parameters.
 *
 *   rill_optim *opt = rill_adamw_new(rill_params(net), (rill_adamw_opts){.lr = 3e-4});
 *   ...
 *   rill_backward(loss);
 *   rill_clip_grad_norm(rill_params(net), 1.0);
 *   rill_optim_step(opt);
 *
 * An optimizer belongs to the context of its parameters. bf16 parameters have f32 master copies
 * that are updated instead and rounded to them; moments are f32 (f64 for f64 parameters). */
#ifndef RILL_OPTIM_OPTIM_H_
#define RILL_OPTIM_OPTIM_H_

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_optim rill_optim;

/* AdamW (Loshchilov and Hutter 2019): with g the gradient and t the number of this step,
 *   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,
 *   w = (1 - lr decay) w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).
 * Parameters marked no_decay have decay 0. */
typedef struct {
  double lr;           /* 0 = 1e-3 */
  double weight_decay; /* 0 = none */
  double beta1, beta2; /* 0 = 0.9 and 0.95; -1 = really 0 */
  double eps;          /* 0 = 1e-8 */
} rill_adamw_opts;

/* NULL and an error when an option is out of range (or not a number), two parameters have one name,
 * or memory is short. All functions below accept that NULL. */
rill_optim *rill_adamw_new(rill_parameters params, rill_adamw_opts opts);

/* Gradient descent: u = momentum u + g (with nesterov the step is g + momentum u, else u), then
 * w = (1 - lr decay) w - lr step. */
typedef struct {
  double lr; /* 0 = 1e-2 */
  double momentum;
  double weight_decay;
  bool nesterov;
} rill_sgd_opts;

rill_optim *rill_sgd_new(rill_parameters params, rill_sgd_opts opts);

/* Updates all parameters that have a gradient and forgets the gradients. True when it did. When a
 * gradient holds a NaN or an infinity nothing is updated anywhere, gradients are forgotten, and
 * rill_optim_status tells which. Nothing happens once an error is recorded. In a captured function
 * (tensor/capture.h) it cannot know yet and returns true; ask rill_optim_status after the replay.
 */
bool rill_optim_step(rill_optim *opt);
/* The same with gradients scaled so that their global norm is at most max_norm (0 = no limit),
 * without a pass of its own: the norm before that is in the report. */
bool rill_optim_step_clipped(rill_optim *opt, double max_norm);
/* Forgets the gradients without an update. */
void rill_optim_zero_grad(rill_optim *opt);

void rill_optim_set_lr(rill_optim *opt, double lr); /* >= 0 and finite; otherwise an error. Before a
                                                        step is captured or replayed, not inside */
double rill_optim_lr(const rill_optim *opt);

typedef struct {
  int64_t steps;          /* updates made */
  int64_t skipped;        /* updates not made because of gradients that are not finite */
  int64_t skipped_in_row; /* of these, the latest without an update in between */
  const char *bad;  /* the first parameter whose gradient was not finite, of the latest; or NULL */
  double grad_norm; /* of all gradients in the latest call of rill_optim_step */
} rill_optim_report;
rill_optim_report rill_optim_status(const rill_optim *opt);

/* Its moments, master copies and step count as named tensors ("adamw.m.block.0...."), for
 * checkpoints. After they were overwritten (rill_safetensors_load), rill_optim_restore takes over
 * the step count and, for bf16, rounds the master copies to the parameters. */
rill_parameters rill_optim_state(rill_optim *opt);
bool rill_optim_restore(rill_optim *opt);

/* The norm of all gradients together, sqrt(sum g^2), summed in f64 in a fixed order. When it is
 * above max_norm the gradients are scaled by max_norm / norm. Returns the norm before scaling. When
 * it is not finite nothing is scaled, and rill_optim_step will skip. max_norm 0 or infinite: only
 * measure. bad, if not NULL, is set to the name of the first parameter with a gradient that is not
 * finite, or NULL. */
double rill_clip_grad_norm(rill_parameters params, double max_norm);
double rill_clip_grad_norm_named(rill_parameters params, double max_norm, const char **bad);

#ifdef __cplusplus
}
#endif

#endif /* RILL_OPTIM_OPTIM_H_ */
