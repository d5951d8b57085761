/* What the derivative of linear is asked for; its attributes. */
#ifndef RILL_OPS_LINEAR_H_
#define RILL_OPS_LINEAR_H_

#include <stdbool.h>

typedef struct {
  bool x, weight, bias;
} rilli_linear_wanted;

#endif /* RILL_OPS_LINEAR_H_ */
