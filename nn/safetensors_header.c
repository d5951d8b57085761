/* The header of a safetensors file: JSON from a stranger into checked entries. Nothing of it is
 * used before it has been checked. */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/safetensors_impl.h"
#include "tensor/checked.h"
#include "tensor/io.h"

enum { MOST_TENSORS = 1000000, LONGEST_NAME = 4096, SHOWN = 80 };

static const struct {
  const char *name;
  rill_dtype dtype;
  bool half;
} DTYPES[] = {{"F64", RILL_F64, false}, {"F32", RILL_F32, false},  {"BF16", RILL_BF16, false},
              {"I32", RILL_I32, false}, {"I64", RILL_I64, false},  {"U8", RILL_U8, false},
              {"F16", RILL_F32, true},  {"BOOL", RILL_BOOL, false}};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof DTYPES[0] };

const char *rilli_safetensors_dtype(rill_dtype dtype) {
  for (int i = 0; i < DTYPE_COUNT; i++)
    if (DTYPES[i].dtype == dtype) return DTYPES[i].name;
  return "?";
}

static bool refuse(const rill_safetensors *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool refuse(const rill_safetensors *file, const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  rill_fail(file->ctx, RILL_ERROR_FILE, "%s: %s", file->path, message);
  return false;
}

/* ---- one entry ---- */

static bool read_dtype(const rill_safetensors *file, const char *name, const json_t *value,
                       rilli_stored *stored) {
  const char *text = json_string_value(value);
  if (!text) return refuse(file, "tensor '%.*s' has no dtype", SHOWN, name);
  for (int i = 0; i < DTYPE_COUNT; i++) {
    if (strcmp(DTYPES[i].name, text) != 0) continue;
    stored->head.dtype = DTYPES[i].dtype;
    stored->half = DTYPES[i].half;
    return true;
  }
  return refuse(file,
                "tensor '%.*s' has dtype '%.20s'; F64 F32 F16 BF16 I32 I64 U8 BOOL can be read",
                SHOWN, name, text);
}

static bool read_shape(const rill_safetensors *file, const char *name, const json_t *value,
                       rill_shape *shape) {
  if (!json_is_array(value)) return refuse(file, "tensor '%.*s' has no shape", SHOWN, name);
  size_t rank = json_array_size(value);
  if (rank > RILL_MAX_RANK)
    return refuse(file, "tensor '%.*s' has rank %zu; the most is %d", SHOWN, name, rank,
                  RILL_MAX_RANK);
  shape->rank = (int)rank;
  for (size_t d = 0; d < rank; d++) {
    const json_t *size = json_array_get(value, d);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
      return refuse(file, "tensor '%.*s': size %zu of its shape is not an integer >= 0", SHOWN,
                    name, d);
    shape->size[d] = json_integer_value(size);
  }
  return true;
}

static bool read_range(const rill_safetensors *file, const char *name, const json_t *value,
                       rilli_stored *stored) {
  const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
  if (!json_is_array(value) || json_array_size(value) != 2 || !json_is_integer(begin) ||
      !json_is_integer(end))
    return refuse(file, "tensor '%.*s': data_offsets must be two integers", SHOWN, name);
  stored->begin = json_integer_value(begin);
  stored->end = json_integer_value(end);
  if (stored->begin < 0 || stored->end < stored->begin || stored->end > file->data_bytes)
    return refuse(file,
                  "tensor '%.*s': data_offsets [%" PRId64 ", %" PRId64
                  "] do not lie in the %" PRId64 " bytes of data",
                  SHOWN, name, stored->begin, stored->end, file->data_bytes);
  int64_t count, bytes;
  int64_t each = stored->half ? 2 : (int64_t)rill_dtype_size(stored->head.dtype);
  if (!rill_shape_count(stored->head.shape, &count) || !rilli_mul_i64(count, each, &bytes))
    return refuse(file, "tensor '%.*s': the sizes of its shape overflow", SHOWN, name);
  if (bytes != stored->end - stored->begin)
    return refuse(file, "tensor '%.*s' %s %s needs %" PRId64 " bytes but has %" PRId64, SHOWN, name,
                  stored->half ? "F16" : rilli_safetensors_dtype(stored->head.dtype),
                  rill_shape_print(stored->head.shape).text, bytes, stored->end - stored->begin);
  return true;
}

static bool read_entry(const rill_safetensors *file, const char *name, json_t *value,
                       rilli_stored *stored) {
  static const char *const KEYS[] = {"dtype", "shape", "data_offsets"};
  size_t length = strlen(name);
  if (length == 0 || length > LONGEST_NAME)
    return refuse(file, "the name of a tensor has %zu bytes; 1 to %d are allowed", length,
                  LONGEST_NAME);
  if (!json_is_object(value)) return refuse(file, "tensor '%.*s' is no object", SHOWN, name);
  const char *key;
  json_t *part;
  json_object_foreach(value, key, part) {
    if (strcmp(key, KEYS[0]) != 0 && strcmp(key, KEYS[1]) != 0 && strcmp(key, KEYS[2]) != 0)
      return refuse(file, "tensor '%.*s' has an unknown key '%.*s'", SHOWN, name, SHOWN, key);
  }
  return read_dtype(file, name, json_object_get(value, KEYS[0]), stored) &&
         read_shape(file, name, json_object_get(value, KEYS[1]), &stored->head.shape) &&
         read_range(file, name, json_object_get(value, KEYS[2]), stored);
}

/* ---- all of them ---- */

/* Copies text to *at, which it advances. */
static const char *put(char **at, const char *text) {
  char *start = *at;
  size_t bytes = strlen(text) + 1;
  memcpy(start, text, bytes);
  *at += bytes;
  return start;
}

static bool allocate(rill_safetensors *file, json_t *root, json_t *metadata) {
  size_t text = 1;
  const char *key;
  json_t *value;
  json_object_foreach(root, key, value) text += strlen(key) + 1;
  json_object_foreach(metadata, key, value) {
    if (!json_is_string(value)) return refuse(file, "metadata '%.*s' is no string", SHOWN, key);
    text += strlen(key) + json_string_length(value) + 2;
  }
  size_t count = json_object_size(root) - (metadata ? 1 : 0);
  if (count > MOST_TENSORS)
    return refuse(file, "there are %zu tensors; the most is %d", count, MOST_TENSORS);
  file->count = (int64_t)count;
  file->metadata_count = (int64_t)json_object_size(metadata);
  file->text = rill_owned_alloc(file->ctx, text);
  file->stored = rill_owned_alloc(file->ctx, (count + 1) * sizeof *file->stored);
  file->by_name = rill_owned_alloc(file->ctx, (count + 1) * sizeof *file->by_name);
  file->metadata =
      rill_owned_alloc(file->ctx, ((size_t)file->metadata_count + 1) * sizeof *file->metadata);
  return file->text && file->stored && file->by_name && file->metadata;
}

static int compare_begin(const void *a, const void *b) {
  const rilli_stored *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end; /* empty tensors before the one at their place */
}

/* The ranges must follow each other from 0 to the end of the file. */
static bool check_ranges(const rill_safetensors *file) {
  int64_t end = 0;
  for (int64_t i = 0; i < file->count; i++) {
    const rilli_stored *s = &file->stored[i];
    if (s->begin != end)
      return refuse(file,
                    "tensor '%.*s' begins at byte %" PRId64 " where %" PRId64
                    " was expected: ranges overlap or leave a gap",
                    SHOWN, s->head.name, s->begin, end);
    end = s->end;
  }
  if (end != file->data_bytes)
    return refuse(file, "the tensors end at byte %" PRId64 " of %" PRId64 " bytes of data", end,
                  file->data_bytes);
  return true;
}

/* Heap sort of indices by name: the library has no global for qsort's comparison to look at. */
static void sift(const rilli_stored *stored, int64_t *index, int64_t i, int64_t n) {
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n &&
        strcmp(stored[index[child]].head.name, stored[index[child + 1]].head.name) < 0)
      child++;
    if (strcmp(stored[index[i]].head.name, stored[index[child]].head.name) >= 0) return;
    int64_t swap = index[i];
    index[i] = index[child];
    index[child] = swap;
  }
}

static void sort_names(rill_safetensors *file) {
  int64_t n = file->count;
  for (int64_t i = 0; i < n; i++) file->by_name[i] = i;
  for (int64_t i = n / 2 - 1; i >= 0; i--) sift(file->stored, file->by_name, i, n);
  for (int64_t last = n - 1; last > 0; last--) {
    int64_t swap = file->by_name[0];
    file->by_name[0] = file->by_name[last];
    file->by_name[last] = swap;
    sift(file->stored, file->by_name, 0, last);
  }
}

static bool read_root(rill_safetensors *file, json_t *root) {
  json_t *metadata = json_object_get(root, RILLI_METADATA_KEY), *value;
  const char *key;
  if (!json_is_object(root)) return refuse(file, "the header is no JSON object");
  if (metadata && !json_is_object(metadata))
    return refuse(file, "%s is no object", RILLI_METADATA_KEY);
  if (!allocate(file, root, metadata)) return false;
  char *text = file->text;
  int64_t i = 0;
  json_object_foreach(root, key, value) {
    if (strcmp(key, RILLI_METADATA_KEY) == 0) continue;
    if (!read_entry(file, key, value, &file->stored[i])) return false;
    file->stored[i++].head.name = put(&text, key);
  }
  i = 0;
  json_object_foreach(metadata, key, value) {
    file->metadata[i].key = put(&text, key);
    file->metadata[i++].value = put(&text, json_string_value(value));
  }
  qsort(file->stored, (size_t)file->count, sizeof *file->stored, compare_begin);
  sort_names(file);
  return check_ranges(file);
}

bool rilli_safetensors_parse(rill_safetensors *file, const char *header, size_t n) {
  json_error_t error;
  if (n == 0 || header[0] != '{') return refuse(file, "the header does not start with '{'");
  json_t *root = json_loadb(header, n, JSON_REJECT_DUPLICATES, &error);
  if (!root)
    return refuse(file, "the header is not valid: byte %d: %s", error.position, error.text);
  bool done = read_root(file, root);
  json_decref(root);
  return done;
}
