/* The chunked recurrence in f32 and bf16, for machines with AVX2 and FMA. */
#if defined(__x86_64__)
#define RILLI_F64 0
#define RILLI_ISA 256
#define RILLI_INSTANCE rilli_chunk_f32_avx2
#include "ops/recurrence/chunk_instance_impl.h"
#else
typedef int rilli_not_empty; /* ISO C wants a declaration in every file */
#endif
