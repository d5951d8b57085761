/* Buffers: counted references, accounting, and (debug builds) poison and canaries.
 *
 *   debug:  | canary 64 B | data, filled with signalling NaN | canary 64 B |
 *
 * Fresh memory is never zero by luck: reading what was not written gives NaN, writing past an end
 * is found when the buffer goes. */
#include <string.h>

#include "tensor/checked.h"
#include "tensor/context_impl.h"

#ifdef RILL_DEBUG
enum { GUARD = 64 };
static const uint64_t poison = 0x7ff47fa07fa07fa0u; /* NaN as f64, as two f32, as four bf16 */
static const uint64_t canary = 0x5a5ac3c3a5a53c3cu;

static void paint(char *to, size_t bytes, uint64_t pattern) {
  for (size_t i = 0; i < bytes; i++) to[i] = (char)(pattern >> (8 * (i % 8)));
}
static bool intact(const char *at) {
  for (size_t i = 0; i < GUARD; i++)
    if (at[i] != (char)(canary >> (8 * (i % 8)))) return false;
  return true;
}
#else
enum { GUARD = 0 };
#endif

static bool on_host(const rilli_device *device) { return device->kind == RILL_CPU; }

rilli_storage *rilli_storage_new(rill_context *ctx, rilli_device *device, size_t bytes,
                                 const char *made_by) {
  size_t whole;
  rilli_storage *s = rill_alloc(ctx, sizeof *s);
  if (!s) return NULL;
  size_t guard = on_host(device) ? GUARD : 0;
  char *data = rilli_add_size(bytes, 2 * guard, &whole) ? device->alloc(device, whole) : NULL;
  if (!data) {
    rill_free(ctx, s);
    rill_fail(ctx, RILL_ERROR_MEMORY,
              "%s: out of memory: %zu bytes on %s were refused while %lld bytes were in use; use a "
              "smaller "
              "batch, shorter sequences or recomputation",
              made_by, bytes, device->name, (long long)ctx->memory.live_bytes);
    return NULL;
  }
#ifdef RILL_DEBUG
  if (guard) {
    paint(data, GUARD, canary);
    paint(data + GUARD, bytes, poison);
    paint(data + GUARD + bytes, GUARD, canary);
  }
#endif
  *s = (rilli_storage){
      .refs = 1, .ctx = ctx, .device = device, .data = data + guard, .bytes = bytes};
  ctx->memory.live_bytes += (int64_t)bytes;
  if (ctx->memory.live_bytes > ctx->memory.peak_bytes)
    ctx->memory.peak_bytes = ctx->memory.live_bytes;
  return s;
}

void rilli_storage_release(rilli_storage *s) {
  if (!s || --s->refs > 0) return;
  rill_context *ctx = s->ctx;
  if (s->release) {
    s->release(s->owner);
  } else {
    size_t guard = on_host(s->device) ? GUARD : 0;
    char *block = (char *)s->data - guard;
#ifdef RILL_DEBUG
    if (guard) {
      if (!intact(block) || !intact(block + GUARD + s->bytes))
        rill_fail(ctx, RILL_ERROR_STATE, "a kernel wrote outside a buffer of %zu bytes", s->bytes);
      paint(block, s->bytes + 2 * GUARD, poison);
    }
#endif
    s->device->free(s->device, block, s->bytes + 2 * guard);
  }
  ctx->memory.live_bytes -= (int64_t)s->bytes;
  rill_free(ctx, s);
}
