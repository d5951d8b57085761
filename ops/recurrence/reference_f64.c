/* The token-by-token recurrence in f64. */
#define RILLI_F64 1
#define RILLI_INSTANCE rilli_reference_f64
#include "ops/recurrence/reference_instance_impl.h"
