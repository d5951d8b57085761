/* What the update ops and their CUDA kernels share: attributes, and the plan of a step.
 *
 * The plan is a tensor of RILLI_PLAN numbers in f64 on the device: how often was updated, what the
 * gradients' norm was, and what every parameter's update multiplies with. One op makes it from the
 * gradients' square sums, the update ops read it. So a step needs nothing of the host, and can be
 * captured (tensor/capture.h). */
#ifndef RILL_OPTIM_ATTRIBUTES_H_
#define RILL_OPTIM_ATTRIBUTES_H_

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum {
  RILLI_STEPS,   /* updates made */
  RILLI_SKIPPED, /* updates not made because of gradients that are not finite */
  RILLI_IN_ROW,  /* of these, the latest without an update in between */
  RILLI_BAD,     /* the first square sum that is not finite, or -1 */
  RILLI_NORM,    /* of all gradients */
  RILLI_GO,      /* 1: update; 0: everything stays as it is */
  RILLI_SCALE,   /* of the gradients: what clips their norm */
  RILLI_LR,      /* learning rate */
  RILLI_RATE,    /* lr / (1 - beta1^steps) */
  RILLI_ROOT,    /* 1 / sqrt(1 - beta2^steps) */
  RILLI_PLAN
};

typedef struct {
  double max_norm;     /* 0 = no limit */
  double beta1, beta2; /* 0 where an optimizer has none */
} rilli_plan_attr;

typedef struct {
  double decay;
  double beta1, beta2, eps;
} rilli_adamw_attr;

typedef struct {
  double decay;
  double momentum;
  bool nesterov;
} rilli_sgd_attr;

/* How many operands of an update op a parameter has. */
static inline int rilli_update_operands(bool master, int states) { return 2 + states + master; }

#ifdef __CUDACC__
#define RILLI_PLAN_INLINE static inline __host__ __device__
#else
#define RILLI_PLAN_INLINE static inline
#endif

/* The plan of the next step, from the one before. Sums are added in order. */
RILLI_PLAN_INLINE void rilli_plan_next(double *plan, double lr, const double *sums, int64_t count,
                                       const rilli_plan_attr *attr) {
  double total = 0, bad = -1;
  for (int64_t i = 0; i < count; i++) {
    if (bad < 0 && !(sums[i] - sums[i] == 0)) bad = (double)i; /* x - x is NaN for NaN and inf */
    total += sums[i];
  }
  double norm = sqrt(total);
  bool go = norm - norm == 0, large = attr->max_norm > 0 && norm > attr->max_norm;
  plan[RILLI_BAD] = bad;
  plan[RILLI_NORM] = norm;
  plan[RILLI_GO] = go ? 1 : 0;
  plan[RILLI_SCALE] = large ? attr->max_norm / norm : 1;
  plan[RILLI_LR] = lr;
  if (!go) {
    plan[RILLI_SKIPPED] += 1;
    plan[RILLI_IN_ROW] += 1;
    return;
  }
  double t = plan[RILLI_STEPS] += 1;
  plan[RILLI_IN_ROW] = 0;
  plan[RILLI_RATE] = lr * (1 / (1 - pow(attr->beta1, t)));
  plan[RILLI_ROOT] = sqrt(1 / (1 - pow(attr->beta2, t)));
}

#endif /* RILL_OPTIM_ATTRIBUTES_H_ */
