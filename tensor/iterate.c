/* Walks strided arrays row by row.
 *
 * Neighbouring axes are merged where every array steps through them as through one, so that
 * contiguous arrays become a single row. Rows are cut at PIECE elements and short rows are grouped
 * up to PIECE: the units of work depend on sizes alone, never on the number of threads. */
#include "tensor/iterate.h"

#include "tensor/checked.h"

enum { PIECE = 16384 };

typedef struct {
  int rank;
  int64_t size[RILL_MAX_RANK];
  int64_t step[RILL_ITERATE_MAX][RILL_MAX_RANK]; /* bytes */
  char *base[RILL_ITERATE_MAX];
} plan;

static bool mergeable(const plan *p, int count, int64_t size, const int64_t *inner) {
  for (int j = 0; j < count; j++)
    if (p->step[j][p->rank - 1] != inner[j] * size) return false;
  return true;
}

/* Axes of size 1 vanish; axis d joins the one before it when all arrays allow. */
static plan plan_make(int count, const rill_array *arrays) {
  plan p = {.rank = 0};
  for (int j = 0; j < count; j++) p.base[j] = arrays[j].data;
  for (int d = 0; d < arrays[0].rank; d++) {
    int64_t size = arrays[0].size[d], inner[RILL_ITERATE_MAX];
    if (size == 1) continue;
    for (int j = 0; j < count; j++)
      inner[j] = arrays[j].stride[d] * (int64_t)rill_dtype_size(arrays[j].dtype);
    if (p.rank > 0 && mergeable(&p, count, size, inner)) {
      p.size[p.rank - 1] *= size;
    } else {
      p.size[p.rank++] = size;
    }
    for (int j = 0; j < count; j++) p.step[j][p.rank - 1] = inner[j];
  }
  if (p.rank == 0) { /* one element; a step as if there were more */
    p.size[p.rank++] = 1;
    for (int j = 0; j < count; j++) p.step[j][0] = (int64_t)rill_dtype_size(arrays[j].dtype);
  }
  return p;
}

static void run_unit(const plan *p, int count, int64_t row_index, int64_t begin, int64_t n,
                     rill_row_fn *row, void *user) {
  char *ptr[RILL_ITERATE_MAX];
  int64_t step[RILL_ITERATE_MAX];
  int last = p->rank - 1;
  for (int j = 0; j < count; j++) {
    step[j] = p->step[j][last];
    ptr[j] = p->base[j] + begin * step[j];
  }
  for (int d = last - 1; d >= 0; d--) {
    int64_t i = row_index % p->size[d];
    row_index /= p->size[d];
    for (int j = 0; j < count; j++) ptr[j] += i * p->step[j][d];
  }
  row(user, n, ptr, step);
}

void rill_iterate(const rill_env *env, int count, const rill_array *arrays, rill_row_fn *row,
                  void *user) {
  int64_t total = rill_array_count(&arrays[0]);
  if (total == 0) return;
  plan p = plan_make(count, arrays);
  int64_t length = p.size[p.rank - 1], rows = total / length;
  int64_t piece = length < PIECE ? length : PIECE;
  int64_t pieces = (length + piece - 1) / piece, units = rows * pieces;
  int64_t group = PIECE / piece, tasks = (units + group - 1) / group;
  (void)env;
#pragma omp parallel for schedule(static) \
    num_threads(env->threads) if (tasks > 1 && env->threads > 1)
  for (int64_t task = 0; task < tasks; task++) {
    int64_t end = (task + 1) * group < units ? (task + 1) * group : units;
    for (int64_t u = task * group; u < end; u++) {
      int64_t begin = (u % pieces) * piece;
      int64_t n = length - begin < piece ? length - begin : piece;
      run_unit(&p, count, u / pieces, begin, n, row, user);
    }
  }
}
