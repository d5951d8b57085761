/* The CUDA device's insides, for tensor/cuda/ and the launch wrapper.
 *
 *   upload:  host memory --memcpy--> a slot of pinned memory --stream--> the GPU
 *
 * so that the caller's memory is free again at once and the GPU is not waited for. Kernels report
 * what they find wrong (an index out of range, a canary that died) in `fault`, pinned memory that
 * both sides see; it is looked at whenever the host waits. */
#ifndef RILL_TENSOR_CUDA_DEVICE_IMPL_H_
#define RILL_TENSOR_CUDA_DEVICE_IMPL_H_

extern "C" {
#include "tensor/cuda_calls.h"
#include "tensor/device.h"
#include "tensor/scratch.h"
}

enum { RILLI_CUDA_SLOTS = 8, RILLI_CUDA_SLOT_BYTES = 1 << 20 };

typedef enum { RILLI_FAULT_NONE = 0, RILLI_FAULT_INDEX, RILLI_FAULT_CANARY } rilli_fault_kind;

/* The first fault since the last look. `op` is a host pointer that kernels only carry. */
typedef struct {
  int kind;
  const char *op;
  long long position, value, limit;
} rilli_fault;

struct rilli_cuda_blas; /* ops/cuda/blas.h */

typedef struct {
  rilli_device base;
  rill_allocator allocator;
  rilli_scratch scratch;
  const rill_cuda_calls *calls;
  rill_cuda_card card;
  void *stream;
  rilli_fault *fault;
  char *slot[RILLI_CUDA_SLOTS];
  void *slot_done[RILLI_CUDA_SLOTS]; /* events */
  int next_slot;
  rilli_recording *recordings; /* all of them; record.h */
  rilli_recording *recording;  /* the one that is being made, or NULL */
  bool closing;
  char words[512];              /* what base.why points to */
  struct rilli_cuda_blas *blas; /* opened by the first product */
  void (*blas_free)(struct rilli_cuda_blas *blas);
} rilli_cuda;

static inline rilli_cuda *rilli_cuda_of(const rill_env *env) {
  return (rilli_cuda *)env->scratch->device;
}

extern "C" {
/* Sets why from an error code of `what`; false. */
bool rilli_cuda_fail(rilli_cuda *dev, const char *what, int error);
/* One kernel launch: grid limits checked, errors kept in `why`. An empty grid is done at once. */
bool rilli_cuda_launch(rilli_cuda *dev, const void *kernel, const unsigned grid[3], unsigned block,
                       void **args, size_t shared);

bool rilli_cuda_fill(rilli_device *dev, const rill_array *to, double value);
bool rilli_cuda_copy(rilli_device *dev, const rill_array *to, const rill_array *from);
bool rilli_cuda_accumulate(rilli_device *dev, const rill_array *to, const rill_array *from);
bool rilli_cuda_reduce_to(rilli_device *dev, const rill_array *to, const rill_array *from);
bool rilli_cuda_random(rilli_device *dev, const rill_array *to, rilli_random_kind kind,
                       rill_random_state state, int64_t low, int64_t high);
bool rilli_cuda_check_canary(rilli_cuda *dev, const void *memory, size_t bytes);
}

#endif /* RILL_TENSOR_CUDA_DEVICE_IMPL_H_ */
