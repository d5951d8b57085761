/* Scratch memory: a list of blocks that ends with the kernel. */
#include "tensor/scratch.h"

void *rill_env_alloc(rill_env *env, size_t bytes) {
  rilli_scratch *s = env->scratch;
  if (s->count == RILLI_SCRATCH_BLOCKS) return NULL;
  void *memory = s->device->alloc(s->device, bytes);
  if (!memory) return NULL;
  s->block[s->count].memory = memory;
  s->block[s->count++].bytes = bytes;
  return memory;
}

void rilli_scratch_release(rill_env *env) {
  rilli_scratch *s = env->scratch;
  while (s->count > 0) {
    s->count--;
    s->device->free(s->device, s->block[s->count].memory, s->block[s->count].bytes);
  }
}
