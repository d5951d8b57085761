/* The chunked recurrence in f64, for machines with AVX-512. */
#if defined(__x86_64__)
#define RILLI_F64 1
#define RILLI_ISA 512
#define RILLI_INSTANCE rilli_chunk_f64_avx512
#include "ops/recurrence/chunk_instance_impl.h"
#else
typedef int rilli_not_empty; /* ISO C wants a declaration in every file */
#endif
