/* The context's insides, for tensor/ only. */
#ifndef RILL_TENSOR_CONTEXT_IMPL_H_
#define RILL_TENSOR_CONTEXT_IMPL_H_

#include "tensor/internal.h"

enum { RILLI_PATH_DEPTH = 32, RILLI_GRAVEYARD = 1024, RILLI_OWNED_HEADER = 64 };

#define RILLI_ALIVE 0x6c6c6972u /* magic of a tensor that may be used */
#define RILLI_DEAD 0x64616564u  /* of one whose last reference is gone */

struct rill_scope {
  rill_context *ctx;
  rill_scope *outer;
  bool no_grad;
  rill_tensor **item;
  int64_t count, capacity;
};

/* In front of memory from rill_owned_alloc: a ring through all of it. */
typedef struct rilli_owned {
  struct rilli_owned *next, *previous;
} rilli_owned;

struct rill_context {
  rill_allocator allocator;
  rill_files files;
  rill_on_error on_error;
  rilli_device *cpu, *device; /* device == cpu, or the GPU */
  rill_scope *scope;          /* innermost; the root scope is closed with the context */
  rilli_owned *owned;         /* any of the ring, or NULL */
  rill_random_state random;
  uint64_t serial;
  rill_memory memory;

  rill_status status;
  char error[1024];
  int depth; /* of path; deeper levels are counted but not kept */
  const char *path[RILLI_PATH_DEPTH];

  rill_tensor void_tensor;
  rilli_node *dead; /* nodes waiting to be freed, so that long graphs do not recurse */
  bool burying;
  /* Headers of released tensors, kept for a while (debug builds) so that using one can be told. */
  rill_tensor *graveyard[RILLI_GRAVEYARD];
  int grave;
};

/* Storage of `bytes` on a device, for the op or function `made_by`; NULL and an error when memory
 * is short. */
rilli_storage *rilli_storage_new(rill_context *ctx, rilli_device *device, size_t bytes,
                                 const char *made_by);
void rilli_storage_release(rilli_storage *storage);

/* Puts x into the innermost scope, which takes over the caller's reference; on failure releases it
 * and returns the void tensor. */
rill_tensor *rilli_scope_adopt(rill_context *ctx, rill_tensor *x);

#endif /* RILL_TENSOR_CONTEXT_IMPL_H_ */
