/* Reading safetensors files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nn/checksum_impl.h"
#include "nn/safetensors_impl.h"
#include "ops/ops.h"
#include "tensor/io.h"

enum { LONGEST_HEADER = 100000000, LENGTH_BYTES = 8, PIECE = 1 << 20 };

/* ---- opening ---- */

static bool failed(const rill_safetensors *file, const char *what) {
  rill_fail(file->ctx, RILL_ERROR_FILE, "%s: %s: %s", file->path, what,
            errno ? strerror(errno) : "the file ends early");
  return false;
}

static bool read_header(rill_safetensors *file) {
  const rill_files *io = rill_context_files(file->ctx);
  unsigned char prefix[LENGTH_BYTES];
  uint64_t n = 0;
  int64_t size = io->size(io->user, file->fd);
  if (size < 0) {
    rill_fail(file->ctx, RILL_ERROR_FILE, "%s: is not a regular file", file->path);
    return false;
  }
  if (size < LENGTH_BYTES + 2) {
    rill_fail(file->ctx, RILL_ERROR_FILE,
              "%s: has %" PRId64 " bytes; a safetensors file has at least %d", file->path, size,
              LENGTH_BYTES + 2);
    return false;
  }
  if (!rill_file_read(file->ctx, file->fd, prefix, LENGTH_BYTES))
    return failed(file, "reading the header's length");
  for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | prefix[i];
  if (n > LONGEST_HEADER || n > (uint64_t)size - LENGTH_BYTES) {
    rill_fail(file->ctx, RILL_ERROR_FILE,
              "%s: the header is said to have %" PRIu64 " bytes; at most %d, and %" PRId64
              " of this file, are allowed",
              file->path, n, LONGEST_HEADER, size - LENGTH_BYTES);
    return false;
  }
  file->data_start = LENGTH_BYTES + (int64_t)n;
  file->data_bytes = size - file->data_start;
  char *header = rill_alloc(file->ctx, (size_t)n + 1);
  if (!header) return false;
  bool done = rill_file_read(file->ctx, file->fd, header, (size_t)n)
                  ? rilli_safetensors_parse(file, header, (size_t)n)
                  : failed(file, "reading the header");
  rill_free(file->ctx, header);
  return done;
}

rill_safetensors *rill_safetensors_open(rill_context *ctx, const char *path) {
  const rill_files *io = rill_context_files(ctx);
  rill_safetensors *file = rill_owned_alloc(ctx, sizeof *file);
  if (!file) return NULL;
  *file = (rill_safetensors){.ctx = ctx, .fd = -1};
  file->path = rill_owned_alloc(ctx, strlen(path) + 1);
  if (file->path) {
    memcpy(file->path, path, strlen(path) + 1);
    do file->fd = io->open(io->user, path, O_RDONLY | O_CLOEXEC, 0);
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) failed(file, "cannot be opened");
  }
  if (file->fd >= 0 && read_header(file)) return file;
  rill_safetensors_close(file);
  return NULL;
}

void rill_safetensors_close(rill_safetensors *file) {
  if (!file) return;
  const rill_files *io = rill_context_files(file->ctx);
  if (file->fd >= 0) io->close(io->user, file->fd);
  rill_owned_free(file->ctx, file->text);
  rill_owned_free(file->ctx, file->stored);
  rill_owned_free(file->ctx, file->by_name);
  rill_owned_free(file->ctx, file->metadata);
  rill_owned_free(file->ctx, file->path);
  rill_owned_free(file->ctx, file);
}

/* ---- looking ---- */

int64_t rill_safetensors_count(const rill_safetensors *file) { return file ? file->count : 0; }

rill_safetensors_entry rill_safetensors_at(const rill_safetensors *file, int64_t i) {
  if (!file || i < 0 || i >= file->count) return (rill_safetensors_entry){.name = NULL};
  return file->stored[i].head;
}

int64_t rill_safetensors_find(const rill_safetensors *file, const char *name) {
  int64_t low = 0, high = file ? file->count : 0;
  while (low < high) {
    int64_t middle = low + (high - low) / 2, i = file->by_name[middle];
    int order = strcmp(file->stored[i].head.name, name);
    if (order == 0) return i;
    if (order < 0) low = middle + 1;
    if (order > 0) high = middle;
  }
  return -1;
}

const char *rill_safetensors_metadata(const rill_safetensors *file, const char *key) {
  for (int64_t i = 0; file && i < file->metadata_count; i++)
    if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
  return NULL;
}

/* ---- tensors ---- */

static const char *stored_checksum(const rill_safetensors *file, const rilli_stored *s) {
  size_t prefix = sizeof RILLI_CHECKSUM_KEY - 1;
  for (int64_t i = 0; i < file->metadata_count; i++) {
    const char *key = file->metadata[i].key;
    if (strncmp(key, RILLI_CHECKSUM_KEY, prefix) == 0 && strcmp(key + prefix, s->head.name) == 0)
      return file->metadata[i].value;
  }
  return NULL;
}

static bool check_sum(const rill_safetensors *file, const rilli_stored *s, rilli_checksum sum) {
  char text[RILLI_CHECKSUM_TEXT];
  const char *expected = stored_checksum(file, s);
  snprintf(text, sizeof text, "%016" PRIx64, rilli_checksum_end(sum));
  if (!expected || strcmp(text, expected) == 0) return true;
  rill_fail(file->ctx, RILL_ERROR_FILE,
            "%s: tensor '%s' is damaged: its checksum is %s and should be %s", file->path,
            s->head.name, text, expected);
  return false;
}

static bool go_to(const rill_safetensors *file, const rilli_stored *s) {
  const rill_files *io = rill_context_files(file->ctx);
  return io->seek(io->user, file->fd, file->data_start + s->begin) >= 0 ||
         failed(file, "cannot be positioned");
}

/* Other values than 0 and 1 must not become booleans. */
static bool check_booleans(const rill_safetensors *file, const rilli_stored *s,
                           const unsigned char *bytes, int64_t count) {
  if (s->head.dtype != RILL_BOOL) return true;
  for (int64_t i = 0; i < count; i++) {
    if (bytes[i] <= 1) continue;
    rill_fail(file->ctx, RILL_ERROR_FILE, "%s: tensor '%s': element %" PRId64 " is %d, not 0 or 1",
              file->path, s->head.name, i, bytes[i]);
    return false;
  }
  return true;
}

/* Numbers of 5 exponent and 10 fraction bits to f32, exactly. */
static float from_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  float magnitude = (float)fraction / 16777216.0f; /* subnormal: fraction 2^-24 */
  uint32_t bits;
  memcpy(&bits, &magnitude, sizeof bits);
  if (exponent == 31) bits = 0x7f800000u | fraction << 13;
  if (exponent > 0 && exponent < 31) bits = (exponent + 112) << 23 | fraction << 13;
  bits |= sign;
  memcpy(&magnitude, &bits, sizeof magnitude);
  return magnitude;
}

/* `bytes` bytes of F16 at the beginning of a buffer of twice the size, in place. */
static void widen(char *values, int64_t bytes) {
  for (int64_t i = bytes / 2 - 1; i >= 0; i--) {
    const unsigned char *at = (const unsigned char *)values + 2 * i;
    float x = from_half((uint16_t)(at[0] | at[1] << 8));
    memcpy(values + 4 * i, &x, sizeof x);
  }
}

static rill_tensor *read_stored(rill_safetensors *file, const rilli_stored *s) {
  rill_context *ctx = file->ctx;
  int64_t bytes = s->end - s->begin;
  char *values = rill_alloc(ctx, (size_t)bytes * (s->half ? 2 : 1) + 1);
  bool done = values && go_to(file, s);
  if (done && !rill_file_read(ctx, file->fd, values, (size_t)bytes))
    done = failed(file, "reading a tensor");
  if (done) {
    rilli_checksum sum = rilli_checksum_new();
    rilli_checksum_add(&sum, values, (size_t)bytes);
    done = check_sum(file, s, sum) && check_booleans(file, s, (const unsigned char *)values, bytes);
  }
  if (done && s->half) widen(values, bytes);
  rill_tensor *x = done ? rill_from(ctx, s->head.dtype, s->head.shape, values)
                        : rill_zeros(ctx, RILL_F32, RILL_SHAPE(0));
  rill_free(ctx, values);
  return x;
}

rill_tensor *rill_safetensors_get(rill_safetensors *file, const char *name) {
  if (!file) return NULL;
  int64_t i = rill_safetensors_find(file, name);
  if (i >= 0) return read_stored(file, &file->stored[i]);
  rill_fail(file->ctx, RILL_ERROR_FILE, "%s: there is no tensor '%s'", file->path, name);
  return rill_zeros(file->ctx, RILL_F32, RILL_SHAPE(0));
}

/* ---- loading lists ---- */

static bool convertible(rill_dtype from, rill_dtype to) {
  return from == to || (rill_dtype_is_float(from) && rill_dtype_is_float(to));
}

static bool check_entry(const rill_safetensors *file, const rill_parameter *p) {
  int64_t i = rill_safetensors_find(file, p->name);
  if (i < 0) {
    rill_fail(file->ctx, RILL_ERROR_FILE, "%s: tensor '%s' is missing", file->path, p->name);
    return false;
  }
  const rill_safetensors_entry *have = &file->stored[i].head;
  rill_shape want = rill_shape_of(p->value);
  if (!rill_shape_equal(have->shape, want) || !convertible(have->dtype, rill_dtype_of(p->value))) {
    rill_fail(file->ctx, RILL_ERROR_FILE, "%s: tensor '%s' is %s %s; the model needs %s %s",
              file->path, p->name, rill_dtype_name(have->dtype), rill_shape_print(have->shape).text,
              rill_dtype_name(rill_dtype_of(p->value)), rill_shape_print(want).text);
    return false;
  }
  return true;
}

static bool check_extra(const rill_safetensors *file, rill_parameters into) {
  if (file->count == into.count) return true; /* all of them were found */
  for (int64_t i = 0; i < file->count; i++) {
    const char *name = file->stored[i].head.name;
    bool known = false;
    for (int64_t j = 0; j < into.count && !known; j++) known = strcmp(into.at[j].name, name) == 0;
    if (known) continue;
    rill_fail(file->ctx, RILL_ERROR_FILE, "%s: tensor '%s' is not part of the model", file->path,
              name);
    return false;
  }
  return true;
}

/* Reads the bytes of one tensor and compares their checksum, if there is one. */
static bool verify(const rill_safetensors *file, const rilli_stored *s, char *piece) {
  if (!stored_checksum(file, s)) return true;
  rilli_checksum sum = rilli_checksum_new();
  if (!go_to(file, s)) return false;
  for (int64_t at = s->begin; at < s->end;) {
    size_t n = (size_t)(s->end - at < PIECE ? s->end - at : PIECE);
    if (!rill_file_read(file->ctx, file->fd, piece, n)) return failed(file, "reading a tensor");
    rilli_checksum_add(&sum, piece, n);
    at += (int64_t)n;
  }
  return check_sum(file, s, sum);
}

bool rill_safetensors_load(rill_safetensors *file, rill_parameters into, bool exact) {
  if (!file) return false;
  rill_context *ctx = file->ctx;
  for (int64_t i = 0; i < into.count; i++)
    if (!check_entry(file, &into.at[i])) return false;
  if (exact && !check_extra(file, into)) return false;
  char *piece = rill_alloc(ctx, PIECE);
  bool done = piece != NULL;
  for (int64_t i = 0; done && i < into.count; i++)
    done = verify(file, &file->stored[rill_safetensors_find(file, into.at[i].name)], piece);
  rill_free(ctx, piece);
  for (int64_t i = 0; done && i < into.count; i++) {
    rill_scope *scope = rill_scope_open_no_grad(ctx);
    rill_tensor *x = rill_safetensors_get(file, into.at[i].name);
    done = !rill_is_void(x) && rill_assign(into.at[i].value, x);
    rill_scope_close(scope);
  }
  return done;
}
