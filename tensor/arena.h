/* Places for blocks in a few large chunks of memory: how a recorded function's buffers share them.
 *
 *   chunk    | used | free  | used | used |     free      |
 *
 * Only the bookkeeping; the memory itself is never touched, so it may be a GPU's. The smallest free
 * piece that holds a block is taken, the first of equals, so the same calls get the same places. */
#ifndef RILL_TENSOR_ARENA_H_
#define RILL_TENSOR_ARENA_H_

#include "tensor/context.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RILLI_ARENA_ALIGN = 512 }; /* blocks are multiples of it */

typedef struct {
  char *at;
  size_t bytes;
  bool used, first; /* first: a chunk begins here */
} rilli_arena_piece;

typedef struct {
  rill_allocator allocator;
  rilli_arena_piece *piece; /* by address; they fill the chunks */
  size_t count, capacity;
  size_t used;  /* blocks that are out */
  size_t total; /* bytes of all chunks */
} rilli_arena;

/* Hands a chunk over; its size is rounded down. False when host memory is short. */
bool rilli_arena_add(rilli_arena *a, void *chunk, size_t bytes);
/* NULL when no free piece is large enough, or host memory is short. */
void *rilli_arena_take(rilli_arena *a, size_t bytes);
/* False when no block of the arena begins there. */
bool rilli_arena_give(rilli_arena *a, void *block);
void rilli_arena_free(rilli_arena *a); /* the tables alone; not the chunks */

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_ARENA_H_ */
