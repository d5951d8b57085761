/* The weights of a folder as one: model.safetensors, or the files that an index names. */
#ifndef RILL_NN_SHARDS_IMPL_H_
#define RILL_NN_SHARDS_IMPL_H_

#include "nn/safetensors.h"

enum { RILLI_SHARDS_MOST = 4096, RILLI_SHARDS_NAME = 256 };

typedef struct {
  rill_context *ctx;
  int64_t count;
  rill_safetensors **file;         /* [count] */
  char (*name)[RILLI_SHARDS_NAME]; /* [count], inside the folder */
} rilli_shards;

/* False, and an error, when a file is missing or not valid. rilli_shards_close after either. */
bool rilli_shards_open(rilli_shards *s, rill_context *ctx, const char *folder);
void rilli_shards_close(rilli_shards *s);

/* The file that holds the tensor of that name, and *entry, what it is; NULL when none does. */
rill_safetensors *rilli_shards_find(const rilli_shards *s, const char *name,
                                    rill_safetensors_entry *entry);

/* The distinct file names in an index ({"weight_map": {"tensor": "file"}}), sorted as they come.
 * False and a message when it is not one, names too many files, or one outside of the folder. */
bool rilli_shards_parse(const char *text, size_t length, char (*name)[RILLI_SHARDS_NAME],
                        int64_t *count, char message[256]);

#endif /* RILL_NN_SHARDS_IMPL_H_ */
