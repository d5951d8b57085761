/* The insides of tensors, for tensor/ and autograd/ only: ops and everything above see rill_array
 * and rill_tensor.
 *
 *   scope --1--> tensor --1--> storage (buffer, shared by views)
 *                  |  `--1--> grad (leaves)
 *                  `--1--> node --1--> inputs and saved tensors of the op that made it
 *
 * Every arrow is one reference count. A graph thus outlives the scopes of its temporaries. */
#ifndef RILL_TENSOR_INTERNAL_H_
#define RILL_TENSOR_INTERNAL_H_

#include "tensor/device.h"
#include "tensor/io.h"
#include "tensor/tensor.h"

typedef struct rilli_storage {
  int64_t refs;
  rill_context *ctx;
  rilli_device *device;
  void *data;
  size_t bytes;
  uint64_t
      version; /* counts writes after creation, so that backward can tell a changed saved tensor */
  void (*release)(void *owner); /* memory that is not ours (DLPack); NULL = device->free */
  void *owner;
} rilli_storage;

/* A node of the graph: made by autograd, released through `free`. */
typedef struct rilli_node {
  int64_t refs;
  void (*free)(rill_context *ctx, struct rilli_node *node);
  struct rilli_node
      *next_dead; /* chain of nodes to free: releasing a long graph must not recurse */
} rilli_node;

struct rill_tensor {
  uint32_t magic;
  int64_t refs;
  rill_context *ctx;
  rilli_storage *storage; /* NULL for the void tensor */
  rill_array array;
  const char *made_by; /* op or function that made it */
  rilli_node *node;    /* what computed it; NULL for leaves */
  int output;          /* which output of the node */
  bool requires_grad;  /* a leaf whose gradient is wanted */
  rill_tensor *grad;
};

/* Ends the program for misuse that no context can record. */
__attribute__((noreturn)) void rilli_misuse(const char *function, const char *operand,
                                            const char *what);

/* Checks a required operand: misuse when it is NULL, or (told reliably in debug builds) a tensor
 * whose scope has closed. Returns x. */
const rill_tensor *rilli_check(const rill_tensor *x, const char *function, const char *operand);

rill_tensor *rilli_void(rill_context *ctx);
bool rilli_failed(const rill_context *ctx);
rilli_device *rilli_device_of(const rill_context *ctx);
/* Records what the device says went wrong in `function`. Always false. */
bool rilli_device_failed(rill_context *ctx, rilli_device *device, const char *function);
/* True, and an error, while a function is captured: it must not do what `why` says. */
bool rilli_refuse_captured(rill_context *ctx, const char *function, const char *why);

/* A new tensor with fresh (debug: poisoned) memory in the innermost scope; the void tensor on
 * failure. */
rill_tensor *rilli_tensor_new(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                              const char *made_by);
/* A new tensor in the innermost scope that shares x's memory, seen as `array`. */
rill_tensor *rilli_tensor_view(rill_tensor *x, const rill_array *array, const char *made_by);
/* A new tensor around memory that is already filled; `release(owner)` runs when the last view goes.
 */
rill_tensor *rilli_tensor_wrap(rill_context *ctx, const rill_array *array, size_t bytes,
                               void (*release)(void *owner), void *owner, const char *made_by);

/* A scope with the given grad mode, whatever the one around it has. */
rill_scope *rilli_scope_open_as(rill_context *ctx, bool no_grad);

/* Does x belong to the innermost scope? */
bool rilli_in_scope(const rill_tensor *x);

void rilli_retain(rill_tensor *x);
void rilli_release(rill_tensor *x); /* NULL is allowed */
void rilli_node_retain(rilli_node *node);
void rilli_node_release(rill_context *ctx, rilli_node *node); /* NULL is allowed */

/* The operating system's file calls. */
const rill_files *rilli_system_files(void);

/* Serial number for a new node: inputs always have smaller ones. */
uint64_t rilli_next_serial(rill_context *ctx);

#endif /* RILL_TENSOR_INTERNAL_H_ */
