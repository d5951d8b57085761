/* Sum to a smaller shape on the CPU: what turns the gradient of a broadcast result into its
 * source's.
 *
 * The kept axes are walked in rows of at most COLUMNS elements; for each such row, all reduced
 * elements are added in index order, in double. The order depends on the shape only, so the result
 * does not depend on the threads. */
#include "tensor/cpu_impl.h"
#include "tensor/iterate.h"

enum { COLUMNS = 64 };

typedef struct {
  int rank;
  int64_t size[RILL_MAX_RANK], stride[RILL_MAX_RANK];
} walk;

typedef struct {
  walk reduced; /* axes of `from` that are summed; innermost last */
  rill_dtype dtype, to_dtype;
  bool empty;     /* nothing to add */
  int64_t column; /* stride of `from` along the row of kept elements, in elements */
} job;

static double get(rill_dtype dtype, const void *data, int64_t i) {
  switch (dtype) {
    case RILL_F32:
      return (double)((const float *)data)[i];
    case RILL_BF16:
      return (double)rill_bf16_to_f32(((const rill_bf16 *)data)[i]);
    default:
      return ((const double *)data)[i];
  }
}

static void put(rill_dtype dtype, void *at, double value) {
  switch (dtype) {
    case RILL_F32:
      *(float *)at = (float)value;
      break;
    case RILL_BF16:
      *(rill_bf16 *)at = rill_bf16_from_f32((float)value);
      break;
    default:
      *(double *)at = value;
      break;
  }
}

static void add_columns(const job *j, const void *data, int64_t offset, int64_t n, double *sum) {
  if (j->dtype == RILL_F32 && j->column == 1) {
    const float *x = (const float *)data + offset;
    for (int64_t i = 0; i < n; i++) sum[i] += (double)x[i];
  } else {
    for (int64_t i = 0; i < n; i++) sum[i] += get(j->dtype, data, offset + i * j->column);
  }
}

/* Adds every reduced element for n neighbouring kept elements. */
static void add_all(const job *j, const void *data, int64_t n, double *sum) {
  const walk *w = &j->reduced;
  int64_t index[RILL_MAX_RANK] = {0}, offset = 0;
  if (j->empty) return;
  if (n == 1 && w->rank == 1) { /* one long sum: no bookkeeping */
    for (int64_t i = 0; i < w->size[0]; i++) sum[0] += get(j->dtype, data, i * w->stride[0]);
    return;
  }
  for (;;) {
    add_columns(j, data, offset, n, sum);
    int d = w->rank - 1;
    for (; d >= 0; d--) {
      offset += w->stride[d];
      if (++index[d] < w->size[d]) break;
      offset -= w->stride[d] * w->size[d];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

static void reduce_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  job j = *(const job *)user;
  int64_t size = (int64_t)rill_dtype_size(j.dtype);
  j.column = step[1] / size;
  for (int64_t done = 0; done < n; done += COLUMNS) {
    int64_t m = n - done < COLUMNS ? n - done : COLUMNS;
    double sum[COLUMNS] = {0};
    add_all(&j, ptr[1] + done * step[1], m, sum);
    for (int64_t i = 0; i < m; i++) put(j.to_dtype, ptr[0] + (done + i) * step[0], sum[i]);
  }
}

bool rilli_cpu_reduce_to(rilli_device *dev, const rill_array *to, const rill_array *from) {
  job j = {.dtype = from->dtype, .to_dtype = to->dtype};
  rill_array both[2] = {*to, *to};
  both[1].data = from->data;
  both[1].dtype = from->dtype;
  for (int d = 0; d < to->rank; d++) {
    both[1].stride[d] = from->stride[d];
    if (to->size[d] == 1 && from->size[d] != 1) {
      both[1].stride[d] = 0;
      j.empty = j.empty || from->size[d] == 0;
      j.reduced.size[j.reduced.rank] = from->size[d];
      j.reduced.stride[j.reduced.rank++] = from->stride[d];
    }
  }
  rill_iterate(&dev->env, 2, both, reduce_row, &j);
  return true;
}
