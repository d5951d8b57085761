/* The weights of a folder as one. The index of a stranger may name any file: only plain names are
 * opened, in the folder itself. */
#include "nn/shards_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "tensor/io.h"

static const char SINGLE[] = "model.safetensors", INDEX[] = "model.safetensors.index.json";
enum { LONGEST_INDEX = 1 << 28 };

/* ---- the index ---- */

static bool add_name(const char *file, char (*name)[RILLI_SHARDS_NAME], int64_t *count,
                     char message[256]) {
  if (!file || !*file || file[0] == '.' || strchr(file, '/') || strlen(file) >= RILLI_SHARDS_NAME) {
    snprintf(message, 256, "'%.80s' is not the name of a file beside it", file ? file : "");
    return false;
  }
  for (int64_t i = *count - 1; i >= 0; i--)
    if (strcmp(name[i], file) == 0) return true;
  if (*count == RILLI_SHARDS_MOST) {
    snprintf(message, 256, "it names more than %d files", RILLI_SHARDS_MOST);
    return false;
  }
  snprintf(name[(*count)++], RILLI_SHARDS_NAME, "%s", file);
  return true;
}

bool rilli_shards_parse(const char *text, size_t length, char (*name)[RILLI_SHARDS_NAME],
                        int64_t *count, char message[256]) {
  json_error_t error;
  *count = 0;
  json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error), *file;
  json_t *map = json_object_get(root, "weight_map");
  const char *tensor;
  bool done = root && json_is_object(map);
  if (!root) snprintf(message, 256, "line %d: %.160s", error.line, error.text);
  if (root && !done) snprintf(message, 256, "there is no object \"weight_map\"");
  json_object_foreach(map, tensor, file) {
    (void)tensor;
    done = done && add_name(json_string_value(file), name, count, message);
  }
  json_decref(root);
  return done;
}

/* ---- the files ---- */

static bool file_exists(rill_context *ctx, const char *path) {
  const rill_files *io = rill_context_files(ctx);
  int fd;
  do fd = io->open(io->user, path, O_RDONLY | O_CLOEXEC, 0);
  while (fd < 0 && errno == EINTR);
  if (fd >= 0) io->close(io->user, fd);
  return fd >= 0 || errno != ENOENT;
}

static bool read_index(rilli_shards *s, const char *path) {
  char message[256];
  size_t length;
  char *text = rill_file_load(s->ctx, path, LONGEST_INDEX, &length);
  if (!text) return false;
  bool done = rilli_shards_parse(text, length, s->name, &s->count, message);
  if (!done) rill_fail(s->ctx, RILL_ERROR_FILE, "%s: %s", path, message);
  rill_free(s->ctx, text);
  return done;
}

bool rilli_shards_open(rilli_shards *s, rill_context *ctx, const char *folder) {
  size_t room = strlen(folder) + RILLI_SHARDS_NAME + 2;
  *s = (rilli_shards){.ctx = ctx};
  char *path = rill_alloc(ctx, room);
  s->name = rill_alloc(ctx, RILLI_SHARDS_MOST * sizeof *s->name);
  s->file = rill_alloc(ctx, RILLI_SHARDS_MOST * sizeof *s->file);
  bool done = path && s->name && s->file;
  if (done) {
    snprintf(path, room, "%s/%s", folder, SINGLE);
    bool single = file_exists(ctx, path);
    snprintf(path, room, "%s/%s", folder, INDEX);
    if (!single && file_exists(ctx, path)) {
      done = read_index(s, path);
    } else {
      snprintf(s->name[0], RILLI_SHARDS_NAME, "%s", SINGLE);
      s->count = 1;
    }
  }
  for (int64_t i = 0; i < s->count; i++) {
    s->file[i] = NULL;
    if (!done) continue;
    snprintf(path, room, "%s/%s", folder, s->name[i]);
    s->file[i] = rill_safetensors_open(ctx, path);
    done = s->file[i] != NULL;
  }
  rill_free(ctx, path);
  return done;
}

void rilli_shards_close(rilli_shards *s) {
  for (int64_t i = 0; i < s->count; i++) rill_safetensors_close(s->file[i]);
  rill_free(s->ctx, s->file);
  rill_free(s->ctx, s->name);
  *s = (rilli_shards){0};
}

rill_safetensors *rilli_shards_find(const rilli_shards *s, const char *name,
                                    rill_safetensors_entry *entry) {
  for (int64_t i = 0; i < s->count; i++) {
    int64_t at = rill_safetensors_find(s->file[i], name);
    if (at < 0) continue;
    *entry = rill_safetensors_at(s->file[i], at);
    return s->file[i];
  }
  return NULL;
}
