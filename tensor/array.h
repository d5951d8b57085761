/* What a kernel sees of a tensor (rill_array) and of the machine (rill_env). */
#ifndef RILL_TENSOR_ARRAY_H_
#define RILL_TENSOR_ARRAY_H_

#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_MAX_RANK 8

/* A strided view of memory. Element (i0, i1, ...) is at data + sum(i_d * stride[d]) elements.
 * Strides count elements and may be 0 (broadcast). An absent optional operand has data == NULL and
 * rank -1. */
typedef struct {
  void *data;
  rill_dtype dtype;
  int rank;
  int64_t size[RILL_MAX_RANK];
  int64_t stride[RILL_MAX_RANK];
} rill_array;

int64_t rill_array_count(const rill_array *a); /* number of elements; 1 for rank 0 */
bool rill_array_contiguous(
    const rill_array *a); /* row-major without gaps; sizes of 1 are ignored */

/* The machine a kernel runs on. */
typedef struct rill_env {
  int threads;  /* CPU threads to use; results must not depend on it */
  void *stream; /* the CUDA stream, NULL on the CPU */
  struct rilli_scratch *scratch;
} rill_env;

/* Bytes of scratch memory, aligned to 64, on the kernel's device; released when the kernel returns.
 * NULL when memory is short: the kernel then returns false. Call it from the kernel's main thread
 * only. */
void *rill_env_alloc(rill_env *env, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_ARRAY_H_ */
