/* Arrays and streams of tokens. */
#include "examples/lm/tokens.h"

#include <stdlib.h>
#include <string.h>

void lm_tokens_read(const lm_tokens *t, int64_t begin, int64_t count, int32_t *out) {
  if (t->width == 1) {
    const uint8_t *from = (const uint8_t *)t->data + begin;
    for (int64_t i = 0; i < count; i++) out[i] = from[i];
  } else if (t->width == 2) {
    const uint16_t *from = (const uint16_t *)t->data + begin;
    for (int64_t i = 0; i < count; i++) out[i] = from[i];
  } else {
    memcpy(out, (const int32_t *)t->data + begin, (size_t)count * sizeof *out);
  }
}

bool lm_tokens_push(lm_bytes *array, int width, int32_t token, char *err) {
  if (!lm_bytes_reserve(array, width, err)) return false;
  uint8_t *to = array->data + array->count;
  if (width == 1) {
    *to = (uint8_t)token;
  } else if (width == 2) {
    memcpy(to, &(uint16_t){(uint16_t)token}, 2);
  } else {
    memcpy(to, &token, 4);
  }
  array->count += width;
  return true;
}

int32_t lm_tokens_largest(const lm_tokens *t) {
  int32_t largest = -1;
  for (int64_t i = 0; i < t->count; i++) {
    int32_t token = lm_token_at(t, i);
    if (token < 0) return INT32_MAX;
    if (token > largest) largest = token;
  }
  return largest;
}

bool lm_parts_add(lm_parts *stream, lm_tokens part, char *err) {
  if (part.count == 0) return true;
  if (stream->parts == stream->capacity) {
    int64_t capacity = stream->capacity * 2 + 4;
    lm_tokens *larger = lm_resize(stream->part, capacity, sizeof *larger, err);
    if (!larger) return false;
    stream->part = larger;
    stream->capacity = capacity;
  }
  stream->part[stream->parts++] = part;
  stream->count += part.count;
  return true;
}

void lm_parts_free(lm_parts *stream) {
  free(stream->part);
  *stream = (lm_parts){0};
}
