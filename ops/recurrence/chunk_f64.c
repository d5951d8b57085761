/* The chunked recurrence in f64, on what the compiler takes for granted of the machine. */
#define RILLI_F64 1
#define RILLI_ISA 0
#define RILLI_INSTANCE rilli_chunk_f64
#include "ops/recurrence/chunk_instance_impl.h"
