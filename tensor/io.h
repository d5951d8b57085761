/* Files: every read and write of the library goes through this table, so that a test can make any
 * call fail. */
#ifndef RILL_TENSOR_IO_H_
#define RILL_TENSOR_IO_H_

#include "tensor/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each entry behaves as the POSIX call of its name (short counts and EINTR are allowed; -1 sets
 * errno). */
typedef struct rill_files {
  int (*open)(void *user, const char *path, int flags, int mode);
  int64_t (*read)(void *user, int fd, void *bytes, size_t count);
  int64_t (*write)(void *user, int fd, const void *bytes, size_t count);
  int64_t (*size)(void *user, int fd);                 /* of a regular file, or -1 */
  int64_t (*seek)(void *user, int fd, int64_t offset); /* from the start */
  int (*sync)(void *user, int fd);
  int (*close)(void *user, int fd);
  int (*rename)(void *user, const char *from, const char *to);
  int (*unlink)(void *user, const char *path);
  int (*mkdir)(void *user, const char *path, int mode);
  void *user;
} rill_files;

const rill_files *rill_context_files(const rill_context *ctx);

/* Host memory of the context, for what is not a tensor. rill_alloc records an error and returns
 * NULL when there is none; the size is remembered, so that rill_free needs only the pointer (NULL
 * is allowed). */
void *rill_alloc(rill_context *ctx, size_t bytes);
void rill_free(rill_context *ctx, void *memory);

/* The same, zeroed, and released at the latest with the context: for objects that belong to it
 * (modules, optimizers). rill_owned_free releases one early; NULL is allowed. */
void *rill_owned_alloc(rill_context *ctx, size_t bytes);
void rill_owned_free(rill_context *ctx, void *memory);

/* Reads or writes `count` bytes fully, going on after short counts and EINTR. False with errno set;
 * a file that ends early sets errno to 0. */
bool rill_file_read(rill_context *ctx, int fd, void *bytes, size_t count);
bool rill_file_write(rill_context *ctx, int fd, const void *bytes, size_t count);

/* Reads a whole regular file of at most `limit` bytes into memory from rill_alloc (one zero byte is
 * appended). NULL and an error when it cannot be read. */
void *rill_file_load(rill_context *ctx, const char *path, size_t limit, size_t *bytes);

/* Replaces or creates `path` atomically: a unique temporary file in the same folder, written,
 * synced, renamed, the folder synced. After a failure the old file is as it was; only when the last
 * step fails, syncing the folder, the new one is already there (and the message says so). */
bool rill_file_save(rill_context *ctx, const char *path, const void *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_IO_H_ */
