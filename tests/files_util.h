// A file table over the operating system's that counts calls and makes chosen ones fail.
#ifndef RILL_TESTS_FILES_UTIL_H_
#define RILL_TESTS_FILES_UTIL_H_

#include <gtest/gtest.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "tensor/io.h"

namespace rill_test {

// Call number `fail_at` fails with `code` (and, with from_then_on, all after it). `short_counts`
// moves at most 3 bytes a call, `interrupted` lets every second call say EINTR first.
struct Files {
  int64_t calls = 0, fail_at = -1;
  bool from_then_on = false, short_counts = false, interrupted = false;
  int code = EIO;
  std::set<int> open_files;
  std::string last_failed;

  bool fails(const char *what) {
    int64_t n = calls++;
    if (fail_at < 0 || (from_then_on ? n < fail_at : n != fail_at)) return false;
    last_failed = what;
    errno = code;
    return true;
  }
  bool interrupts() {
    beat = !beat;
    if (interrupted && beat) errno = EINTR;
    return interrupted && beat;
  }
  size_t cut(size_t count) const { return short_counts && count > 3 ? 3 : count; }

  rill_files table() {
    rill_files t = {};
    t.user = this;
    t.open = [](void *u, const char *path, int flags, int mode) {
      Files *f = static_cast<Files *>(u);
      if (f->fails("open")) return -1;
      int fd = ::open(path, flags, mode);
      if (fd >= 0) f->open_files.insert(fd);
      return fd;
    };
    t.read = [](void *u, int fd, void *bytes, size_t count) -> int64_t {
      Files *f = static_cast<Files *>(u);
      if (f->fails("read") || f->interrupts()) return -1;
      return ::read(fd, bytes, f->cut(count));
    };
    t.write = [](void *u, int fd, const void *bytes, size_t count) -> int64_t {
      Files *f = static_cast<Files *>(u);
      if (f->fails("write") || f->interrupts()) return -1;
      return ::write(fd, bytes, f->cut(count));
    };
    t.size = [](void *u, int fd) -> int64_t {
      struct stat s;
      if (static_cast<Files *>(u)->fails("size") || ::fstat(fd, &s) != 0) return -1;
      errno = S_ISREG(s.st_mode) ? 0 : EINVAL;
      return S_ISREG(s.st_mode) ? s.st_size : -1;
    };
    t.seek = [](void *u, int fd, int64_t at) -> int64_t {
      return static_cast<Files *>(u)->fails("seek") ? -1 : ::lseek(fd, at, SEEK_SET);
    };
    t.sync = [](void *u, int fd) {
      Files *f = static_cast<Files *>(u);
      return f->fails("sync") || f->interrupts() ? -1 : ::fsync(fd);
    };
    t.close = [](void *u, int fd) {
      Files *f = static_cast<Files *>(u);
      f->open_files.erase(fd);
      bool failed = f->fails("close");
      ::close(fd);
      errno = f->code;
      return failed ? -1 : 0;
    };
    t.rename = [](void *u, const char *from, const char *to) {
      return static_cast<Files *>(u)->fails("rename") ? -1 : ::rename(from, to);
    };
    t.unlink = [](void *u, const char *path) {
      return static_cast<Files *>(u)->fails("unlink") ? -1 : ::unlink(path);
    };
    t.mkdir = [](void *u, const char *path, int mode) {
      return static_cast<Files *>(u)->fails("mkdir") ? -1
                                                     : ::mkdir(path, static_cast<mode_t>(mode));
    };
    return t;
  }

 private:
  bool beat = false;
};

// A folder that goes with its files.
struct Folder {
  std::string path;
  Folder() {
    const char *base = getenv("TEST_TMPDIR");
    std::string name = std::string(base ? base : "/tmp") + "/rill_XXXXXX";
    path = mkdtemp(name.data());
  }
  ~Folder() {
    for (const std::string &name : names()) ::unlink((path + "/" + name).c_str());
    ::rmdir(path.c_str());
  }
  std::set<std::string> names() const {
    std::set<std::string> all;
    DIR *dir = opendir(path.c_str());
    while (dirent *entry = readdir(dir)) all.insert(entry->d_name);
    closedir(dir);
    all.erase(".");
    all.erase("..");
    return all;
  }
  std::string operator/(const std::string &name) const { return path + "/" + name; }
};

inline std::string contents(const std::string &path) {
  std::ostringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return all.str();
}

}  // namespace rill_test

#endif  // RILL_TESTS_FILES_UTIL_H_
