/* Shapes: counting with overflow checks, broadcasting, printing; and the views that carry them. */
#include "tensor/shape.h"

#include <inttypes.h>
#include <stdio.h>

#include "tensor/checked.h"
#include "tensor/iterate.h"

rill_shape_text rill_shape_print(rill_shape shape) {
  rill_shape_text t = {"["};
  size_t used = 1;
  for (int d = 0; d < shape.rank && d < RILL_MAX_RANK; d++) {
    int n =
        snprintf(t.text + used, sizeof t.text - used, "%s%" PRId64, d ? ", " : "", shape.size[d]);
    used += n > 0 ? (size_t)n : 0;
  }
  snprintf(t.text + used, sizeof t.text - used, "]");
  return t;
}

bool rill_shape_equal(rill_shape a, rill_shape b) {
  if (a.rank != b.rank) return false;
  for (int d = 0; d < a.rank; d++)
    if (a.size[d] != b.size[d]) return false;
  return true;
}

bool rill_shape_count(rill_shape shape, int64_t *count) {
  if (shape.rank < 0 || shape.rank > RILL_MAX_RANK) return false;
  bool zero = false, fits = true;
  int64_t n = 1;
  for (int d = 0; d < shape.rank; d++) {
    if (shape.size[d] < 0) return false;
    zero = zero || shape.size[d] == 0;
    fits = fits && rilli_mul_i64(n, shape.size[d], &n);
  }
  *count = zero ? 0 : n;
  return zero || fits;
}

bool rill_shape_broadcast(rill_shape a, rill_shape b, rill_shape *out) {
  rill_shape s = {.rank = a.rank > b.rank ? a.rank : b.rank};
  for (int d = 0; d < s.rank; d++) {
    int da = d - (s.rank - a.rank), db = d - (s.rank - b.rank);
    int64_t na = da < 0 ? 1 : a.size[da], nb = db < 0 ? 1 : b.size[db];
    if (na != nb && na != 1 && nb != 1) return false;
    s.size[d] = na == 1 ? nb : na;
  }
  *out = s;
  return true;
}

int rill_axis(int axis, int rank) {
  int a = axis < 0 ? axis + rank : axis;
  return a >= 0 && a < rank ? a : -1;
}

rill_shape rill_array_shape(const rill_array *a) {
  rill_shape s = {.rank = a->rank < 0 ? 0 : a->rank};
  for (int d = 0; d < s.rank; d++) s.size[d] = a->size[d];
  return s;
}

void rill_array_reshape(rill_array *a, rill_shape shape) {
  a->rank = shape.rank;
  int64_t stride = 1;
  for (int d = shape.rank - 1; d >= 0; d--) {
    a->size[d] = shape.size[d];
    a->stride[d] = stride;
    stride *= shape.size[d] > 1 ? shape.size[d] : 1;
  }
}

int64_t rill_array_count(const rill_array *a) {
  int64_t n = 1;
  for (int d = 0; d < a->rank; d++) n *= a->size[d];
  return n;
}

bool rill_array_contiguous(const rill_array *a) {
  int64_t stride = 1;
  for (int d = a->rank - 1; d >= 0; d--) {
    if (a->size[d] == 0) return true;
    if (a->size[d] != 1 && a->stride[d] != stride) return false;
    stride *= a->size[d];
  }
  return true;
}

rill_array rill_array_broadcast(const rill_array *a, int rank, const int64_t *size) {
  rill_array b = {.data = a->data, .dtype = a->dtype, .rank = rank};
  int missing = rank - a->rank;
  for (int d = 0; d < rank; d++) {
    b.size[d] = size[d];
    bool stretched = d < missing || (a->size[d - missing] == 1 && size[d] != 1);
    b.stride[d] = stretched ? 0 : a->stride[d - missing];
  }
  return b;
}
