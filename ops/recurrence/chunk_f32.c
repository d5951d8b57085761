/* The chunked recurrence in f32 and bf16, on what the compiler takes for granted of the machine. */
#define RILLI_F64 0
#define RILLI_ISA 0
#define RILLI_INSTANCE rilli_chunk_f32
#include "ops/recurrence/chunk_instance_impl.h"
