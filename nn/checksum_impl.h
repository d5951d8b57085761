/* A 64-bit checksum of bytes, for detecting damage (not for security). Four lanes take turns at the
 * 8-byte words; each step can be undone, so any change of one word changes the sum. Bytes may come
 * in pieces of any length. */
#ifndef RILL_NN_CHECKSUM_IMPL_H_
#define RILL_NN_CHECKSUM_IMPL_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RILLI_CHECKSUM_BLOCK = 32 };

typedef struct {
  uint64_t lane[4];
  uint64_t length;
  unsigned char tail[RILLI_CHECKSUM_BLOCK]; /* length % 32 bytes that wait for more */
} rilli_checksum;

static inline uint64_t rilli_checksum_step(uint64_t lane, uint64_t word) {
  lane = (lane ^ word) * 0xd6e8feb86659fd93u;
  return lane ^ (lane >> 32);
}

static inline void rilli_checksum_block(rilli_checksum *sum, const unsigned char *bytes) {
  for (int i = 0; i < 4; i++) {
    uint64_t word;
    memcpy(&word, bytes + 8 * i, sizeof word);
    sum->lane[i] = rilli_checksum_step(sum->lane[i], word);
  }
}

static inline rilli_checksum rilli_checksum_new(void) {
  return (rilli_checksum){.lane = {1, 2, 3, 4}};
}

static inline void rilli_checksum_add(rilli_checksum *sum, const void *data, size_t count) {
  const unsigned char *bytes = data;
  size_t waiting = (size_t)(sum->length % RILLI_CHECKSUM_BLOCK);
  sum->length += count;
  if (waiting) {
    size_t room = RILLI_CHECKSUM_BLOCK - waiting, taken = count < room ? count : room;
    memcpy(sum->tail + waiting, bytes, taken);
    if (taken < room) return;
    rilli_checksum_block(sum, sum->tail);
    bytes += taken;
    count -= taken;
  }
  for (; count >= RILLI_CHECKSUM_BLOCK; count -= RILLI_CHECKSUM_BLOCK) {
    rilli_checksum_block(sum, bytes);
    bytes += RILLI_CHECKSUM_BLOCK;
  }
  if (count) memcpy(sum->tail, bytes, count);
}

static inline uint64_t rilli_checksum_end(rilli_checksum sum) {
  size_t waiting = (size_t)(sum.length % RILLI_CHECKSUM_BLOCK);
  if (waiting) {
    memset(sum.tail + waiting, 0, RILLI_CHECKSUM_BLOCK - waiting);
    rilli_checksum_block(&sum, sum.tail);
  }
  uint64_t h = sum.length;
  for (int i = 0; i < 4; i++) h = rilli_checksum_step(h, sum.lane[i]);
  return rilli_checksum_step(h, h >> 29);
}

#endif /* RILL_NN_CHECKSUM_IMPL_H_ */
