/* matmul on CUDA: the batch as few calls of cuBLASLt.
 *
 * Matrices whose rows or columns are contiguous are used as they lie. The leading axes are merged
 * while both operands step evenly; what is left of them becomes a loop of batched calls. Matrices
 * that lie otherwise are made row-major first. */
#include "ops/cuda/blas.h"
#include "tensor/cuda/launch.cuh"

extern "C" {
#include "autograd/op.h"
}

typedef struct {
  const char *data;
  bool transposed;
  int64_t row;                 /* distance of rows (of the transposed matrix: of columns) */
  int64_t step[RILL_MAX_RANK]; /* of the leading axes of the output; 0 = broadcast */
} operand;

/* x with its last two axes row-major or transposed; copied if it lies otherwise. */
static bool lay_out(const rill_call *call, const rill_array *x, const rill_array *out, operand *o) {
  rill_array a = *x;
  int r = a.rank;
  int64_t rows = a.size[r - 2], columns = a.size[r - 1];
  bool plain = (columns == 1 || a.stride[r - 1] == 1) && (rows == 1 || a.stride[r - 2] >= columns);
  bool turned = (rows == 1 || a.stride[r - 2] == 1) && (columns == 1 || a.stride[r - 1] >= rows);
  if (!plain && !turned) {
    size_t bytes = (size_t)rill_array_count(&a) * rill_dtype_size(a.dtype);
    rill_array copy = a;
    copy.data = rill_env_alloc(call->env, bytes);
    int64_t step = 1;
    for (int d = r - 1; d >= 0; d--) {
      copy.stride[d] = step;
      step *= copy.size[d];
    }
    rilli_device *dev = call->env->scratch->device;
    if (!copy.data || !dev->copy(dev, &copy, &a)) return false;
    a = copy;
    plain = true;
  }
  o->data = (const char *)a.data;
  o->transposed = !plain;
  int64_t width = plain ? columns : rows, lines = plain ? rows : columns;
  o->row = lines == 1 ? width : plain ? a.stride[r - 2] : a.stride[r - 1];
  for (int d = 0; d < out->rank - 2; d++) {
    int at = d - (out->rank - r);
    o->step[d] = at < 0 || a.size[at] == 1 ? 0 : a.stride[at];
  }
  return true;
}

extern "C" bool rilli_cuda_matmul(const rill_call *call) {
  const rill_array *a = &call->in[0], *b = &call->in[1], *c = &call->out[0];
  rilli_device *dev = call->env->scratch->device;
  int lead = c->rank - 2;
  int64_t m = c->size[lead], n = c->size[lead + 1], k = a->size[a->rank - 1];
  if (rill_array_count(c) == 0) return true;
  if (k == 0) return dev->fill(dev, c, 0);
  operand x, y;
  if (!lay_out(call, a, c, &x) || !lay_out(call, b, c, &y)) return false;
  /* Merge leading axes from the innermost outwards while all three step evenly. */
  int64_t count = 1, sx = 0, sy = 0, sc = m * n;
  int left = lead;
  while (left > 0) {
    int64_t size = c->size[left - 1];
    if (count > 1 && size > 1 && (x.step[left - 1] != sx * count || y.step[left - 1] != sy * count))
      break;
    if (count == 1 && size > 1) sx = x.step[left - 1], sy = y.step[left - 1];
    count *= size;
    left--;
  }
  /* One matrix b for rows of a that go on evenly: one tall product. */
  if (count > 1 && sy == 0 && !x.transposed && sx == x.row * m) {
    m *= count;
    count = 1;
  }
  int64_t loops = 1, size = (int64_t)rill_dtype_size(c->dtype);
  for (int d = 0; d < left; d++) loops *= c->size[d];
  rilli_blas p = {};
  p.dtype = a->dtype, p.c_dtype = c->dtype;
  p.m = m, p.n = n, p.k = k, p.count = count;
  p.a_transposed = x.transposed, p.b_transposed = y.transposed;
  p.a_row = x.row, p.b_row = y.row, p.c_row = n;
  p.a_step = sx, p.b_step = sy, p.c_step = sc;
  p.alpha = 1;
  for (int64_t i = 0; i < loops; i++) {
    int64_t rest = i, at_x = 0, at_y = 0;
    for (int d = left - 1; d >= 0; d--) {
      at_x += rest % c->size[d] * x.step[d];
      at_y += rest % c->size[d] * y.step[d];
      rest /= c->size[d];
    }
    p.a = x.data + at_x * size;
    p.b = y.data + at_y * size;
    p.c = (char *)c->data + i * m * count * n * size;
    if (!rilli_cuda_product(call->env, &p)) return false;
  }
  return true;
}
