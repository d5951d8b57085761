/* The chunked recurrence in f32 and bf16, for machines with AVX-512. */
#if defined(__x86_64__)
#define RILLI_F64 0
#define RILLI_ISA 512
#define RILLI_INSTANCE rilli_chunk_f32_avx512
#include "ops/recurrence/chunk_instance_impl.h"
#else
typedef int rilli_not_empty; /* ISO C wants a declaration in every file */
#endif
