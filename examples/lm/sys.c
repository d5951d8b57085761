/* Memory and time, and the error message. Files are in sys_files.c. */
#include "examples/lm/sys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool lm_fail(char *err, const char *format, ...) {
  char text[LM_ERROR_SIZE]; /* first here: an argument may be the old message */
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  memcpy(err, text, strlen(text) + 1);
  return false;
}

void *lm_alloc(int64_t count, size_t size, char *err) {
  size_t n = count > 0 ? (size_t)count : 1;
  void *memory = size && n > SIZE_MAX / size ? NULL : calloc(n, size);
  if (!memory) lm_fail(err, "out of memory: %lld x %zu bytes were asked for", (long long)n, size);
  return memory;
}

void *lm_resize(void *old, int64_t count, size_t size, char *err) {
  size_t n = count > 0 ? (size_t)count : 1;
  void *memory = size && n > SIZE_MAX / size ? NULL : realloc(old, n * size);
  if (!memory) lm_fail(err, "out of memory: %lld x %zu bytes were asked for", (long long)n, size);
  return memory;
}

char *lm_format(char *err, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = lm_alloc((int64_t)length + 1, 1, err);
  if (text) vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}

bool lm_bytes_reserve(lm_bytes *bytes, int64_t more, char *err) {
  if (more <= bytes->capacity - bytes->count) return true;
  if (more > INT64_MAX / 2 - bytes->count)
    return lm_fail(err, "out of memory: %lld bytes after %lld", (long long)more,
                   (long long)bytes->count);
  int64_t capacity = bytes->count + more;
  if (capacity < bytes->capacity + bytes->capacity / 2)
    capacity = bytes->capacity + bytes->capacity / 2;
  uint8_t *data = lm_resize(bytes->data, capacity, 1, err);
  if (!data) return false;
  bytes->data = data;
  bytes->capacity = capacity;
  return true;
}

double lm_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
