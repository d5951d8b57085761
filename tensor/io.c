/* Files: the operating system's calls behind the table, and the three things done with them: a
 * whole count, a whole file, an atomic replacement.
 *
 * A save writes a new file beside the old one, brings it to the disk, and only then renames it over
 * the old one: whoever reads or crashes meanwhile sees one of the two, never a part. */
#include "tensor/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/checked.h"
#include "tensor/internal.h"

/* ---- the operating system ---- */

static int system_open(void *user, const char *path, int flags, int mode) {
  (void)user;
  return open(path, flags, (mode_t)mode);
}
static int64_t system_read(void *user, int fd, void *bytes, size_t count) {
  (void)user;
  return read(fd, bytes, count);
}
static int64_t system_write(void *user, int fd, const void *bytes, size_t count) {
  (void)user;
  return write(fd, bytes, count);
}
static int64_t system_size(void *user, int fd) {
  (void)user;
  struct stat about;
  if (fstat(fd, &about) != 0) return -1;
  if (S_ISREG(about.st_mode)) return about.st_size;
  errno = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
  return -1;
}
static int64_t system_seek(void *user, int fd, int64_t offset) {
  (void)user;
  return lseek(fd, (off_t)offset, SEEK_SET);
}
static int system_sync(void *user, int fd) {
  (void)user;
  return fsync(fd);
}
static int system_close(void *user, int fd) {
  (void)user;
  return close(fd);
}
static int system_rename(void *user, const char *from, const char *to) {
  (void)user;
  return rename(from, to);
}
static int system_unlink(void *user, const char *path) {
  (void)user;
  return unlink(path);
}
static int system_mkdir(void *user, const char *path, int mode) {
  (void)user;
  return mkdir(path, (mode_t)mode);
}

const rill_files *rilli_system_files(void) {
  static const rill_files files = {system_open,   system_read,  system_write, system_size,
                                   system_seek,   system_sync,  system_close, system_rename,
                                   system_unlink, system_mkdir, NULL};
  return &files;
}

/* ---- whole counts ---- */

/* One call moves at most this much: larger counts are refused or cut by some systems. */
#define MOST_AT_ONCE ((size_t)1 << 30)

bool rill_file_read(rill_context *ctx, int fd, void *bytes, size_t count) {
  const rill_files *files = rill_context_files(ctx);
  char *to = bytes;
  while (count > 0) {
    size_t ask = count < MOST_AT_ONCE ? count : MOST_AT_ONCE;
    int64_t got = files->read(files->user, fd, to, ask);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) {
      errno = 0;
      return false;
    }
    to += got;
    count -= (size_t)got;
  }
  return true;
}

bool rill_file_write(rill_context *ctx, int fd, const void *bytes, size_t count) {
  const rill_files *files = rill_context_files(ctx);
  const char *from = bytes;
  while (count > 0) {
    size_t ask = count < MOST_AT_ONCE ? count : MOST_AT_ONCE;
    int64_t put = files->write(files->user, fd, from, ask);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    if (put == 0) { /* a device that takes nothing would be asked for ever */
      errno = ENOSPC;
      return false;
    }
    from += put;
    count -= (size_t)put;
  }
  return true;
}

/* ---- a whole file ---- */

static void *load_failed(rill_context *ctx, const char *path, const char *what) {
  int code = errno;
  rill_fail(ctx, RILL_ERROR_FILE, "rill_file_load: \"%.300s\" %s%s%s", path, what, code ? ": " : "",
            code ? strerror(code) : "");
  return NULL;
}

static void *load_open(rill_context *ctx, int fd, const char *path, size_t limit, size_t *bytes) {
  const rill_files *files = rill_context_files(ctx);
  int64_t size = files->size(files->user, fd);
  if (size < 0) return load_failed(ctx, path, "is no regular file");
  if ((uint64_t)size > limit || (uint64_t)size >= SIZE_MAX) {
    rill_fail(ctx, RILL_ERROR_FILE,
              "rill_file_load: \"%.300s\" has %lld bytes; at most %zu are taken", path,
              (long long)size, limit);
    return NULL;
  }
  char *memory = rill_alloc(ctx, (size_t)size + 1);
  if (!memory) return NULL;
  if (!rill_file_read(ctx, fd, memory, (size_t)size)) {
    load_failed(ctx, path, errno ? "could not be read" : "ended before its size");
    rill_free(ctx, memory);
    return NULL;
  }
  memory[size] = '\0';
  *bytes = (size_t)size;
  return memory;
}

void *rill_file_load(rill_context *ctx, const char *path, size_t limit, size_t *bytes) {
  const rill_files *files = rill_context_files(ctx);
  *bytes = 0;
  if (rilli_failed(ctx)) return NULL;
  /* Not blocking: opening a pipe would wait for its writer. */
  int fd = files->open(files->user, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0) return load_failed(ctx, path, "could not be opened");
  void *memory = load_open(ctx, fd, path, limit, bytes);
  files->close(files->user, fd);
  return memory;
}

/* ---- an atomic replacement ---- */

enum { TRIES = 1000 };

static bool save_failed(rill_context *ctx, const char *path, const char *what) {
  rill_fail(ctx, RILL_ERROR_FILE, "rill_file_save: \"%.300s\": %s: %s", path, what,
            strerror(errno));
  return false;
}

static int sync_file(const rill_files *files, int fd) {
  int done;
  do done = files->sync(files->user, fd);
  while (done != 0 && errno == EINTR);
  return done;
}

/* Opens a file that did not exist before; its name is left in `temporary`. */
static int open_unique(const rill_files *files, const char *path, char *temporary, size_t room) {
  int fd = -1;
  for (int i = 0; i < TRIES && fd < 0; i++) {
    snprintf(temporary, room, "%s.%ld-%d.tmp", path, (long)getpid(), i);
    fd = files->open(files->user, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) return -1;
  }
  return fd;
}

/* The name of a file is on the disk when its folder is. Some file systems cannot sync a folder and
 * say EINVAL; they have nothing to sync. */
static bool sync_folder(rill_context *ctx, const char *path, char *folder) {
  const rill_files *files = rill_context_files(ctx);
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) : 0;
  memcpy(folder, path, length);
  folder[length] = '\0';
  const char *name = !slash ? "." : length ? folder : "/";
  int fd = files->open(files->user, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return save_failed(ctx, path, "in place, but its folder could not be opened to sync");
  bool synced = sync_file(files, fd) == 0 || errno == EINVAL;
  if (!synced) save_failed(ctx, path, "in place, but its folder could not be synced");
  files->close(files->user, fd);
  return synced;
}

/* Takes over fd. */
static bool fill_file(rill_context *ctx, const char *path, int fd, const void *bytes,
                      size_t count) {
  const rill_files *files = rill_context_files(ctx);
  bool done = rill_file_write(ctx, fd, bytes, count);
  if (!done) save_failed(ctx, path, "could not be written");
  if (done && sync_file(files, fd) != 0)
    done = save_failed(ctx, path, "could not be brought to the disk");
  int closed = files->close(files->user, fd);
  if (done && closed != 0 && errno != EINTR) done = save_failed(ctx, path, "could not be closed");
  return done;
}

bool rill_file_save(rill_context *ctx, const char *path, const void *bytes, size_t count) {
  if (rilli_failed(ctx)) return false;
  const rill_files *files = rill_context_files(ctx);
  size_t room;
  if (!rilli_add_size(strlen(path), 48, &room)) return false;
  char *name = rill_alloc(ctx, room);
  if (!name) return false;
  int fd = open_unique(files, path, name, room);
  bool done = fd >= 0 || save_failed(ctx, path, "a file beside it could not be created");
  if (fd >= 0) {
    done = fill_file(ctx, path, fd, bytes, count);
    if (done && files->rename(files->user, name, path) != 0)
      done = save_failed(ctx, path, "the new file could not be given its name");
    if (!done) files->unlink(files->user, name);
  }
  done = done && sync_folder(ctx, path, name);
  rill_free(ctx, name);
  return done;
}
