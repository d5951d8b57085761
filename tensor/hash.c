/* A 64-bit hash of a tensor: shape, dtype and elements in row-major order.
 *
 * Four lanes take eight bytes each in turn, so that the multiplications overlap; the lanes are then
 * folded into one. It tells tensors apart and finds damage; it is no protection against an enemy.
 */
#include <string.h>

#include "tensor/internal.h"

static const uint64_t odd_a = 0x9e3779b97f4a7c15u, odd_b = 0xc2b2ae3d27d4eb4fu;

static uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * odd_a;
  return h ^ (h >> 29);
}

static uint64_t finish(uint64_t h) {
  h = (h ^ (h >> 32)) * odd_b;
  h = (h ^ (h >> 29)) * odd_a;
  return h ^ (h >> 32);
}

static uint64_t word_at(const unsigned char *p, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; i++) word |= (uint64_t)p[i] << (8 * i);
  return word;
}

static uint64_t hash_bytes(const unsigned char *p, size_t bytes, uint64_t seed) {
  uint64_t lane[4] = {seed, seed + odd_a, seed + odd_b, seed ^ odd_a};
  size_t i = 0;
  for (; i + 32 <= bytes; i += 32)
    for (size_t k = 0; k < 4; k++) lane[k] = mix(lane[k], word_at(p + i + 8 * k, 8));
  uint64_t h = seed ^ (uint64_t)bytes;
  for (size_t k = 0; k < 4; k++) h = mix(h, finish(lane[k]));
  for (; i < bytes; i += 8) h = mix(h, word_at(p + i, bytes - i < 8 ? bytes - i : 8));
  return finish(h);
}

uint64_t rill_hash(rill_tensor *x) {
  rilli_check(x, "rill_hash", "x");
  if (rill_is_void(x) || rilli_failed(x->ctx)) return 0;
  uint64_t head = mix(odd_b, (uint64_t)x->array.dtype);
  head = mix(head, (uint64_t)x->array.rank);
  for (int d = 0; d < x->array.rank; d++) head = mix(head, (uint64_t)x->array.size[d]);
  size_t bytes = (size_t)rill_count(x) * rill_dtype_size(x->array.dtype);
  const unsigned char *data = x->array.data;
  if (x->storage->device->kind == RILL_CPU && rill_array_contiguous(&x->array))
    return hash_bytes(data, bytes, head);
  unsigned char *values = rill_alloc(x->ctx, bytes);
  uint64_t h = values && rill_read(x, values, bytes) ? hash_bytes(values, bytes, head) : 0;
  rill_free(x->ctx, values);
  return h;
}
