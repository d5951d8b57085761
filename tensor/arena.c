/* Arenas: one sorted table of pieces. A few hundred of them, so a search from end to end is cheap
 * beside what it stands for. */
#include "tensor/arena.h"

#include <string.h>

#include "tensor/checked.h"

/* Index of the first piece that begins at `at` or behind it. */
static size_t lower_bound(const rilli_arena *a, const char *at) {
  size_t low = 0, high = a->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if ((uintptr_t)a->piece[middle].at < (uintptr_t)at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool insert(rilli_arena *a, size_t i, rilli_arena_piece piece) {
  if (a->count == a->capacity) {
    size_t capacity = a->capacity ? 2 * a->capacity : 64;
    rilli_arena_piece *more = a->allocator.alloc(a->allocator.user, capacity * sizeof *more);
    if (!more) return false;
    if (a->count) memcpy(more, a->piece, a->count * sizeof *more);
    if (a->piece) a->allocator.free(a->allocator.user, a->piece, a->capacity * sizeof *more);
    a->piece = more;
    a->capacity = capacity;
  }
  memmove(a->piece + i + 1, a->piece + i, (a->count - i) * sizeof piece);
  a->piece[i] = piece;
  a->count++;
  return true;
}

static void erase(rilli_arena *a, size_t i) {
  memmove(a->piece + i, a->piece + i + 1, (a->count - i - 1) * sizeof *a->piece);
  a->count--;
}

bool rilli_arena_add(rilli_arena *a, void *chunk, size_t bytes) {
  bytes = bytes / RILLI_ARENA_ALIGN * RILLI_ARENA_ALIGN;
  rilli_arena_piece piece = {.at = chunk, .bytes = bytes, .first = true};
  if (!insert(a, lower_bound(a, chunk), piece)) return false;
  a->total += bytes;
  return true;
}

void *rilli_arena_take(rilli_arena *a, size_t bytes) {
  size_t whole, best = SIZE_MAX;
  if (!rilli_add_size(bytes ? bytes : 1, RILLI_ARENA_ALIGN - 1, &whole)) return NULL;
  whole = whole / RILLI_ARENA_ALIGN * RILLI_ARENA_ALIGN;
  for (size_t i = 0; i < a->count; i++)
    if (!a->piece[i].used && a->piece[i].bytes >= whole &&
        (best == SIZE_MAX || a->piece[i].bytes < a->piece[best].bytes))
      best = i;
  if (best == SIZE_MAX) return NULL;
  size_t left = a->piece[best].bytes - whole;
  rilli_arena_piece rest = {.at = a->piece[best].at + whole, .bytes = left};
  if (left && !insert(a, best + 1, rest)) return NULL;
  a->piece[best].bytes = whole;
  a->piece[best].used = true;
  a->used++;
  return a->piece[best].at;
}

/* Joins piece i and the one behind it where both are free and of one chunk. */
static void join(rilli_arena *a, size_t i) {
  if (i + 1 >= a->count || a->piece[i].used || a->piece[i + 1].used || a->piece[i + 1].first)
    return;
  a->piece[i].bytes += a->piece[i + 1].bytes;
  erase(a, i + 1);
}

bool rilli_arena_give(rilli_arena *a, void *block) {
  size_t i = lower_bound(a, block);
  if (i == a->count || a->piece[i].at != (char *)block || !a->piece[i].used) return false;
  a->piece[i].used = false;
  a->used--;
  join(a, i);
  if (i > 0) join(a, i - 1);
  return true;
}

void rilli_arena_free(rilli_arena *a) {
  if (a->piece) a->allocator.free(a->allocator.user, a->piece, a->capacity * sizeof *a->piece);
  *a = (rilli_arena){.allocator = a->allocator};
}
