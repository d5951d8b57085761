/* What the programs need of the operating system: memory, files and time.
 *
 * Every function of examples/lm that can fail returns false or NULL and writes a message into the
 * caller's `err`, an array of LM_ERROR_SIZE bytes. The message says what was wrong and where, so
 * that main has only to print it. */
#ifndef RILL_EXAMPLES_LM_SYS_H_
#define RILL_EXAMPLES_LM_SYS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_files; /* tensor/io.h */

enum { LM_ERROR_SIZE = 512 };

/* Writes the message (cut to fit) and returns false. The arguments may point into `err`. */
bool lm_fail(char *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- memory: released with free ---- */

/* `count` zeroed elements of `size` bytes; never NULL for a count of 0. */
void *lm_alloc(int64_t count, size_t size, char *err);
/* The array with room for `count` elements; on failure the old one is untouched. */
void *lm_resize(void *old, int64_t count, size_t size, char *err);
/* A new string. */
char *lm_format(char *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes that grow. All zero is an empty one; free(data) releases it. */
typedef struct {
  uint8_t *data;
  int64_t count, capacity;
} lm_bytes;
/* Room for `more` bytes after the last. */
bool lm_bytes_reserve(lm_bytes *bytes, int64_t more, char *err);

/* ---- files ---- */

/* Appends what the file holds; `bytes` keeps its count on failure. Goes through the table `files`
 * (open, read, size and close are used; NULL = the operating system), so that a test can make any
 * call fail. More than `limit` bytes are refused. */
bool lm_read_append(const struct rill_files *files, const char *path, int64_t limit,
                    lm_bytes *bytes, char *err);
/* Replaces or creates the file whole or not at all: a temporary file beside it is written, synced
 * and renamed, and the folder synced. */
bool lm_write_file(const char *path, const void *bytes, size_t count, char *err);
/* Makes the folder and those above it; one that exists is fine. */
bool lm_make_folder(const char *path, char *err);

/* ---- time ---- */

double lm_now(void); /* seconds of a clock that never goes back */

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SYS_H_ */
