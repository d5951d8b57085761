/* Recordings: captured functions as CUDA graphs.
 *
 * While a function is recorded its buffers come from an arena of the recording's own, whose chunks
 * are taken on a second stream that is not captured; the graph is a chain, so a block that is given
 * back may be taken again by what is recorded next. Host values that kernels need (tables) are kept
 * in pinned memory for the graph to read at every launch.
 *
 *   recording -- graph           its nodes point into
 *             |- arena, chunks   device memory
 *             `- uploads         pinned host memory */
#ifndef RILL_TENSOR_CUDA_RECORD_H_
#define RILL_TENSOR_CUDA_RECORD_H_

#include "tensor/cuda/device_impl.h"

/* Entries of the device table. */
rilli_recording *rilli_cuda_record_begin(rilli_device *base);
bool rilli_cuda_record_end(rilli_device *base, rilli_recording *r);
bool rilli_cuda_record_launch(rilli_device *base, rilli_recording *r);
void rilli_cuda_record_free(rilli_device *base, rilli_recording *r);

/* A block for what is being recorded; NULL when memory is short. */
void *rilli_cuda_record_alloc(rilli_cuda *dev, size_t bytes);
/* False when no recording has such a block. */
bool rilli_cuda_record_give(rilli_cuda *dev, void *block);
/* Frees memory from outside a recording while there is one; 0 or an error code. */
int rilli_cuda_record_free_outside(rilli_cuda *dev, void *memory);
/* Records a copy of host values, which are kept. */
bool rilli_cuda_record_upload(rilli_cuda *dev, void *to, const void *host, size_t bytes);

#endif /* RILL_TENSOR_CUDA_RECORD_H_ */
