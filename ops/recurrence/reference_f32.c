/* The token-by-token recurrence in f32, which also serves bf16. */
#define RILLI_F64 0
#define RILLI_INSTANCE rilli_reference_f32
#include "ops/recurrence/reference_instance_impl.h"
