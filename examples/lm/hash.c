/* SHA-256, from libmd. */
#include "examples/lm/hash.h"

#include <sys/types.h>

#include <sha2.h>

void lm_sha256(const void *bytes, size_t count, char text[65]) {
  SHA2_CTX sum;
  SHA256Init(&sum);
  SHA256Update(&sum, bytes, count);
  SHA256End(&sum, text);
}
