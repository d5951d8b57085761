/* Folders are a stack of paths still to be read rather than a recursion, so that a deep tree costs
 * memory and not the program's stack. Sorting comes last: readdir's order is the disk's. */
#include "examples/lm/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Takes over `path`, which may be NULL. */
static bool push(lm_paths *list, char *path, char *err) {
  if (!path) return false;
  if (list->count == list->capacity) {
    int64_t capacity = list->capacity * 2 + 16;
    char **larger = lm_resize(list->path, capacity, sizeof *larger, err);
    if (!larger) {
      free(path);
      return false;
    }
    list->path = larger;
    list->capacity = capacity;
  }
  list->path[list->count++] = path;
  return true;
}

/* Sorts one entry of a folder into files and folders. */
static bool classify(char *path, lm_paths *files, lm_paths *folders, char *err) {
  struct stat s;
  if (!path) return false;
  bool link = lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
  if (stat(path, &s) != 0) {
    lm_fail(err, "cannot read '%s': %s", path, strerror(errno));
    free(path);
    return false;
  }
  if (S_ISREG(s.st_mode)) return push(files, path, err);
  if (S_ISDIR(s.st_mode) && !link) return push(folders, path, err);
  free(path);
  return true;
}

static bool read_folder(const char *folder, lm_paths *files, lm_paths *folders, char *err) {
  DIR *dir = opendir(folder);
  if (!dir) return lm_fail(err, "cannot read the folder '%s': %s", folder, strerror(errno));
  size_t length = strlen(folder);
  const char *slash = length && folder[length - 1] == '/' ? "" : "/";
  bool ok = true;
  while (ok) {
    errno = 0;
    struct dirent *entry = readdir(dir);
    if (!entry) {
      if (errno) ok = lm_fail(err, "cannot read the folder '%s': %s", folder, strerror(errno));
      break;
    }
    if (entry->d_name[0] == '.') continue;
    ok = classify(lm_format(err, "%s%s%s", folder, slash, entry->d_name), files, folders, err);
  }
  closedir(dir);
  return ok;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

bool lm_walk(const char *path, lm_paths *found, char *err) {
  *found = (lm_paths){0};
  struct stat s;
  if (stat(path, &s) != 0) return lm_fail(err, "cannot read '%s': %s", path, strerror(errno));
  if (!S_ISDIR(s.st_mode)) return push(found, lm_format(err, "%s", path), err);
  found->folder = true;
  lm_paths folders = {0};
  bool ok = push(&folders, lm_format(err, "%s", path), err);
  while (ok && folders.count > 0) {
    char *folder = folders.path[--folders.count];
    ok = read_folder(folder, found, &folders, err);
    free(folder);
  }
  lm_paths_free(&folders);
  if (ok && found->count > 0)
    qsort(found->path, (size_t)found->count, sizeof *found->path, by_bytes);
  return ok;
}

void lm_paths_free(lm_paths *paths) {
  for (int64_t i = 0; i < paths->count; i++) free(paths->path[i]);
  free(paths->path);
  *paths = (lm_paths){0};
}
