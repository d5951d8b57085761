/* What lives as long as the context: tensors in the outermost scope, and memory of objects that
 * belong to the context. Both can be let go of early. */
#include <string.h>

#include "tensor/checked.h"
#include "tensor/context_impl.h"

/* ---- tensors ---- */

static rill_scope *outermost(rill_context *ctx) {
  rill_scope *scope = ctx->scope;
  while (scope->outer) scope = scope->outer;
  return scope;
}

/* Index of x in the scope, searched from the youngest; -1 when it is not there. */
static int64_t find(const rill_scope *scope, const rill_tensor *x) {
  int64_t i = scope->count - 1;
  while (i >= 0 && scope->item[i] != x) i--;
  return i;
}

static void take_out(rill_scope *scope, int64_t i) {
  memmove(scope->item + i, scope->item + i + 1,
          (size_t)(scope->count - i - 1) * sizeof(rill_tensor *));
  scope->count--;
}

rill_tensor *rill_keep(rill_tensor *x) {
  rilli_check(x, "rill_keep", "x");
  if (rill_is_void(x)) return x;
  for (rill_scope *scope = x->ctx->scope; scope->outer; scope = scope->outer) {
    int64_t i = find(scope, x);
    if (i < 0) continue;
    rilli_retain(x);
    rill_scope *inner = x->ctx->scope;
    x->ctx->scope = outermost(x->ctx);
    rill_tensor *kept = rilli_scope_adopt(x->ctx, x);
    x->ctx->scope = inner;
    if (!rill_is_void(kept)) {
      take_out(scope, i);
      rilli_release(x);
    }
    return kept;
  }
  return x;
}

void rill_drop(rill_tensor *x) {
  if (!x || rill_is_void(x)) return;
  rill_scope *scope = outermost(x->ctx);
  int64_t i = find(scope, x);
  if (i < 0) return;
  take_out(scope, i);
  rilli_release(x);
}

/* ---- memory ---- */

void *rill_owned_alloc(rill_context *ctx, size_t bytes) {
  size_t whole;
  if (!rilli_add_size(bytes, RILLI_OWNED_HEADER, &whole)) whole = SIZE_MAX;
  rilli_owned *block = rill_alloc(ctx, whole);
  if (!block) return NULL;
  memset(block, 0, whole);
  rilli_owned *first = ctx->owned ? ctx->owned : block;
  block->next = first;
  block->previous = ctx->owned ? first->previous : block;
  block->previous->next = first->previous = block;
  ctx->owned = block;
  return (char *)block + RILLI_OWNED_HEADER;
}

void rill_owned_free(rill_context *ctx, void *memory) {
  if (!memory) return;
  rilli_owned *block = (rilli_owned *)(void *)((char *)memory - RILLI_OWNED_HEADER);
  block->previous->next = block->next;
  block->next->previous = block->previous;
  if (ctx->owned == block) ctx->owned = block->next == block ? NULL : block->next;
  rill_free(ctx, block);
}
