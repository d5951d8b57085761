/* The device table: the little that the library itself needs of a backend. Ops bring their own
 * kernels. */
#ifndef RILL_TENSOR_DEVICE_H_
#define RILL_TENSOR_DEVICE_H_

#include "tensor/context.h"

typedef struct rilli_device rilli_device;
typedef struct rilli_recording rilli_recording; /* a captured function, as a device keeps it */

typedef enum { RILLI_RANDOM_UNIFORM, RILLI_RANDOM_NORMAL, RILLI_RANDOM_INTEGER } rilli_random_kind;

/* Functions return false on failure (memory, device); *why, if set, says what failed in words.
 * Arrays of one call live on this device; sizes are equal, strides are arbitrary (0 for a broadcast
 * source). */
struct rilli_device {
  rill_device_kind kind;
  const char *name;
  rill_env env;
  const char *why;
  rill_status status; /* of what `why` says; 0 = RILL_ERROR_DEVICE */
  bool capturing;     /* a captured function is being called (tensor/capture.h) */

  void *(*alloc)(rilli_device *dev,
                 size_t bytes); /* aligned to 64 at least; NULL when memory is short */
  void (*free)(rilli_device *dev, void *memory, size_t bytes);
  bool (*upload)(rilli_device *dev, void *to, const void *host, size_t bytes);
  bool (*download)(rilli_device *dev, void *host, const void *from, size_t bytes); /* waits */
  bool (*fill)(rilli_device *dev, const rill_array *to, double value);
  bool (*copy)(rilli_device *dev, const rill_array *to,
               const rill_array *from); /* converts dtype */
  bool (*accumulate)(rilli_device *dev, const rill_array *to,
                     const rill_array *from); /* to += from */
  /* to = sum of `from` over the axes where `to` has size 1; equal ranks, floating dtypes. */
  bool (*reduce_to)(rilli_device *dev, const rill_array *to, const rill_array *from);
  /* Fills a contiguous array from the stream at `state`: element i uses draw i. low, high: for
   * integers. */
  bool (*random)(rilli_device *dev, const rill_array *to, rilli_random_kind kind,
                 rill_random_state state, int64_t low, int64_t high);
  bool (*synchronize)(rilli_device *dev);
  /* Between begin and end work is recorded instead of done, with memory that stays the recording's.
   * begin returns NULL on failure; end false when there is nothing to launch. All NULL: a device
   * that does not record. */
  rilli_recording *(*record_begin)(rilli_device *dev);
  bool (*record_end)(rilli_device *dev, rilli_recording *recording);
  bool (*record_launch)(rilli_device *dev, rilli_recording *recording);
  void (*record_free)(rilli_device *dev, rilli_recording *recording);
  void (*destroy)(rilli_device *dev);
};

/* NULL when memory is short. */
rilli_device *rilli_device_cpu_new(const rill_allocator *allocator, int threads);
/* NULL, and *why set, when there is no usable GPU or the library was built without CUDA. `calls`
 * NULL = the CUDA runtime. */
rilli_device *rilli_device_cuda_new(const rill_allocator *allocator,
                                    const struct rill_cuda_calls *calls, const char **why);

#endif /* RILL_TENSOR_DEVICE_H_ */
