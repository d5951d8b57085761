/* Sharing memory with other libraries (NumPy, PyTorch, JAX, ...) by DLPack, ABI 0.8, which 1.x
 * readers of unversioned capsules accept.
 *
 * The structs below are laid out as DLManagedTensor and its parts; a pointer to one may be cast to
 * the other. Nothing is copied. */
#ifndef RILL_TENSOR_DLPACK_H_
#define RILL_TENSOR_DLPACK_H_

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RILL_DL_CPU = 1, RILL_DL_CUDA = 2, RILL_DL_CUDA_HOST = 3 };
enum { RILL_DL_INT = 0, RILL_DL_UINT = 1, RILL_DL_FLOAT = 2, RILL_DL_BFLOAT = 4, RILL_DL_BOOL = 6 };

typedef struct {
  int32_t device_type;
  int32_t device_id;
} rill_dl_device;

typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} rill_dl_dtype;

typedef struct {
  void *data;
  rill_dl_device device;
  int32_t ndim;
  rill_dl_dtype dtype;
  int64_t *shape;
  int64_t *strides; /* in elements; NULL = row-major */
  uint64_t byte_offset;
} rill_dl_tensor;

typedef struct rill_dl_managed {
  rill_dl_tensor tensor;
  void *manager;
  void (*deleter)(struct rill_dl_managed *self); /* NULL = nothing to release */
} rill_dl_managed;

/* x's memory for another library, which calls the deleter once when it is done. The memory lives
 * until then, whatever scopes close, but not longer than the context. Writes by the other library
 * change x. NULL, with an error recorded, for the void tensor and when memory is short. */
rill_dl_managed *rill_to_dlpack(rill_tensor *x);

/* A tensor around another library's memory; its deleter runs when the last view of it is released.
 * On refusal (void tensor) the caller still owns `managed`. Refused: memory that is not on the CPU,
 * types without a rill_dtype, vectors, more than RILL_MAX_RANK axes, negative sizes or strides,
 * misaligned data. */
rill_tensor *rill_from_dlpack(rill_context *ctx, rill_dl_managed *managed);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_DLPACK_H_ */
