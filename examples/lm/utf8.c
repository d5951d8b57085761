/* UTF-8: sequences, whole and in part. */
#include "examples/lm/utf8.h"

#include <string.h>

/* Bytes of the sequence that this byte begins; 0 when it begins none. */
static int length_of(uint8_t first) {
  return first < 0x80   ? 1
         : first < 0xc2 ? 0
         : first < 0xe0 ? 2
         : first < 0xf0 ? 3
         : first < 0xf5 ? 4
                        : 0;
}

static bool continues(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* May the first two bytes of a sequence stand together? */
static bool begins_well(uint8_t first, uint8_t second) {
  bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  bool surrogate = first == 0xed && second > 0x9f, large = first == 0xf4 && second > 0x8f;
  return !overlong && !surrogate && !large;
}

int lm_utf8_length(const uint8_t *text, int64_t left) {
  int n = length_of(text[0]);
  if (n > left) return 0;
  for (int i = 1; i < n; i++)
    if (!continues(text[i])) return 0;
  return n < 2 || begins_well(text[0], text[1]) ? n : 0;
}

int lm_utf8_pending(const uint8_t *text, int64_t count) {
  for (int n = 1; n <= 3 && n <= count; n++) {
    const uint8_t *first = text + count - n;
    if (continues(*first)) continue;
    return length_of(*first) > n && (n < 2 || begins_well(first[0], first[1])) ? n : 0;
  }
  return 0;
}

bool lm_utf8_clean(const uint8_t *text, int64_t count, lm_bytes *out, char *err) {
  static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
  for (int64_t i = 0; i < count;) {
    int n = lm_utf8_length(text + i, count - i);
    if (!lm_bytes_reserve(out, 4, err)) return false;
    const uint8_t *from = n > 0 ? text + i : replacement;
    int bytes = n > 0 ? n : 3;
    memcpy(out->data + out->count, from, (size_t)bytes);
    out->count += bytes;
    i += n > 0 ? n : 1;
  }
  return true;
}

int64_t lm_utf8_count(const uint8_t *text, int64_t count) {
  int64_t characters = 0;
  for (int64_t i = 0; i < count; characters++) {
    int n = lm_utf8_length(text + i, count - i);
    i += n > 0 ? n : 1;
  }
  return characters;
}
