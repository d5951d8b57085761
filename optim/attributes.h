/* Attributes of the update ops, whose CUDA kernels live in files of their own. */
#ifndef RILL_OPTIM_ATTRIBUTES_H_
#define RILL_OPTIM_ATTRIBUTES_H_

#include <stdbool.h>

typedef struct {
  double scale;      /* of the gradient */
  double lr, shrink; /* shrink = 1 - lr * weight decay */
  double beta1, beta2, eps;
  double correct1, correct2; /* 1 / (1 - beta^t) */
} rilli_adamw_attr;

typedef struct {
  double scale;      /* of the gradient */
  double lr, shrink; /* shrink = 1 - lr * weight decay */
  double momentum;
  bool nesterov;
} rilli_sgd_attr;

#endif /* RILL_OPTIM_ATTRIBUTES_H_ */
