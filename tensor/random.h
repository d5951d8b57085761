/* Random numbers by counting: Philox 4x32-10.
 *
 * Draw d of a seed is a function of (seed, d) alone, so that any thread or device can compute any
 * draw, in any order, and the state of a stream is two numbers. One Philox block (128 bits) serves
 * two neighbouring draws, 64 bits each; a normal pair takes a whole block.
 *
 *   block b = d / 2:   | x0 x1 | x2 x3 |
 *                       d even   d odd
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). Inline,
 * so that CUDA kernels compile it too. */
#ifndef RILL_TENSOR_RANDOM_H_
#define RILL_TENSOR_RANDOM_H_

#include <math.h>
#include <stdint.h>

#include "tensor/context.h"

#ifdef __CUDACC__
#define RILL_RANDOM_INLINE_ static inline __host__ __device__
#else
#define RILL_RANDOM_INLINE_ static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint32_t word[4];
} rill_philox_block;

/* The ten rounds, on a counter of 128 bits and a key of 64. */
RILL_RANDOM_INLINE_ rill_philox_block rill_philox(rill_philox_block counter, uint64_t key) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  rill_philox_block x = counter;
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * x.word[0], b = (uint64_t)0xCD9E8D57u * x.word[2];
    rill_philox_block y;
    y.word[0] = (uint32_t)(b >> 32) ^ x.word[1] ^ k0;
    y.word[1] = (uint32_t)b;
    y.word[2] = (uint32_t)(a >> 32) ^ x.word[3] ^ k1;
    y.word[3] = (uint32_t)a;
    x = y;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return x;
}

/* The block that holds draws 2b and 2b + 1. */
RILL_RANDOM_INLINE_ rill_philox_block rill_random_block(uint64_t seed, uint64_t b) {
  rill_philox_block counter = {{(uint32_t)b, (uint32_t)(b >> 32), 0, 0}};
  return rill_philox(counter, seed);
}

/* The 64 bits of the even (half 0) or odd (half 1) draw of a block. */
RILL_RANDOM_INLINE_ uint64_t rill_random_half(rill_philox_block block, int half) {
  return ((uint64_t)block.word[2 * half + 1] << 32) | block.word[2 * half];
}

RILL_RANDOM_INLINE_ uint64_t rill_random_bits(uint64_t seed, uint64_t draw) {
  return rill_random_half(rill_random_block(seed, draw / 2), (int)(draw % 2));
}

/* The upper bits as a number in [0, 1): 53 of them, 24, or the 8 that bf16 holds. The shorter ones
 * are the longer ones rounded down, so that 1 is never reached. */
RILL_RANDOM_INLINE_ double rill_random_unit_f64(uint64_t bits) {
  return (double)(bits >> 11) * (1.0 / 9007199254740992.0);
}
RILL_RANDOM_INLINE_ float rill_random_unit_f32(uint64_t bits) {
  return (float)(bits >> 40) * (1.0f / 16777216.0f);
}
RILL_RANDOM_INLINE_ float rill_random_unit_bf16(uint64_t bits) {
  return (float)(bits >> 56) * (1.0f / 256.0f);
}

/* Two independent normal numbers of a block, by Box and Muller. */
RILL_RANDOM_INLINE_ void rill_random_normal_pair(rill_philox_block block, double normal[2]) {
  double u = rill_random_unit_f64(rill_random_half(block, 0));
  double angle = 6.283185307179586 * rill_random_unit_f64(rill_random_half(block, 1));
  double radius = sqrt(-2.0 * log(1.0 - u)); /* 1 - u is in (0, 1] */
  normal[0] = radius * cos(angle);
  normal[1] = radius * sin(angle);
}

/* An integer in [0, range), range > 0: the upper half of the product, whose bias is below 2^-64
 * times the range. */
RILL_RANDOM_INLINE_ uint64_t rill_random_below(uint64_t bits, uint64_t range) {
  uint64_t low = (bits & 0xffffffffu) * (range & 0xffffffffu);
  uint64_t middle = (bits >> 32) * (range & 0xffffffffu) + (low >> 32);
  uint64_t other = (bits & 0xffffffffu) * (range >> 32) + (middle & 0xffffffffu);
  return (bits >> 32) * (range >> 32) + (middle >> 32) + (other >> 32);
}

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_RANDOM_H_ */
