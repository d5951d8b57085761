/* Row formulas in f32, for every instruction set, and the choice between them. */
#include "ops/cpu/row_math.h"

#include "ops/cpu/vmath.h"

#define REAL float
#define EXP rilli_expf
#define SIGMOID rilli_sigmoidf

#define TARGET
#define NAME(x) x##_plain
#define TABLE rilli_row_math_f32
#include "ops/cpu/row_math_impl.h"
#undef TARGET
#undef NAME
#undef TABLE

#if defined(__x86_64__)

#define TARGET __attribute__((target("avx2")))
#define NAME(x) x##_avx2
#define TABLE rilli_row_math_f32_avx2
#include "ops/cpu/row_math_impl.h"
#undef TARGET
#undef NAME
#undef TABLE

#if defined(__clang__)
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#else
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")))
#endif
#define NAME(x) x##_avx512
#define TABLE rilli_row_math_f32_avx512
#include "ops/cpu/row_math_impl.h"

#endif

const rilli_row_math *rilli_row_math_of(rill_dtype dtype) {
  if (dtype == RILL_F64) return &rilli_row_math_f64;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return &rilli_row_math_f32_avx512;
  if (__builtin_cpu_supports("avx2")) return &rilli_row_math_f32_avx2;
#endif
  return &rilli_row_math_f32;
}
