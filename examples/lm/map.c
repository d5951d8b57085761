/* Mapping files. */
#include "examples/lm/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool lm_map(lm_text *text, const char *path, char *err) {
  struct stat s;
  *text = (lm_text){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &s) != 0) {
    lm_fail(err, "cannot read '%s': %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return false;
  }
  bool ok = S_ISREG(s.st_mode) || lm_fail(err, "'%s' is no regular file", path);
  if (ok && s.st_size > 0) {
    void *map = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
      ok = lm_fail(err, "cannot map '%s' into memory: %s", path, strerror(errno));
    else
      *text = (lm_text){map, s.st_size};
  }
  close(fd);
  return ok;
}

void lm_unmap(lm_text *text) {
  if (text->bytes) munmap((void *)(uintptr_t)text->bytes, (size_t)text->count);
  *text = (lm_text){0};
}
