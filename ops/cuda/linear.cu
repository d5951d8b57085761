/* linear and its derivative on CUDA: products by cuBLASLt, the bias in the product's epilogue, the
 * bias's gradient as a sum over rows. */
#include "ops/cuda/blas.h"
#include "ops/attributes.h"
#include "tensor/cuda/launch.cuh"

extern "C" {
#include "autograd/op.h"
}

static int64_t rows_of(const rill_array *x) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < x->rank; d++) rows *= x->size[d];
  return rows;
}

static rilli_blas product(rill_dtype dtype, int64_t m, int64_t n, int64_t k, const void *a,
                          bool a_transposed, const void *b, bool b_transposed,
                          const rill_array *c) {
  rilli_blas p = {};
  p.dtype = dtype, p.c_dtype = c->dtype;
  p.m = m, p.n = n, p.k = k, p.count = 1;
  p.a = a, p.b = b, p.c = c->data;
  p.a_transposed = a_transposed, p.b_transposed = b_transposed;
  p.a_row = a_transposed ? m : k;
  p.b_row = b_transposed ? k : n;
  p.c_row = n;
  p.alpha = 1;
  return p;
}

/* Without inner elements a product is zero; cuBLASLt refuses to be asked. */
static bool run(const rill_call *call, const rilli_blas *p, const rill_array *c) {
  rilli_device *dev = call->env->scratch->device;
  if (rill_array_count(c) == 0) return true;
  if (p->k == 0) return dev->fill(dev, c, 0);
  return rilli_cuda_product(call->env, p);
}

extern "C" bool rilli_cuda_linear(const rill_call *call) {
  const rill_array *x = &call->in[0], *w = &call->in[1], *bias = &call->in[2], *y = &call->out[0];
  int64_t n = w->size[0], k = w->size[1];
  rilli_device *dev = call->env->scratch->device;
  rilli_blas p = product(x->dtype, rows_of(x), n, k, x->data, false, w->data, true, y);
  /* The epilogue wants an aligned bias and is not there for f64: such a bias is laid down first. */
  bool present = bias->rank >= 0 && rill_array_count(y) > 0;
  bool fused =
      present && x->dtype != RILL_F64 && k > 0 && (uintptr_t)bias->data % 16 == 0 && n % 8 == 0;
  if (fused) {
    p.bias = bias->data;
  } else if (present) {
    rill_array rows = *y;
    rows.data = bias->data;
    for (int d = 0; d < rows.rank; d++) rows.stride[d] = d == rows.rank - 1;
    if (!dev->copy(dev, y, &rows)) return false;
    p.beta = 1;
    if (k == 0) return true;
  }
  return run(call, &p, y);
}

extern "C" bool rilli_cuda_linear_backward(const rill_call *call) {
  const rill_array *dy = &call->in[0], *x = &call->in[1], *w = &call->in[2];
  const rilli_linear_wanted *wanted = (const rilli_linear_wanted *)call->attr;
  int64_t rows = rows_of(x), n = w->size[0], k = w->size[1];
  rilli_device *dev = call->env->scratch->device;
  if (wanted->x) {
    rilli_blas p = product(x->dtype, rows, k, n, dy->data, false, w->data, false, &call->out[0]);
    if (!run(call, &p, &call->out[0])) return false;
  }
  if (wanted->weight) {
    rilli_blas p = product(x->dtype, n, k, rows, dy->data, true, x->data, false, &call->out[1]);
    if (!run(call, &p, &call->out[1])) return false;
  }
  if (!wanted->bias) return true;
  rill_array from = *dy, to = call->out[2];
  from.rank = to.rank = 2;
  from.size[0] = rows, from.size[1] = to.size[1] = n, to.size[0] = 1;
  from.stride[0] = to.stride[0] = n, from.stride[1] = to.stride[1] = 1;
  return rows == 0 ? dev->fill(dev, &call->out[2], 0) : dev->reduce_to(dev, &to, &from);
}
