/* The CUDA runtime behind rill_cuda_calls. */
#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include "tensor/cuda_calls.h"
}

static int open_card(rill_cuda_card *card) {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return error;
  if (count == 0) return cudaErrorNoDevice;
  cudaDeviceProp p;
  if ((error = cudaSetDevice(0)) != cudaSuccess) return error;
  if ((error = cudaGetDeviceProperties(&p, 0)) != cudaSuccess) return error;
  memset(card, 0, sizeof *card);
  snprintf(card->name, sizeof card->name, "%.*s", (int)sizeof card->name - 1, p.name);
  card->multiprocessors = p.multiProcessorCount;
  card->major = p.major;
  card->minor = p.minor;
  cudaMemPool_t pool; /* released blocks stay with the process, so that a step allocates nothing */
  if ((error = cudaDeviceGetDefaultMemPool(&pool, 0)) != cudaSuccess) return error;
  unsigned long long keep = ~0ull;
  return cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
}

static int stream_new(void **stream) {
  return cudaStreamCreateWithFlags((cudaStream_t *)stream, cudaStreamNonBlocking);
}
static int stream_free(void *stream) { return cudaStreamDestroy((cudaStream_t)stream); }
static int stream_wait(void *stream) { return cudaStreamSynchronize((cudaStream_t)stream); }

static int pool_alloc(void **memory, size_t bytes, void *stream) {
  cudaError_t error = cudaMallocAsync(memory, bytes, (cudaStream_t)stream);
  if (error != cudaSuccess) cudaGetLastError(); /* a refused allocation breaks nothing */
  return error;
}
static int pool_free(void *memory, void *stream) {
  return cudaFreeAsync(memory, (cudaStream_t)stream);
}
static int pool_trim(void) {
  cudaMemPool_t pool;
  cudaError_t error = cudaDeviceGetDefaultMemPool(&pool, 0);
  return error != cudaSuccess ? error : cudaMemPoolTrimTo(pool, 0);
}

static int pinned_alloc(void **memory, size_t bytes) {
  return cudaHostAlloc(memory, bytes, cudaHostAllocMapped | cudaHostAllocPortable);
}
static int pinned_free(void *memory) { return cudaFreeHost(memory); }

static int copy(void *to, const void *from, size_t bytes, void *stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, (cudaStream_t)stream);
}
static int set(void *to, int byte, size_t bytes, void *stream) {
  return cudaMemsetAsync(to, byte, bytes, (cudaStream_t)stream);
}

static int launch(const void *kernel, const unsigned grid[3], unsigned block, void **args,
                  size_t shared, void *stream) {
  if (shared > 48 * 1024) { /* more than the default must be asked for, once a kernel */
    cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error != cudaSuccess) {
      cudaGetLastError();
      return error;
    }
  }
  cudaError_t error = cudaLaunchKernel(kernel, dim3(grid[0], grid[1], grid[2]), dim3(block), args,
                                       shared, (cudaStream_t)stream);
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

static int event_new(void **event) {
  return cudaEventCreateWithFlags((cudaEvent_t *)event, cudaEventDisableTiming);
}
static int event_free(void *event) { return cudaEventDestroy((cudaEvent_t)event); }
static int event_record(void *event, void *stream) {
  return cudaEventRecord((cudaEvent_t)event, (cudaStream_t)stream);
}
static int event_wait(void *event) { return cudaEventSynchronize((cudaEvent_t)event); }

/* Relaxed: memory is taken on another stream meanwhile. */
static int capture_begin(void *stream) {
  return cudaStreamBeginCapture((cudaStream_t)stream, cudaStreamCaptureModeRelaxed);
}
static int capture_end(void *stream, void **graph) {
  cudaGraph_t recorded = nullptr;
  cudaGraphExec_t ready = nullptr;
  cudaError_t error = cudaStreamEndCapture((cudaStream_t)stream, &recorded);
  if (error == cudaSuccess) error = cudaGraphInstantiateWithFlags(&ready, recorded, 0);
  if (recorded) cudaGraphDestroy(recorded);
  if (error != cudaSuccess) cudaGetLastError(); /* the stream is usable again */
  *graph = ready;
  return error;
}
static int graph_launch(void *graph, void *stream) {
  return cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)stream);
}
static int graph_free(void *graph) { return cudaGraphExecDestroy((cudaGraphExec_t)graph); }

static const char *error_text(int error) { return cudaGetErrorString((cudaError_t)error); }

extern "C" const rill_cuda_calls *rill_cuda_runtime(void) {
  static const rill_cuda_calls calls = {
      open_card,    stream_new,  stream_free,   stream_wait, pool_alloc,   pool_free,  pool_trim,
      pinned_alloc, pinned_free, copy,          set,         launch,       event_new,  event_free,
      event_record, event_wait,  capture_begin, capture_end, graph_launch, graph_free, error_text};
  return &calls;
}
