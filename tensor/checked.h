/* Size arithmetic that reports overflow: everything derived from files and from users goes through
 * it. */
#ifndef RILL_TENSOR_CHECKED_H_
#define RILL_TENSOR_CHECKED_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a + b, a * b; false on overflow. */
static inline bool rilli_add_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool rilli_mul_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool rilli_add_size(size_t a, size_t b, size_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool rilli_mul_size(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}

#endif /* RILL_TENSOR_CHECKED_H_ */
