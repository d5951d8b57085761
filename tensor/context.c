/* Contexts: birth, death, host memory, settings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "tensor/checked.h"
#include "tensor/context_impl.h"

static void *system_alloc(void *user, size_t bytes) {
  (void)user;
  size_t rounded;
  if (!rilli_add_size(bytes, 63, &rounded)) return NULL;
  rounded = rounded / 64 * 64;
  return aligned_alloc(64, rounded ? rounded : 64);
}
static void system_free(void *user, void *memory, size_t bytes) {
  (void)user;
  (void)bytes;
  free(memory);
}

/* Each block remembers its size in the 64 bytes before it. */
enum { HEADER = 64 };

void *rill_alloc(rill_context *ctx, size_t bytes) {
  size_t whole;
  char *block = NULL;
  if (rilli_add_size(bytes, HEADER, &whole))
    block = ctx->allocator.alloc(ctx->allocator.user, whole);
  if (!block) {
    rill_fail(ctx, RILL_ERROR_MEMORY, "out of memory: %zu bytes of host memory were refused",
              bytes);
    return NULL;
  }
  memcpy(block, &whole, sizeof whole);
  return block + HEADER;
}

void rill_free(rill_context *ctx, void *memory) {
  if (!memory) return;
  char *block = (char *)memory - HEADER;
  size_t whole;
  memcpy(&whole, block, sizeof whole);
  ctx->allocator.free(ctx->allocator.user, block, whole);
}

static int default_threads(void) {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

void rill_context_set_threads(rill_context *ctx, int threads) {
  ctx->cpu->env.threads = threads > 0 ? threads : default_threads();
}
int rill_context_threads(const rill_context *ctx) { return ctx->cpu->env.threads; }
rill_device_kind rill_context_device(const rill_context *ctx) { return ctx->device->kind; }
const char *rill_context_device_name(const rill_context *ctx) { return ctx->device->name; }
const rill_files *rill_context_files(const rill_context *ctx) { return &ctx->files; }
rilli_device *rilli_device_of(const rill_context *ctx) { return ctx->device; }

static void open_device(rill_context *ctx, rill_device_kind kind,
                        const struct rill_cuda_calls *calls) {
  const char *why = "unknown device";
  if (kind == RILL_CPU) return;
  rilli_device *device =
      kind == RILL_CUDA ? rilli_device_cuda_new(&ctx->allocator, calls, &why) : NULL;
  if (device) {
    ctx->device = device;
  } else {
    rill_fail(ctx, RILL_ERROR_DEVICE, "rill_context_new: device cuda cannot be used: %s", why);
  }
}

rill_context *rill_context_new(rill_context_opts opts) {
  rill_allocator allocator = {system_alloc, system_free, NULL};
  if (opts.allocator) allocator = *opts.allocator;
  rill_context *ctx = allocator.alloc(allocator.user, sizeof *ctx);
  if (!ctx) return NULL;
  *ctx = (rill_context){.allocator = allocator,
                        .files = opts.files ? *opts.files : *rilli_system_files(),
                        .on_error = RILL_CONTINUE,
                        .random = {.seed = opts.seed}};
  ctx->void_tensor =
      (rill_tensor){.magic = RILLI_ALIVE, .refs = 1, .ctx = ctx, .made_by = "an op that failed"};
  ctx->cpu =
      rilli_device_cpu_new(&ctx->allocator, opts.threads > 0 ? opts.threads : default_threads());
  ctx->device = ctx->cpu;
  if (!ctx->cpu || !rill_scope_open(ctx)) {
    if (ctx->cpu) ctx->cpu->destroy(ctx->cpu);
    allocator.free(allocator.user, ctx, sizeof *ctx);
    return NULL;
  }
  ctx->on_error = opts.on_error;
  open_device(ctx, opts.device, opts.cuda);
  return ctx;
}

int rill_context_free(rill_context *ctx) {
  if (!ctx) return 0;
  int failed = rilli_failed(ctx);
  while (ctx->scope) rill_scope_close(ctx->scope);
  while (ctx->owned) rill_owned_free(ctx, (char *)ctx->owned + RILLI_OWNED_HEADER);
  for (int i = 0; i < RILLI_GRAVEYARD; i++) rill_free(ctx, ctx->graveyard[i]);
  if (ctx->device != ctx->cpu) ctx->device->destroy(ctx->device);
  ctx->cpu->destroy(ctx->cpu);
  rill_allocator allocator = ctx->allocator;
  allocator.free(allocator.user, ctx, sizeof *ctx);
  return failed;
}

bool rilli_device_failed(rill_context *ctx, rilli_device *device, const char *function) {
  rill_fail(ctx, device->status ? device->status : RILL_ERROR_DEVICE, "%s: %s: %s", function,
            device->name, device->why ? device->why : "the device failed");
  device->why = NULL;
  device->status = RILL_OK;
  return false;
}

void rill_synchronize(rill_context *ctx) {
  if (rilli_refuse_captured(ctx, "rill_synchronize", "wait for the device")) return;
  if (!ctx->device->synchronize(ctx->device))
    rilli_device_failed(ctx, ctx->device, "rill_synchronize");
}

rill_random_state rill_random_get(const rill_context *ctx) { return ctx->random; }
void rill_random_set(rill_context *ctx, rill_random_state state) { ctx->random = state; }
rill_random_state rill_random_take(rill_context *ctx, uint64_t draws) {
  rilli_refuse_captured(ctx, "rill_random_take",
                        "draw random numbers: they would be the same in every replay");
  rill_random_state now = ctx->random;
  ctx->random.counter += draws;
  return now;
}

rill_memory rill_memory_used(const rill_context *ctx) { return ctx->memory; }
void rill_memory_reset_peak(rill_context *ctx) { ctx->memory.peak_bytes = ctx->memory.live_bytes; }
uint64_t rilli_next_serial(rill_context *ctx) { return ++ctx->serial; }
