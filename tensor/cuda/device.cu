/* The CUDA device: memory from the runtime's pool, one stream, and what went wrong in words. */
#include <stdio.h>
#include <string.h>

#include "tensor/cuda/record.h"

#ifdef RILL_DEBUG
enum { GUARD = 256 };
#else
enum { GUARD = 0 };
#endif
enum { POISON = 0xff, CANARY = 0x5a }; /* 0xff everywhere is NaN in every floating dtype */

bool rilli_cuda_fail(rilli_cuda *dev, const char *what, int error) {
  snprintf(dev->words, sizeof dev->words, "%s failed: %s (CUDA error %d)", what,
           dev->calls->error_text(error), error);
  dev->base.why = dev->words;
  dev->base.status = RILL_ERROR_DEVICE;
  return false;
}

/* What kernels found wrong since the last look; called when the stream is idle. */
static bool look_for_fault(rilli_cuda *dev) {
  rilli_fault found = *dev->fault;
  if (found.kind == RILLI_FAULT_NONE) return true;
  memset(dev->fault, 0, sizeof *dev->fault);
  if (found.kind == RILLI_FAULT_INDEX) {
    snprintf(dev->words, sizeof dev->words, "%s: index %lld at position %lld is outside [0, %lld)",
             found.op, found.value, found.position, found.limit);
    dev->base.status = RILL_ERROR_ARGUMENT;
  } else {
    snprintf(dev->words, sizeof dev->words, "a kernel wrote outside a buffer of %lld bytes",
             found.limit);
  }
  dev->base.why = dev->words;
  return false;
}

/* ---- memory ---- */

static void *cuda_alloc(rilli_device *base, size_t bytes) {
  rilli_cuda *dev = (rilli_cuda *)base;
  size_t whole = bytes + 2 * GUARD;
  void *memory = nullptr;
  if (whole < bytes) return nullptr;
  if (dev->recording)
    memory = rilli_cuda_record_alloc(dev, whole);
  else if (dev->calls->alloc(&memory, whole ? whole : 1, dev->stream) != 0)
    return nullptr;
  if (!memory) return nullptr;
#ifdef RILL_DEBUG
  dev->calls->set(memory, CANARY, whole, dev->stream);
  dev->calls->set((char *)memory + GUARD, POISON, bytes, dev->stream);
#endif
  return (char *)memory + GUARD;
}

static void cuda_free(rilli_device *base, void *memory, size_t bytes) {
  rilli_cuda *dev = (rilli_cuda *)base;
  char *block = (char *)memory - GUARD;
  bool recorded = rilli_cuda_record_give(dev, block);
#ifdef RILL_DEBUG
  /* What a discarded recording left behind was never painted. */
  if (!recorded || dev->recording) rilli_cuda_check_canary(dev, memory, bytes);
#endif
  (void)bytes;
  if (recorded) return;
  int error = dev->recording ? rilli_cuda_record_free_outside(dev, block)
                             : dev->calls->free(block, dev->stream);
  if (error) rilli_cuda_fail(dev, "freeing memory", error);
}

static bool cuda_synchronize(rilli_device *base) {
  rilli_cuda *dev = (rilli_cuda *)base;
  if (dev->recording) {
    snprintf(dev->words, sizeof dev->words, "a captured function must not wait for the device");
    dev->base.why = dev->words;
    dev->base.status = RILL_ERROR_STATE;
    return false;
  }
  int error = dev->calls->stream_wait(dev->stream);
  if (error) return rilli_cuda_fail(dev, "an earlier kernel", error);
  return look_for_fault(dev);
}

/* Through pinned memory in pieces; each slot waits only for its own last use. */
static bool cuda_upload(rilli_device *base, void *to, const void *host, size_t bytes) {
  rilli_cuda *dev = (rilli_cuda *)base;
  if (dev->recording) return rilli_cuda_record_upload(dev, to, host, bytes);
  for (size_t done = 0; done < bytes;) {
    size_t n = bytes - done < RILLI_CUDA_SLOT_BYTES ? bytes - done : (size_t)RILLI_CUDA_SLOT_BYTES;
    int s = dev->next_slot;
    dev->next_slot = (s + 1) % RILLI_CUDA_SLOTS;
    int error = dev->calls->event_wait(dev->slot_done[s]);
    if (error) return rilli_cuda_fail(dev, "an earlier kernel", error);
    memcpy(dev->slot[s], (const char *)host + done, n);
    error = dev->calls->copy((char *)to + done, dev->slot[s], n, dev->stream);
    if (!error) error = dev->calls->event_record(dev->slot_done[s], dev->stream);
    if (error) return rilli_cuda_fail(dev, "copying to the GPU", error);
    done += n;
  }
  return true;
}

static bool cuda_download(rilli_device *base, void *host, const void *from, size_t bytes) {
  rilli_cuda *dev = (rilli_cuda *)base;
  int error = dev->recording ? 0 : dev->calls->copy(host, from, bytes, dev->stream);
  if (error) return rilli_cuda_fail(dev, "copying from the GPU", error);
  return cuda_synchronize(base);
}

/* ---- launches ---- */

bool rilli_cuda_launch(rilli_cuda *dev, const void *kernel, const unsigned grid[3], unsigned block,
                       void **args, size_t shared) {
  if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return true;
  if (grid[0] > 0x7fffffffu || grid[1] > 65535u || grid[2] > 65535u || block > 1024u) {
    snprintf(dev->words, sizeof dev->words,
             "a grid of %u x %u x %u blocks of %u threads is beyond the GPU's limits", grid[0],
             grid[1], grid[2], block);
    dev->base.why = dev->words;
    return false;
  }
  int error = dev->calls->launch(kernel, grid, block, args, shared, dev->stream);
  return error == 0 || rilli_cuda_fail(dev, "a kernel launch", error);
}

/* ---- life ---- */

static void cuda_destroy(rilli_device *base) {
  rilli_cuda *dev = (rilli_cuda *)base;
  rilli_scratch_release(&base->env);
  if (dev->stream) dev->calls->stream_wait(dev->stream);
  dev->closing = true;
  while (dev->recordings) rilli_cuda_record_free(base, dev->recordings);
  if (dev->blas) dev->blas_free(dev->blas);
  for (int s = 0; s < RILLI_CUDA_SLOTS; s++) {
    if (dev->slot_done[s]) dev->calls->event_free(dev->slot_done[s]);
    if (dev->slot[s]) dev->calls->pinned_free(dev->slot[s]);
  }
  if (dev->fault) dev->calls->pinned_free(dev->fault);
  if (dev->stream) dev->calls->stream_free(dev->stream);
  dev->calls->trim();
  rill_allocator allocator = dev->allocator;
  allocator.free(allocator.user, dev, sizeof *dev);
}

static int open_all(rilli_cuda *dev) {
  int error = dev->calls->open(&dev->card);
  if (!error) error = dev->calls->stream_new(&dev->stream);
  if (!error) error = dev->calls->pinned_alloc((void **)&dev->fault, sizeof *dev->fault);
  if (!error) memset(dev->fault, 0, sizeof *dev->fault);
  for (int s = 0; s < RILLI_CUDA_SLOTS && !error; s++) {
    error = dev->calls->pinned_alloc((void **)&dev->slot[s], RILLI_CUDA_SLOT_BYTES);
    if (!error) error = dev->calls->event_new(&dev->slot_done[s]);
  }
  return error;
}

rilli_device *rilli_device_cuda_new(const rill_allocator *allocator, const rill_cuda_calls *calls,
                                    const char **why) {
  static char words[256]; /* outlives the device that could not be opened */
  rilli_cuda *dev = (rilli_cuda *)allocator->alloc(allocator->user, sizeof *dev);
  *why = "out of memory";
  if (!dev) return nullptr;
  memset(dev, 0, sizeof *dev);
  dev->allocator = *allocator;
  dev->calls = calls ? calls : rill_cuda_runtime();
  dev->base.kind = RILL_CUDA;
  dev->base.name = dev->card.name;
  dev->base.env.threads = 1;
  dev->base.env.scratch = &dev->scratch;
  dev->scratch.device = &dev->base;
  dev->base.alloc = cuda_alloc;
  dev->base.free = cuda_free;
  dev->base.upload = cuda_upload;
  dev->base.download = cuda_download;
  dev->base.fill = rilli_cuda_fill;
  dev->base.copy = rilli_cuda_copy;
  dev->base.accumulate = rilli_cuda_accumulate;
  dev->base.reduce_to = rilli_cuda_reduce_to;
  dev->base.random = rilli_cuda_random;
  dev->base.synchronize = cuda_synchronize;
  dev->base.record_begin = rilli_cuda_record_begin;
  dev->base.record_end = rilli_cuda_record_end;
  dev->base.record_launch = rilli_cuda_record_launch;
  dev->base.record_free = rilli_cuda_record_free;
  dev->base.destroy = cuda_destroy;
  int error = open_all(dev);
  if (!error && dev->card.major < 8) {
    snprintf(words, sizeof words, "%s has compute capability %d.%d, and 8.0 or later is needed",
             dev->card.name, dev->card.major, dev->card.minor);
  } else if (error) {
    snprintf(words, sizeof words, "%s (CUDA error %d); use the CPU, or look at nvidia-smi",
             dev->calls->error_text(error), error);
  } else {
    dev->base.env.stream = dev->stream;
    return &dev->base;
  }
  *why = words;
  cuda_destroy(&dev->base);
  return nullptr;
}
