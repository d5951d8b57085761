/* The CPU device: memory with a small cache of released blocks.
 *
 * A training step asks for the same sizes again and again, and fresh pages from the system cost
 * more than the kernels that fill them. Released blocks therefore wait in lists by size class (four
 * classes an octave) until they are asked for again, until too much waits, or until the system runs
 * short. Debug and sanitizer builds do without, so that every use after release is seen. */
#include <string.h>

#include "tensor/checked.h"
#include "tensor/cpu_impl.h"
#include "tensor/scratch.h"

#if defined(RILL_DEBUG) || defined(__SANITIZE_ADDRESS__)
#define CACHE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHE 0
#endif
#endif
#ifndef CACHE
#define CACHE 1
#endif

enum { CLASSES = 4 * 48 };
#define SMALLEST ((size_t)256)
#define WAITING_MAX ((size_t)1 << 30)

typedef struct block {
  struct block *next;
} block;

typedef struct {
  rilli_device base;
  rill_allocator allocator;
  rilli_scratch scratch;
  block *waiting[CLASSES];
  size_t waiting_bytes;
} cpu;

/* The class whose size is the first of 2^k (1, 1.25, 1.5, 1.75) that holds `bytes`; -1 when there
 * is none. */
static int size_class(size_t bytes, size_t *rounded) {
  size_t octave = SMALLEST;
  for (int c = 0; c < CLASSES; c += 4, octave *= 2) {
    if (bytes > 2 * octave) continue;
    for (int quarter = 0; quarter < 4; quarter++) {
      size_t size = octave + octave / 4 * (size_t)quarter;
      if (bytes <= size) {
        *rounded = size;
        return c + quarter;
      }
    }
  }
  return -1;
}

static void flush(cpu *dev) {
  for (int c = 0; c < CLASSES; c++) {
    size_t octave = SMALLEST << (c / 4), size = octave + octave / 4 * (size_t)(c % 4);
    while (dev->waiting[c]) {
      block *b = dev->waiting[c];
      dev->waiting[c] = b->next;
      dev->allocator.free(dev->allocator.user, b, size);
    }
  }
  dev->waiting_bytes = 0;
}

static void *cpu_alloc(rilli_device *base, size_t bytes) {
  cpu *dev = (cpu *)base;
  size_t size = bytes ? bytes : 1;
  int c = CACHE ? size_class(bytes, &size) : -1;
  if (c >= 0 && dev->waiting[c]) {
    block *b = dev->waiting[c];
    dev->waiting[c] = b->next;
    dev->waiting_bytes -= size;
    return b;
  }
  void *memory = dev->allocator.alloc(dev->allocator.user, size);
  if (!memory && dev->waiting_bytes) {
    flush(dev);
    memory = dev->allocator.alloc(dev->allocator.user, size);
  }
  return memory;
}

static void cpu_free(rilli_device *base, void *memory, size_t bytes) {
  cpu *dev = (cpu *)base;
  size_t size = bytes ? bytes : 1;
  int c = CACHE ? size_class(bytes, &size) : -1;
  if (c < 0 || dev->waiting_bytes + size > WAITING_MAX) {
    dev->allocator.free(dev->allocator.user, memory, size);
    return;
  }
  block *b = memory;
  b->next = dev->waiting[c];
  dev->waiting[c] = b;
  dev->waiting_bytes += size;
}

static bool cpu_move(rilli_device *dev, void *to, const void *from, size_t bytes) {
  (void)dev;
  if (bytes) memcpy(to, from, bytes);
  return true;
}
static bool cpu_synchronize(rilli_device *dev) {
  (void)dev;
  return true;
}

static void cpu_destroy(rilli_device *base) {
  cpu *dev = (cpu *)base;
  rilli_scratch_release(&base->env);
  flush(dev);
  rill_allocator allocator = dev->allocator;
  allocator.free(allocator.user, dev, sizeof *dev);
}

rilli_device *rilli_device_cpu_new(const rill_allocator *allocator, int threads) {
  cpu *dev = allocator->alloc(allocator->user, sizeof *dev);
  if (!dev) return NULL;
  *dev = (cpu){.base = {.kind = RILL_CPU,
                        .name = "cpu",
                        .env = {.threads = threads},
                        .alloc = cpu_alloc,
                        .free = cpu_free,
                        .upload = cpu_move,
                        .download = cpu_move,
                        .fill = rilli_cpu_fill,
                        .copy = rilli_cpu_copy,
                        .accumulate = rilli_cpu_accumulate,
                        .reduce_to = rilli_cpu_reduce_to,
                        .random = rilli_cpu_random,
                        .synchronize = cpu_synchronize,
                        .destroy = cpu_destroy},
               .allocator = *allocator};
  dev->scratch.device = &dev->base;
  dev->base.env.scratch = &dev->scratch;
  return &dev->base;
}
