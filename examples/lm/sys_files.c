/* Files: reading through a table of calls, and replacing a file atomically.
 *
 * A reader of a replaced file sees the old bytes or the new ones, whatever happens in between: the
 * new ones reach the disk under another name before the rename, which the last sync makes lasting.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/lm/sys.h"
#include "tensor/io.h"

static int system_open(void *user, const char *path, int flags, int mode) {
  (void)user;
  return open(path, flags, mode);
}

static int64_t system_read(void *user, int fd, void *bytes, size_t count) {
  (void)user;
  return read(fd, bytes, count);
}

static int64_t system_size(void *user, int fd) {
  (void)user;
  struct stat s;
  return fstat(fd, &s) == 0 && S_ISREG(s.st_mode) ? (int64_t)s.st_size : -1;
}

static int system_close(void *user, int fd) {
  (void)user;
  return close(fd);
}

static const rill_files system_reading = {
    .open = system_open, .read = system_read, .size = system_size, .close = system_close};

bool lm_read_append(const rill_files *files, const char *path, int64_t limit, lm_bytes *bytes,
                    char *err) {
  const rill_files *f = files ? files : &system_reading;
  const int64_t before = bytes->count;
  int fd = f->open(f->user, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return lm_fail(err, "cannot read '%s': %s", path, strerror(errno));
  int64_t size = f->size(f->user, fd); /* a hint: a pipe has none, and a file may still grow */
  int64_t room = size >= 0 && size <= limit ? size + 1 : 65536;
  bool ok = false;
  for (;;) {
    if (bytes->count - before > limit) {
      lm_fail(err, "'%s' is longer than the %lld bytes allowed", path, (long long)limit);
      break;
    }
    if (bytes->count == bytes->capacity || bytes->count == before) {
      if (!lm_bytes_reserve(bytes, room, err)) break;
      room = 65536;
    }
    int64_t got =
        f->read(f->user, fd, bytes->data + bytes->count, (size_t)(bytes->capacity - bytes->count));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      lm_fail(err, "cannot read '%s': %s", path, strerror(errno));
      break;
    }
    ok = got == 0;
    if (ok) break;
    bytes->count += got;
  }
  f->close(f->user, fd);
  if (!ok) bytes->count = before;
  return ok;
}

static bool write_all(int fd, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    ssize_t put = write(fd, bytes, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes += put;
    count -= (size_t)put;
  }
  return true;
}

/* Makes a rename in the folder of `path` lasting. Folders that cannot be synced (some network file
 * systems) are left as they are. */
static bool sync_folder(const char *path, char *err) {
  char *folder = lm_format(err, "%s", path);
  if (!folder) return false;
  char *slash = strrchr(folder, '/');
  if (slash) slash[slash == folder] = '\0';
  int fd = open(slash ? folder : ".", O_RDONLY | O_CLOEXEC);
  bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP);
  if (!ok) lm_fail(err, "cannot sync the folder of '%s': %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  free(folder);
  return ok;
}

bool lm_write_file(const char *path, const void *bytes, size_t count, char *err) {
  char *temporary = lm_format(err, "%s.%ld.tmp", path, (long)getpid());
  if (!temporary) return false;
  unlink(temporary); /* of a dead process that had our number */
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  bool ok = fd >= 0 && write_all(fd, bytes, count) && fsync(fd) == 0;
  int why = errno;
  if (fd >= 0 && close(fd) != 0 && ok) {
    ok = false;
    why = errno;
  }
  if (ok && rename(temporary, path) != 0) {
    ok = false;
    why = errno;
  }
  if (!ok) {
    if (fd >= 0) unlink(temporary);
    lm_fail(err, "cannot write '%s': %s", path, strerror(why));
  }
  free(temporary);
  return ok && sync_folder(path, err);
}

bool lm_make_folder(const char *path, char *err) {
  if (path[0] == '\0') return lm_fail(err, "cannot make a folder: its name is empty");
  char *part = lm_format(err, "%s", path);
  if (!part) return false;
  bool ok = true;
  for (char *p = part + 1; ok; p++) {
    if (*p != '/' && *p != '\0') continue;
    char end = *p;
    *p = '\0';
    if (mkdir(part, 0777) != 0) {
      int why = errno;
      struct stat s;
      if (stat(part, &s) != 0 || !S_ISDIR(s.st_mode))
        ok = lm_fail(err, "cannot make the folder '%s': %s", part, strerror(why));
    }
    *p = end;
    if (end == '\0') break;
  }
  free(part);
  return ok;
}
