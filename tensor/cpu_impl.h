/* The CPU device's loops. */
#ifndef RILL_TENSOR_CPU_IMPL_H_
#define RILL_TENSOR_CPU_IMPL_H_

#include "tensor/device.h"

bool rilli_cpu_fill(rilli_device *dev, const rill_array *to, double value);
bool rilli_cpu_copy(rilli_device *dev, const rill_array *to, const rill_array *from);
bool rilli_cpu_accumulate(rilli_device *dev, const rill_array *to, const rill_array *from);
bool rilli_cpu_reduce_to(rilli_device *dev, const rill_array *to, const rill_array *from);
bool rilli_cpu_random(rilli_device *dev, const rill_array *to, rilli_random_kind kind,
                      rill_random_state state, int64_t low, int64_t high);

#endif /* RILL_TENSOR_CPU_IMPL_H_ */
