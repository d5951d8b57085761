/* Writing safetensors files. The header comes first and holds the checksums, so every tensor is
 * looked at twice: once to sum it up, once to write it. The file is read back before it takes the
 * place of an older one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/checksum_impl.h"
#include "nn/safetensors_impl.h"
#include "tensor/io.h"

enum { ALIGNMENT = 8, PIECE = 1 << 20, LONGEST_HEADER = 100000000, ATTEMPTS = 1000 };

typedef struct {
  rill_context *ctx;
  const char *path;
  char *temporary; /* the path that is written to */
  int fd;
  rilli_checksum written; /* of all bytes of the file */
} job;

static bool failed(const job *j, const char *what) {
  rill_fail(j->ctx, RILL_ERROR_FILE, "%s: %s: %s", j->path, what,
            errno ? strerror(errno) : "the file ends early");
  return false;
}

/* ---- the bytes of a tensor ---- */

/* Row-major bytes of x in host memory; *copy is what the caller must free. NULL when memory is
 * short. */
static const void *bytes_of(rill_context *ctx, rill_tensor *x, size_t *count, void **copy) {
  rill_array array = rill_array_of(x);
  *count = (size_t)rill_count(x) * rill_dtype_size(rill_dtype_of(x));
  *copy = NULL;
  if (rill_context_device(ctx) == RILL_CPU && rill_array_contiguous(&array) && *count > 0)
    return array.data;
  *copy = rill_alloc(ctx, *count + 1);
  if (*copy && !rill_read(x, *copy, *count)) {
    rill_free(ctx, *copy);
    *copy = NULL;
  }
  return *copy;
}

static bool sum_of(rill_context *ctx, rill_tensor *x, char text[RILLI_CHECKSUM_TEXT]) {
  size_t count;
  void *copy;
  rilli_checksum sum = rilli_checksum_new();
  const void *bytes = bytes_of(ctx, x, &count, &copy);
  if (!bytes) return false;
  rilli_checksum_add(&sum, bytes, count);
  rill_free(ctx, copy);
  snprintf(text, RILLI_CHECKSUM_TEXT, "%016" PRIx64, rilli_checksum_end(sum));
  return true;
}

/* ---- the header ---- */

static bool refuse(rill_context *ctx, const char *path, const char *what, const char *name) {
  rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_safetensors_save: %s: %s '%s'", path, what, name);
  return false;
}

static bool add_metadata(const job *j, json_t *metadata, const char *key, const char *value) {
  if (json_object_get(metadata, key))
    return refuse(j->ctx, j->path, "there are two entries of metadata", key);
  return json_object_set_new(metadata, key, json_string(value)) == 0 ||
         refuse(j->ctx, j->path, "short of memory, or this is not UTF-8: metadata", key);
}

static bool add_tensor(const job *j, json_t *root, json_t *metadata, const rill_parameter *p,
                       int64_t *offset) {
  char key[256], sum[RILLI_CHECKSUM_TEXT];
  rill_shape shape = rill_shape_of(p->value);
  int64_t begin = *offset;
  if (json_object_get(root, p->name) || strcmp(p->name, RILLI_METADATA_KEY) == 0)
    return refuse(j->ctx, j->path, "there are two tensors", p->name);
  if (rill_is_void(p->value)) return refuse(j->ctx, j->path, "void tensor", p->name);
  if (!sum_of(j->ctx, p->value, sum)) return false;
  int length = snprintf(key, sizeof key, RILLI_CHECKSUM_KEY "%s", p->name);
  if (length < 0 || (size_t)length >= sizeof key)
    return refuse(j->ctx, j->path, "a name is too long", p->name);
  *offset += rill_count(p->value) * (int64_t)rill_dtype_size(rill_dtype_of(p->value));
  if (!add_metadata(j, metadata, key, sum)) return false;
  json_t *sizes = json_array();
  for (int d = 0; d < shape.rank; d++) json_array_append_new(sizes, json_integer(shape.size[d]));
  json_t *entry =
      json_pack("{s:s, s:o, s:[I, I]}", "dtype", rilli_safetensors_dtype(rill_dtype_of(p->value)),
                "shape", sizes, "data_offsets", (json_int_t)begin, (json_int_t)*offset);
  return json_object_set_new(root, p->name, entry) == 0 ||
         refuse(j->ctx, j->path, "short of memory, or this is not UTF-8: tensor", p->name);
}

/* The length prefix and the JSON text, padded with spaces; rill_free releases it. */
static char *print_header(const job *j, const json_t *root, size_t *bytes) {
  size_t length = json_dumpb(root, NULL, 0, JSON_COMPACT | JSON_PRESERVE_ORDER);
  size_t n = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (length == 0 || n > LONGEST_HEADER) {
    refuse(j->ctx, j->path, "the header cannot be written: too many tensors, or no memory", "");
    return NULL;
  }
  char *header = rill_alloc(j->ctx, ALIGNMENT + n);
  if (!header) return NULL;
  for (int i = 0; i < ALIGNMENT; i++) header[i] = (char)((uint64_t)n >> (8 * i) & 0xff);
  memset(header + ALIGNMENT, ' ', n);
  json_dumpb(root, header + ALIGNMENT, n, JSON_COMPACT | JSON_PRESERVE_ORDER);
  *bytes = ALIGNMENT + n;
  return header;
}

static char *make_header(const job *j, rill_parameters tensors, int64_t count,
                         const rill_metadata *extra, size_t *bytes) {
  json_t *root = json_object(), *metadata = json_object();
  int64_t offset = 0;
  bool done = json_object_set(root, RILLI_METADATA_KEY, metadata) == 0;
  if (!done) refuse(j->ctx, j->path, "out of memory for the header of", j->path);
  for (int64_t i = 0; done && i < count; i++)
    done = add_metadata(j, metadata, extra[i].key, extra[i].value);
  if (done && !json_object_get(metadata, "format"))
    done = add_metadata(j, metadata, "format", "rill");
  for (int64_t i = 0; done && i < tensors.count; i++)
    done = add_tensor(j, root, metadata, &tensors.at[i], &offset);
  char *header = done ? print_header(j, root, bytes) : NULL;
  json_decref(metadata);
  json_decref(root);
  return header;
}

/* ---- the file ---- */

/* A new file beside the target, open for reading and writing. */
static bool open_temporary(job *j) {
  const rill_files *io = rill_context_files(j->ctx);
  size_t room = strlen(j->path) + 48;
  j->temporary = rill_alloc(j->ctx, room);
  if (!j->temporary) return false;
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    snprintf(j->temporary, room, "%s.tmp-%ld-%d", j->path, (long)getpid(), attempt);
    j->fd = io->open(io->user, j->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (j->fd >= 0) return true;
    if (errno != EEXIST && errno != EINTR) break;
  }
  return failed(j, "a file beside it cannot be made");
}

static bool write_bytes(job *j, const void *bytes, size_t count) {
  rilli_checksum_add(&j->written, bytes, count);
  return rill_file_write(j->ctx, j->fd, bytes, count) || failed(j, "writing");
}

static bool write_tensors(job *j, rill_parameters tensors) {
  bool done = true;
  for (int64_t i = 0; done && i < tensors.count; i++) {
    size_t count;
    void *copy;
    const void *bytes = bytes_of(j->ctx, tensors.at[i].value, &count, &copy);
    done = bytes && write_bytes(j, bytes, count);
    rill_free(j->ctx, copy);
  }
  return done;
}

/* Reads everything back and compares. */
static bool read_back(const job *j) {
  const rill_files *io = rill_context_files(j->ctx);
  uint64_t left = j->written.length;
  rilli_checksum sum = rilli_checksum_new();
  char *piece = rill_alloc(j->ctx, PIECE);
  bool done = piece && (io->seek(io->user, j->fd, 0) >= 0 || failed(j, "reading back"));
  while (done && left > 0) {
    size_t n = left < PIECE ? (size_t)left : PIECE;
    done = rill_file_read(j->ctx, j->fd, piece, n) || failed(j, "reading back");
    if (done) rilli_checksum_add(&sum, piece, n);
    left -= n;
  }
  rill_free(j->ctx, piece);
  if (done && rilli_checksum_end(sum) != rilli_checksum_end(j->written)) {
    rill_fail(j->ctx, RILL_ERROR_FILE, "%s: what was read back is not what was written", j->path);
    return false;
  }
  return done;
}

/* Makes the rename durable. File systems that cannot sync a folder say EINVAL. */
static bool sync_folder(const job *j) {
  const rill_files *io = rill_context_files(j->ctx);
  const char *slash = strrchr(j->path, '/');
  size_t length = slash ? (size_t)(slash - j->path) : 0;
  char *folder = rill_alloc(j->ctx, length + 2);
  if (!folder) return false;
  memcpy(folder, j->path, length);
  memcpy(folder + length, slash ? (length ? "" : "/") : ".", length && slash ? 1 : 2);
  int fd = io->open(io->user, folder, O_RDONLY | O_CLOEXEC, 0);
  rill_free(j->ctx, folder);
  if (fd < 0) return failed(j, "its folder cannot be opened");
  bool done = io->sync(io->user, fd) == 0 || errno == EINVAL || failed(j, "syncing its folder");
  io->close(io->user, fd);
  return done;
}

static bool finish(job *j) {
  const rill_files *io = rill_context_files(j->ctx);
  bool done = (io->sync(io->user, j->fd) == 0 || failed(j, "syncing")) && read_back(j);
  if (io->close(io->user, j->fd) != 0 && done) done = failed(j, "closing");
  j->fd = -1;
  if (done && io->rename(io->user, j->temporary, j->path) != 0) done = failed(j, "renaming");
  if (!done) {
    io->unlink(io->user, j->temporary);
    return false;
  }
  return sync_folder(j);
}

bool rill_safetensors_save(rill_context *ctx, const char *path, rill_parameters tensors,
                           int64_t metadata_count, const rill_metadata *metadata) {
  const rill_files *io = rill_context_files(ctx);
  job j = {.ctx = ctx, .path = path, .fd = -1, .written = rilli_checksum_new()};
  size_t bytes = 0;
  if (rill_error(ctx)) return false;
  char *header = make_header(&j, tensors, metadata_count, metadata, &bytes);
  bool done = header && open_temporary(&j);
  if (done) {
    done = write_bytes(&j, header, bytes) && write_tensors(&j, tensors);
    if (done) {
      done = finish(&j);
    } else {
      io->close(io->user, j.fd);
      io->unlink(io->user, j.temporary);
    }
  }
  rill_free(ctx, header);
  rill_free(ctx, j.temporary);
  return done;
}
