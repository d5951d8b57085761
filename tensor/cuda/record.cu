/* Recording a captured function, and launching what was recorded. */
#include "tensor/cuda/record.h"

#include <stdio.h>
#include <string.h>

extern "C" {
#include "tensor/arena.h"
}

enum { UPLOAD_HEADER = 64 };
#define CHUNK_LEAST ((size_t)32 << 20)
#define CHUNK_UNIT ((size_t)2 << 20)

/* In front of host values that a graph reads. */
typedef struct upload {
  struct upload *next;
} upload;

struct rilli_recording {
  rilli_recording *next; /* of the device */
  rilli_arena arena;
  void *side; /* the stream that chunks are taken on; NULL once recorded */
  void *graph;
  upload *uploads;
};

static void refuse(rilli_cuda *dev, const char *words) {
  snprintf(dev->words, sizeof dev->words, "%s", words);
  dev->base.why = dev->words;
  dev->base.status = RILL_ERROR_STATE;
}

/* ---- memory ---- */

/* A chunk that holds `bytes`, and a quarter of what is there if that is more: few chunks, little
 * waste. It is usable on every stream when this returns. */
static bool add_chunk(rilli_cuda *dev, rilli_recording *r, size_t bytes) {
  size_t wish = r->arena.total / 4;
  if (wish < CHUNK_LEAST) wish = CHUNK_LEAST;
  if (wish < bytes) wish = bytes;
  if (wish > SIZE_MAX - CHUNK_UNIT) return false;
  size_t whole = (wish + CHUNK_UNIT - 1) / CHUNK_UNIT * CHUNK_UNIT;
  void *memory = nullptr;
  if (dev->calls->alloc(&memory, whole, r->side) != 0) return false;
  if (dev->calls->stream_wait(r->side) == 0 && rilli_arena_add(&r->arena, memory, whole))
    return true;
  dev->calls->free(memory, r->side);
  return false;
}

void *rilli_cuda_record_alloc(rilli_cuda *dev, size_t bytes) {
  rilli_recording *r = dev->recording;
  void *block = rilli_arena_take(&r->arena, bytes);
  if (!block && add_chunk(dev, r, bytes)) block = rilli_arena_take(&r->arena, bytes);
  return block;
}

bool rilli_cuda_record_give(rilli_cuda *dev, void *block) {
  for (rilli_recording *r = dev->recordings; r; r = r->next)
    if (rilli_arena_give(&r->arena, block)) return true;
  return false;
}

int rilli_cuda_record_free_outside(rilli_cuda *dev, void *memory) {
  return dev->calls->free(memory, dev->recording->side);
}

bool rilli_cuda_record_upload(rilli_cuda *dev, void *to, const void *host, size_t bytes) {
  void *memory = nullptr;
  int error = dev->calls->pinned_alloc(&memory, UPLOAD_HEADER + bytes);
  if (error) return rilli_cuda_fail(dev, "taking pinned memory", error);
  upload *u = (upload *)memory;
  u->next = dev->recording->uploads;
  dev->recording->uploads = u;
  char *values = (char *)memory + UPLOAD_HEADER;
  memcpy(values, host, bytes);
  error = dev->calls->copy(to, values, bytes, dev->stream);
  return error == 0 || rilli_cuda_fail(dev, "copying to the GPU", error);
}

/* ---- the recording ---- */

rilli_recording *rilli_cuda_record_begin(rilli_device *base) {
  rilli_cuda *dev = (rilli_cuda *)base;
  if (!base->synchronize(base)) return nullptr;
  rilli_recording *r = (rilli_recording *)dev->allocator.alloc(dev->allocator.user, sizeof *r);
  if (!r) {
    refuse(dev, "out of host memory for a recording");
    base->status = RILL_ERROR_MEMORY;
    return nullptr;
  }
  memset(r, 0, sizeof *r);
  r->arena.allocator = dev->allocator;
  r->next = dev->recordings;
  dev->recordings = r;
  int error = dev->calls->stream_new(&r->side);
  if (!error) error = dev->calls->trim(); /* what the first call used is free for the chunks */
  if (!error) error = dev->calls->capture_begin(dev->stream);
  if (!error) {
    dev->recording = r;
    return r;
  }
  rilli_cuda_fail(dev, "beginning to record", error);
  rilli_cuda_record_free(base, r);
  return nullptr;
}

bool rilli_cuda_record_end(rilli_device *base, rilli_recording *r) {
  rilli_cuda *dev = (rilli_cuda *)base;
  dev->recording = nullptr;
  int error = dev->calls->capture_end(dev->stream, &r->graph);
  int freed = dev->calls->stream_free(r->side);
  r->side = nullptr;
  if (!error) error = freed;
  if (error) return rilli_cuda_fail(dev, "recording", error);
  if (r->arena.used == 0) return true;
  refuse(dev, "the captured function left tensors behind; results go into tensors made outside");
  return false;
}

bool rilli_cuda_record_launch(rilli_device *base, rilli_recording *r) {
  rilli_cuda *dev = (rilli_cuda *)base;
  int error = dev->calls->graph_launch(r->graph, dev->stream);
  return error == 0 || rilli_cuda_fail(dev, "launching a recording", error);
}

/* A recording whose memory a tensor still uses stays until the device goes. */
void rilli_cuda_record_free(rilli_device *base, rilli_recording *r) {
  rilli_cuda *dev = (rilli_cuda *)base;
  rilli_recording **link = &dev->recordings;
  dev->calls->stream_wait(dev->stream);
  if (r->graph) dev->calls->graph_free(r->graph);
  r->graph = nullptr;
  if (r->arena.used > 0 && !dev->closing) return;
  while (*link != r) link = &(*link)->next;
  *link = r->next;
  for (size_t i = 0; i < r->arena.count; i++)
    if (r->arena.piece[i].first) dev->calls->free(r->arena.piece[i].at, dev->stream);
  for (upload *u = r->uploads, *next; u; u = next) {
    next = u->next;
    dev->calls->pinned_free(u);
  }
  if (r->side) dev->calls->stream_free(r->side);
  rilli_arena_free(&r->arena);
  dev->allocator.free(dev->allocator.user, r, sizeof *r);
}
