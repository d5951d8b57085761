/* Shards: the header, mapping, writing. */
#include "examples/lm/shard.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "examples/lm/hash.h"
#include "examples/lm/map.h"

static const struct {
  int32_t magic, version;
  int width;
} kinds[] = {{20240520, 1, 2}, {20240801, 7, 4}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int32_t number_at(const void *bytes, int index) {
  const uint8_t *b = (const uint8_t *)bytes + 4 * index;
  uint32_t n = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
  return (int32_t)n;
}

static void put_number(void *bytes, int index, int32_t number) {
  uint8_t *b = (uint8_t *)bytes + 4 * index;
  for (int i = 0; i < 4; i++) b[i] = (uint8_t)((uint32_t)number >> 8 * i);
}

bool lm_shard_parse(const void *bytes, int64_t given, int64_t size, lm_tokens *tokens, char *err) {
  *tokens = (lm_tokens){0};
  if (given < LM_SHARD_HEADER || size < given)
    return lm_fail(err, "it has %lld bytes; a shard of tokens begins with %d", (long long)size,
                   LM_SHARD_HEADER);
  int32_t magic = number_at(bytes, 0), version = number_at(bytes, 1), count = number_at(bytes, 2);
  for (int i = 0; i < KINDS; i++)
    if (kinds[i].magic == magic && kinds[i].version == version) tokens->width = kinds[i].width;
  if (tokens->width == 0)
    return lm_fail(err,
                   "it begins with %d, version %d; a shard of tokens with 20240520, version 1 (2 "
                   "bytes), or 20240801, version 7 (4 bytes)",
                   magic, version);
  if (count < 0) return lm_fail(err, "its header says that it has %d tokens", count);
  tokens->count = count;
  if (size != LM_SHARD_HEADER + (int64_t)count * tokens->width)
    return lm_fail(err, "its header says %d tokens of %d bytes, %lld bytes in all, but it has %lld",
                   count, tokens->width, LM_SHARD_HEADER + (long long)count * tokens->width,
                   (long long)size);
  if (given == size) tokens->data = (const uint8_t *)bytes + LM_SHARD_HEADER;
  return true;
}

bool lm_shard_open(lm_shard *shard, const char *path, char *err) {
  *shard = (lm_shard){0};
  if (!lm_map(&shard->file, path, err)) return false;
  int64_t size = shard->file.count;
  if (lm_shard_parse(shard->file.bytes, size, size, &shard->tokens, err)) return true;
  lm_shard_close(shard);
  return lm_fail(err, "'%s': %s", path, err);
}

void lm_shard_close(lm_shard *shard) {
  lm_unmap(&shard->file);
  *shard = (lm_shard){0};
}

bool lm_shard_is(const char *path) {
  uint8_t bytes[4] = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool whole = fd >= 0 && read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
  if (fd >= 0) close(fd);
  for (int i = 0; whole && i < KINDS; i++)
    if (number_at(bytes, 0) == kinds[i].magic) return true;
  return false;
}

bool lm_shard_begin(lm_bytes *bytes, char *err) {
  bytes->count = 0;
  if (!lm_bytes_reserve(bytes, LM_SHARD_HEADER, err)) return false;
  memset(bytes->data, 0, LM_SHARD_HEADER);
  bytes->count = LM_SHARD_HEADER;
  return true;
}

bool lm_shard_save(lm_bytes *bytes, int width, const char *path, char sha256[65], char *err) {
  int64_t count = (bytes->count - LM_SHARD_HEADER) / width;
  if (count > INT32_MAX)
    return lm_fail(err, "'%s': a shard cannot hold %lld tokens", path, (long long)count);
  for (int i = 0; i < KINDS; i++) {
    if (kinds[i].width != width) continue;
    put_number(bytes->data, 0, kinds[i].magic);
    put_number(bytes->data, 1, kinds[i].version);
  }
  put_number(bytes->data, 2, (int32_t)count);
  if (sha256) lm_sha256(bytes->data, (size_t)bytes->count, sha256);
  bool ok = lm_write_file(path, bytes->data, (size_t)bytes->count, err);
  bytes->count = 0;
  return ok;
}
