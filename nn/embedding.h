/* Embeddings: a row of a table for each index. */
#ifndef RILL_NN_EMBEDDING_H_
#define RILL_NN_EMBEDDING_H_

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  rill_module *module;
  rill_tensor *weight; /* [rows, width], "weight" */
} rill_embedding;

/* A table registered in m under `name`; normal with the module's standard deviation. */
rill_embedding *rill_embedding_new(rill_module *m, const char *name, int64_t rows, int64_t width);
/* The same with another beginning. */
rill_embedding *rill_embedding_new_with(rill_module *m, const char *name, int64_t rows,
                                        int64_t width, rill_init init);

/* ids, i32 or i64 of any shape, in [0, rows) -> [..., width]; other values are refused. */
rill_tensor *rill_embed(const rill_embedding *f, rill_tensor *ids);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_EMBEDDING_H_ */
