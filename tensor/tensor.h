/* Tensors: a shape, a dtype and a strided view of a reference-counted buffer on a device.
 *
 * Functions that make a tensor return it into the innermost scope of its context; nobody frees a
 * tensor. When something is wrong they record an error and return the context's void tensor (rank
 * 0, no data), which every function accepts and ignores. Passing NULL where a tensor is required
 * aborts with the operand's name. */
#ifndef RILL_TENSOR_TENSOR_H_
#define RILL_TENSOR_TENSOR_H_

#include <stdio.h>

#include "tensor/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- making tensors ---- */

rill_tensor *rill_zeros(rill_context *ctx, rill_dtype dtype, rill_shape shape);
rill_tensor *rill_full(rill_context *ctx, rill_dtype dtype, rill_shape shape, double value);
rill_tensor *rill_scalar(rill_context *ctx, rill_dtype dtype, double value); /* rank 0 */
/* Copies `values` (row-major, of that dtype, in host memory). */
rill_tensor *rill_from(rill_context *ctx, rill_dtype dtype, rill_shape shape, const void *values);
/* 0, 1, ..., count - 1 */
rill_tensor *rill_arange(rill_context *ctx, rill_dtype dtype, int64_t count);
/* Random: normal with mean 0 and standard deviation 1; uniform in [0, 1); integers in [low, high).
 */
rill_tensor *rill_randn(rill_context *ctx, rill_dtype dtype, rill_shape shape);
rill_tensor *rill_rand(rill_context *ctx, rill_dtype dtype, rill_shape shape);
rill_tensor *rill_randint(rill_context *ctx, rill_dtype dtype, rill_shape shape, int64_t low,
                          int64_t high);

/* ---- looking at tensors ---- */

rill_context *rill_context_of(const rill_tensor *x);
rill_dtype rill_dtype_of(const rill_tensor *x);
rill_shape rill_shape_of(const rill_tensor *x);
int rill_rank(const rill_tensor *x);
/* Size of an axis; negative axes count from the end. 0, and an error, when there is no such axis.
 */
int64_t rill_size(const rill_tensor *x, int axis);
int64_t rill_count(const rill_tensor *x); /* number of elements */
bool rill_is_void(const rill_tensor *x);
/* The one element of x as a double (waits for the device). NaN and an error when x has not just
 * one. */
double rill_item(rill_tensor *x);
/* Copies x, row-major, in its dtype, to host memory of `bytes` bytes (must be count x dtype size).
 */
bool rill_read(rill_tensor *x, void *values, size_t bytes);
/* The same, converted to double. `count` must be the number of elements. */
bool rill_read_f64(rill_tensor *x, double *values, int64_t count);
/* The view itself; data is device memory. Writing through it is for new tensors only. */
rill_array rill_array_of(const rill_tensor *x);

/* Prints shape, dtype and values, shortened in the middle, aligned, at the precision that shows
 * them. */
void rill_print(rill_tensor *x);
void rill_fprint(FILE *file, rill_tensor *x);
/* 64-bit hash of shape, dtype and elements (-0 and 0 differ): equal tensors have equal hashes. */
uint64_t rill_hash(rill_tensor *x);

/* ---- writing tensors: for leaves (parameters, buffers); it is an error if a graph still needs the
 * old value when its backward runs ---- */

/* Overwrites x with host values (row-major, its dtype); `bytes` must match. */
bool rill_write(rill_tensor *x, const void *values, size_t bytes);
/* Overwrites x with y, converting dtype; shapes must be equal. */
bool rill_assign(rill_tensor *x, rill_tensor *y);
bool rill_fill(rill_tensor *x, double value);

/* ---- values without history ---- */

/* A contiguous copy in memory of its own, on the same device; forgets the graph. */
rill_tensor *rill_copy(rill_tensor *x);
/* The same memory, without the graph. */
rill_tensor *rill_detach(rill_tensor *x);
/* A copy on another device kind of the same context (the host mirror of a GPU tensor, or back); x
 * itself if it is there already. Gradients do not flow through it. */
rill_tensor *rill_to_device(rill_tensor *x, rill_device_kind device);

/* ---- gradients (rill_backward is in autograd/autograd.h) ---- */

/* Marks a leaf as one whose gradient is wanted; returns x. Floating dtypes only. */
rill_tensor *rill_require_grad(rill_tensor *x);
bool rill_requires_grad(const rill_tensor *x); /* is it such a leaf, or computed from one? */
/* The gradient, borrowed: NULL before any backward reached x. Shape and dtype of x; f32 for bf16.
 */
rill_tensor *rill_grad(const rill_tensor *x);
/* Forgets the gradient of x; the next backward starts from zero. */
void rill_zero_grad(rill_tensor *x);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_TENSOR_H_ */
