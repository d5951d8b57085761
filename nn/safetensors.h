/* Tensors in files: the safetensors format, read strictly and written atomically.
 *
 *   8 bytes   n, the length of the header, little-endian
 *   n bytes   JSON: {"__metadata__": {"key": "text"},
 *                    "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *   the rest  the tensors' bytes, row-major, one after the other
 *
 * dtypes: F64 F32 BF16 I32 I64 U8 BOOL, and F16, which is read as f32. Files from strangers are
 * refused, with a message that says what is wrong, when: the header is longer than 100,000,000
 * bytes or than the file, does not start with '{', is not JSON, or has a key twice; there are more
 * than 1,000,000 tensors; a name is empty or longer than 4096 bytes; a dtype is unknown; a rank is
 * above 8; sizes overflow; the byte count is not that of dtype and shape; ranges overlap, leave
 * gaps, or do not end with the file.
 *
 * Files written here hold a checksum of every tensor in the metadata ("checksum.NAME"); reading
 * verifies those that are there. The metadata's "format" is "rill" unless the caller gives it. */
#ifndef RILL_NN_SAFETENSORS_H_
#define RILL_NN_SAFETENSORS_H_

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *key, *value; /* UTF-8 */
} rill_metadata;

/* Writes tensors and metadata to `path`: a unique temporary file in the same folder is written,
 * synced, read back and compared, then renamed, and the folder synced. After a failure (false, an
 * error in ctx) an older file is as it was. Two tensors of one name are refused. */
bool rill_safetensors_save(rill_context *ctx, const char *path, rill_parameters tensors,
                           int64_t metadata_count, const rill_metadata *metadata);

typedef struct rill_safetensors rill_safetensors;

/* Opens a file and reads its header. NULL and an error when it cannot be read or is not valid. */
rill_safetensors *rill_safetensors_open(rill_context *ctx, const char *path);
void rill_safetensors_close(rill_safetensors *file); /* NULL is allowed */

typedef struct {
  const char *name; /* borrowed from the file */
  rill_dtype dtype;
  rill_shape shape;
} rill_safetensors_entry;

int64_t rill_safetensors_count(const rill_safetensors *file);
rill_safetensors_entry rill_safetensors_at(const rill_safetensors *file, int64_t i);
/* Index of the tensor of that name, or -1. */
int64_t rill_safetensors_find(const rill_safetensors *file, const char *name);
/* The metadata's text for a key, or NULL. */
const char *rill_safetensors_metadata(const rill_safetensors *file, const char *key);

/* The tensor of that name, new, in the innermost scope. The void tensor and an error when there is
 * none or its bytes are damaged. NULL when file is NULL. */
rill_tensor *rill_safetensors_get(rill_safetensors *file, const char *name);

/* Overwrites every tensor of `into` with the file's tensor of its name, converting between floating
 * dtypes. Names and shapes are compared and all checksums verified before anything is written; the
 * error names what is missing or differs, with both shapes. `exact`: tensors of the file that are
 * not in `into` are an error too. */
bool rill_safetensors_load(rill_safetensors *file, rill_parameters into, bool exact);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_SAFETENSORS_H_ */
