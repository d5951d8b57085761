/* Captured functions: the first call is plain, the second recorded where the device records, and
 * the rules hold from the second call on everywhere. */
#include "tensor/capture.h"

#include "tensor/context_impl.h"

struct rill_capture {
  rill_context *ctx;
  void (*function)(void *user);
  void *user;
  bool called;
  rilli_recording *recording; /* NULL until recorded, and on devices that do not record */
};

rill_capture *rill_capture_new(rill_context *ctx, void (*function)(void *user), void *user) {
  rill_capture *c = rill_owned_alloc(ctx, sizeof *c);
  if (c) *c = (rill_capture){.ctx = ctx, .function = function, .user = user};
  return c;
}

void rill_capture_free(rill_capture *c) {
  if (!c) return;
  if (c->recording) c->ctx->device->record_free(c->ctx->device, c->recording);
  rill_owned_free(c->ctx, c);
}

bool rill_capturing(const rill_context *ctx) { return ctx->device->capturing; }

bool rilli_refuse_captured(rill_context *ctx, const char *function, const char *why) {
  if (!ctx->device->capturing) return false;
  rill_fail(ctx, RILL_ERROR_STATE, "%s: a captured function must not %s", function, why);
  return true;
}

static bool call(rill_capture *c) {
  rill_scope *scope = rill_scope_open(c->ctx);
  if (!scope) return false;
  c->function(c->user);
  rill_scope_close(scope);
  return !rilli_failed(c->ctx);
}

/* Under the rules: nothing is left behind, nothing that was there is gone. */
static bool call_captured(rill_capture *c) {
  rill_context *ctx = c->ctx;
  int64_t before = ctx->memory.live_bytes;
  ctx->device->capturing = true;
  bool done = call(c);
  ctx->device->capturing = false;
  int64_t more = ctx->memory.live_bytes - before;
  if (!done || more == 0) return done;
  rill_fail(
      ctx, RILL_ERROR_STATE,
      "rill_replay: the captured function %s %lld bytes of tensors; what it makes must end with "
      "it, and what it uses must stay: results go into tensors made outside (rill_assign)",
      more > 0 ? "left behind" : "released", (long long)(more > 0 ? more : -more));
  return false;
}

static bool record(rill_capture *c) {
  rilli_device *device = c->ctx->device;
  rilli_recording *r = device->record_begin(device);
  if (!r) return rilli_device_failed(c->ctx, device, "rill_replay");
  bool called = call_captured(c), ended = device->record_end(device, r);
  if (called && ended) {
    c->recording = r;
    return true;
  }
  if (called) rilli_device_failed(c->ctx, device, "rill_replay");
  device->record_free(device, r);
  return false;
}

bool rill_replay(rill_capture *c) {
  if (!c || rilli_failed(c->ctx)) return false;
  rilli_device *device = c->ctx->device;
  if (rilli_refuse_captured(c->ctx, "rill_replay", "replay another")) return false;
  if (!c->called) {
    c->called = true;
    return call(c);
  }
  if (!device->record_begin) return call_captured(c);
  if (!c->recording && !record(c)) return false;
  return device->record_launch(device, c->recording) ||
         rilli_device_failed(c->ctx, device, "rill_replay");
}
