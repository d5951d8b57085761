/* The sticky error: the first failure is kept (or, under RILL_ABORT, printed on the way out); later
 * ones are its consequences and say nothing. This is the only file of the library that ends the
 * process. */
#include <stdarg.h>
#include <stdlib.h>

#include "tensor/context_impl.h"

const char *rill_error(const rill_context *ctx) {
  return ctx->status == RILL_OK ? NULL : ctx->error;
}
rill_status rill_error_status(const rill_context *ctx) { return ctx->status; }
bool rilli_failed(const rill_context *ctx) { return ctx->status != RILL_OK; }

void rill_error_clear(rill_context *ctx) {
  ctx->status = RILL_OK;
  ctx->error[0] = '\0';
}

void rill_fail(rill_context *ctx, rill_status status, const char *format, ...) {
  if (ctx->status != RILL_OK) return;
  ctx->status = status == RILL_OK ? RILL_ERROR_STATE : status;
  int used = 0;
  if (ctx->depth > 0) {
    int last = ctx->depth < RILLI_PATH_DEPTH ? ctx->depth : RILLI_PATH_DEPTH;
    const char *path = ctx->path[last - 1];
    if (path[0]) used = snprintf(ctx->error, sizeof ctx->error, "%.400s: ", path);
  }
  va_list args;
  va_start(args, format);
  vsnprintf(ctx->error + used, sizeof ctx->error - (size_t)used, format, args);
  va_end(args);
  if (ctx->on_error == RILL_ABORT) {
    fflush(stdout);
    fprintf(stderr, "rill: %s\n", ctx->error);
    exit(1);
  }
}

void rill_enter(rill_context *ctx, const char *path) {
  if (ctx->depth < RILLI_PATH_DEPTH) ctx->path[ctx->depth] = path;
  ctx->depth++;
}

void rill_leave(rill_context *ctx) {
  if (ctx->depth > 0) ctx->depth--;
}

void rilli_misuse(const char *function, const char *operand, const char *what) {
  fflush(stdout);
  fprintf(stderr, "rill: %s: %s %s\n", function, operand, what);
  abort();
}

const rill_tensor *rilli_check(const rill_tensor *x, const char *function, const char *operand) {
  if (x && x->magic == RILLI_ALIVE) return x;
  if (!x) rilli_misuse(function, operand, "is NULL");
  if (x->magic != RILLI_DEAD)
    rilli_misuse(function, operand, "is not a tensor (released, or never one)");
  char what[160];
  snprintf(what, sizeof what, "(made by %.60s) was used after its scope was closed", x->made_by);
  rilli_misuse(function, operand, what);
}
