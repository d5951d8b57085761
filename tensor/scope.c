/* Scopes: the stack of lists that own tensors. */
#include <string.h>

#include "tensor/context_impl.h"

rill_scope *rilli_scope_open_as(rill_context *ctx, bool no_grad) {
  rill_scope *scope = rill_alloc(ctx, sizeof *scope);
  if (!scope) return NULL;
  *scope = (rill_scope){.ctx = ctx, .outer = ctx->scope, .no_grad = no_grad};
  ctx->scope = scope;
  return scope;
}

rill_scope *rill_scope_open(rill_context *ctx) {
  return rilli_scope_open_as(ctx, ctx->scope && ctx->scope->no_grad);
}
rill_scope *rill_scope_open_no_grad(rill_context *ctx) { return rilli_scope_open_as(ctx, true); }

bool rill_grad_enabled(const rill_context *ctx) { return !(ctx->scope && ctx->scope->no_grad); }

/* Youngest first: views go before what they were made from. */
static void empty(rill_scope *scope) {
  while (scope->count > 0) rilli_release(scope->item[--scope->count]);
}

static void close_innermost(rill_context *ctx) {
  rill_scope *scope = ctx->scope;
  empty(scope);
  ctx->scope = scope->outer;
  rill_free(ctx, scope->item);
  rill_free(ctx, scope);
}

static bool is_open(const rill_scope *scope) {
  for (const rill_scope *s = scope->ctx->scope; s; s = s->outer)
    if (s == scope) return true;
  return false;
}

void rill_scope_close(rill_scope *scope) {
  if (!scope || !is_open(scope)) return;
  rill_context *ctx = scope->ctx;
  while (ctx->scope != scope) close_innermost(ctx);
  close_innermost(ctx);
}

bool rill_scope_reset(rill_scope *scope) {
  if (!scope) return false;
  rill_context *ctx = scope->ctx;
  while (ctx->scope != scope) close_innermost(ctx);
  empty(scope);
  return !rilli_failed(ctx);
}

static bool append(rill_scope *scope, rill_tensor *x) {
  if (scope->count == scope->capacity) {
    int64_t capacity = scope->capacity ? 2 * scope->capacity : 32;
    rill_tensor **item = rill_alloc(scope->ctx, (size_t)capacity * sizeof(rill_tensor *));
    if (!item) return false;
    if (scope->count) memcpy(item, scope->item, (size_t)scope->count * sizeof(rill_tensor *));
    rill_free(scope->ctx, scope->item);
    scope->item = item;
    scope->capacity = capacity;
  }
  scope->item[scope->count++] = x;
  return true;
}

rill_tensor *rilli_scope_adopt(rill_context *ctx, rill_tensor *x) {
  if (append(ctx->scope, x)) return x;
  rilli_release(x);
  return rilli_void(ctx);
}

rill_tensor *rill_hoist(rill_tensor *x) {
  rilli_check(x, "rill_hoist", "x");
  rill_scope *scope = x->ctx->scope;
  if (rill_is_void(x) || !scope->outer) return x;
  for (int64_t i = scope->count - 1; i >= 0; i--) {
    if (scope->item[i] != x) continue;
    if (!append(scope->outer, x))
      return rilli_void(x->ctx); /* it stays here, and goes with this scope */
    memmove(scope->item + i, scope->item + i + 1,
            (size_t)(scope->count - i - 1) * sizeof(rill_tensor *));
    scope->count--;
    return x;
  }
  return x;
}

bool rilli_in_scope(const rill_tensor *x) {
  const rill_scope *scope = x->ctx->scope;
  for (int64_t i = scope->count - 1; i >= 0; i--)
    if (scope->item[i] == x) return true;
  return false;
}
