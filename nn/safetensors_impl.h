/* An open safetensors file, for the files that read it. */
#ifndef RILL_NN_SAFETENSORS_IMPL_H_
#define RILL_NN_SAFETENSORS_IMPL_H_

#include "nn/safetensors.h"

#define RILLI_CHECKSUM_KEY "checksum."
#define RILLI_METADATA_KEY "__metadata__"

enum { RILLI_CHECKSUM_TEXT = 17 }; /* 16 hexadecimal digits and the zero byte */

typedef struct {
  rill_safetensors_entry head;
  bool half;          /* F16: two bytes an element in the file, f32 outside */
  int64_t begin, end; /* of its bytes, counted from the end of the header */
} rilli_stored;

/* All memory hangs in `text` (names, keys, values) and the two arrays; it is the context's. */
struct rill_safetensors {
  rill_context *ctx;
  int fd;
  char *path;
  int64_t data_start, data_bytes;
  int64_t count;
  rilli_stored *stored; /* [count], in the file's order of bytes */
  int64_t *by_name;     /* [count] indices into stored, by name */
  int64_t metadata_count;
  rill_metadata *metadata; /* [metadata_count] */
  char *text;
};

/* The header's n bytes into file->stored, metadata, text. False, and an error, when it is not
 * valid. */
bool rilli_safetensors_parse(rill_safetensors *file, const char *header, size_t n);

/* "F32" of a dtype. */
const char *rilli_safetensors_dtype(rill_dtype dtype);

#endif /* RILL_NN_SAFETENSORS_IMPL_H_ */
