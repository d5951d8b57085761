/* Element types. */
#ifndef RILL_TENSOR_DTYPE_H_
#define RILL_TENSOR_DTYPE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* f32 is 0, so that it is what a zeroed option struct asks for. */
typedef enum {
  RILL_F32 = 0,
  RILL_F64,
  RILL_BF16, /* storage; arithmetic is in f32 */
  RILL_I32,
  RILL_I64,
  RILL_U8,
  RILL_BOOL, /* one byte, 0 or 1 */
  RILL_DTYPE_COUNT
} rill_dtype;

size_t rill_dtype_size(rill_dtype dtype);      /* bytes of one element */
const char *rill_dtype_name(rill_dtype dtype); /* "f32", ... ; "?" for a value that is no dtype */
bool rill_dtype_find(const char *name, rill_dtype *dtype); /* the inverse; false if there is none */
bool rill_dtype_is_float(rill_dtype dtype);                /* f32, f64, bf16 */

/* A bf16 number: the upper half of an f32. */
typedef struct {
  uint16_t bits;
} rill_bf16;

static inline float rill_bf16_to_f32(rill_bf16 x) {
  uint32_t u = (uint32_t)x.bits << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

/* Rounds to nearest, ties to even; NaN stays NaN. */
static inline rill_bf16 rill_bf16_from_f32(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  rill_bf16 nan = {(uint16_t)((u >> 16) | 0x40u)};
  rill_bf16 x = {(uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
  return (u & 0x7fffffffu) > 0x7f800000u ? nan : x;
}

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_DTYPE_H_ */
