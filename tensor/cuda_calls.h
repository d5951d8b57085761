/* What the library asks of the CUDA runtime, as a table that can be replaced: a stub without a GPU
 * can make the Nth call fail, or count what is asked. No CUDA header is needed to write one. */
#ifndef RILL_TENSOR_CUDA_CALLS_H_
#define RILL_TENSOR_CUDA_CALLS_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  char name[128];
  int multiprocessors, major, minor; /* compute capability major.minor */
} rill_cuda_card;

/* Every function returns 0 or an error code of the runtime. Streams and memory are its own. */
typedef struct rill_cuda_calls {
  int (*open)(rill_cuda_card *card); /* takes the first visible card and says what it is */
  int (*stream_new)(void **stream);
  int (*stream_free)(void *stream);
  int (*stream_wait)(void *stream); /* until all work is done */
  int (*alloc)(void **memory, size_t bytes, void *stream);
  int (*free)(void *memory, void *stream);
  int (*trim)(void); /* gives memory that waits for reuse back to the system */
  int (*pinned_alloc)(void **memory, size_t bytes); /* host memory that kernels can reach, too */
  int (*pinned_free)(void *memory);
  int (*copy)(void *to, const void *from, size_t bytes, void *stream);
  int (*set)(void *to, int byte, size_t bytes, void *stream);
  int (*launch)(const void *kernel, const unsigned grid[3], unsigned block, void **args,
                size_t shared, void *stream);
  int (*event_new)(void **event);
  int (*event_free)(void *event);
  int (*event_record)(void *event, void *stream);
  int (*event_wait)(void *event);
  /* Between begin and end the stream's work is recorded instead of done; *graph is what can be
   * launched, NULL after an error. Other streams go on working. */
  int (*capture_begin)(void *stream);
  int (*capture_end)(void *stream, void **graph);
  int (*graph_launch)(void *graph, void *stream);
  int (*graph_free)(void *graph);
  const char *(*error_text)(int error);
} rill_cuda_calls;

/* The runtime's own functions; NULL in a build without CUDA. */
const rill_cuda_calls *rill_cuda_runtime(void);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_CUDA_CALLS_H_ */
