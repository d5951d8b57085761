/* Sum to a smaller shape on CUDA: what turns the gradient of a broadcast result into its source's.
 *
 * Grid: tiles of COLUMNS kept elements x pieces of the reduced ones. A block is COLUMNS x ROWS
 * threads; a thread adds every ROWS-th reduced element of its piece, in double, the block adds its
 * rows in order, and a second launch adds the pieces in order. The order depends on the shape only:
 * the same bits every time, without atomics. When the reduced elements lie side by side in memory,
 * the roles of lanes are exchanged (ROWS = 256, COLUMNS = 1), so that accesses coalesce. */
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"
#include "tensor/cuda/strided.cuh"

struct plan {
  rilli_layout<2> kept;    /* to, from */
  rilli_layout<1> reduced; /* from */
  int64_t piece, pieces;   /* reduced elements of one block; blocks along them */
};

template <typename T, int COLUMNS, int ROWS>
static __global__ void add_pieces(plan p, const T *from, double *part) {
  __shared__ double sum[ROWS][COLUMNS];
  int column = threadIdx.x % COLUMNS, row = threadIdx.x / COLUMNS;
  int64_t kept = (int64_t)blockIdx.x * COLUMNS + column, at[2] = {0, 0};
  int64_t begin = blockIdx.y * p.piece, end = begin + p.piece;
  if (end > p.reduced.count) end = p.reduced.count;
  double total = 0;
  if (kept < p.kept.count) {
    rilli_offsets(p.kept, kept, at);
    for (int64_t i = begin + row; i < end; i += ROWS) {
      int64_t offset[1];
      rilli_offsets(p.reduced, i, offset);
      total += (double)rilli_load(from[at[1] + offset[0]]);
    }
  }
  sum[row][column] = total;
  for (int half = ROWS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row < half) sum[row][column] += sum[row + half][column];
  }
  if (row == 0 && kept < p.kept.count) part[blockIdx.y * p.kept.count + kept] = sum[0][column];
}

template <typename T>
static __global__ void add_parts(plan p, const double *part, T *to) {
  int64_t kept = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, at[2];
  if (kept >= p.kept.count) return;
  double total = 0;
  for (int64_t i = 0; i < p.pieces; i++) total += part[i * p.kept.count + kept];
  rilli_offsets(p.kept, kept, at);
  to[at[0]] = rilli_store<T>((rilli_real<T>)total);
}

static plan plan_of(const rill_array *to, const rill_array *from) {
  rill_array kept = *to, source = *to, reduced = *from;
  source.dtype = from->dtype;
  reduced.rank = 0;
  for (int d = 0; d < to->rank; d++) {
    source.stride[d] = from->stride[d];
    if (to->size[d] != 1 || from->size[d] == 1) continue;
    source.stride[d] = 0;
    reduced.size[reduced.rank] = from->size[d];
    reduced.stride[reduced.rank++] = from->stride[d];
  }
  const rill_array *const two[2] = {&kept, &source};
  const rill_array *const one[1] = {&reduced};
  plan p = {rilli_layout_of(two), rilli_layout_of(one), 0, 0};
  return p;
}

template <typename T, int COLUMNS, int ROWS>
static bool run(rilli_device *dev, plan p, const rill_array *to, const rill_array *from) {
  int64_t tiles = rilli_ceil_div(p.kept.count, COLUMNS), least = (int64_t)ROWS * 8;
  int64_t pieces = rilli_ceil_div(p.reduced.count, least),
          most = 1024 / (tiles < 1024 ? tiles : 1024);
  if (pieces > (most > 1 ? most : 1)) pieces = most > 1 ? most : 1;
  if (pieces < 1) pieces = 1;
  p.piece = rilli_ceil_div(p.reduced.count, pieces);
  p.pieces = pieces;
  double *part =
      (double *)rill_env_alloc(&dev->env, (size_t)(pieces * p.kept.count) * sizeof *part);
  if (!part) {
    dev->why = "out of memory for a sum";
    return false;
  }
  bool done = rilli_launch(&dev->env, add_pieces<T, COLUMNS, ROWS>, rilli_grid_of(tiles, pieces),
                           COLUMNS * ROWS, 0, p, (const T *)from->data, part);
  rilli_grid blocks = rilli_blocks(p.kept.count, 256);
  RILLI_DISPATCH_FLOAT(to->dtype, To,
                       done = done && rilli_launch(&dev->env, add_parts<To>, blocks, 256, 0, p,
                                                   (const double *)part, (To *)to->data));
  return done;
}

bool rilli_cuda_reduce_to(rilli_device *dev, const rill_array *to, const rill_array *from) {
  plan p = plan_of(to, from);
  if (p.kept.count == 0) return true;
  bool along = p.reduced.rank > 0 && p.reduced.stride[0][0] == 1, done = false;
  RILLI_DISPATCH_FLOAT(
      from->dtype, T,
      done = along ? run<T, 1, 256>(dev, p, to, from) : run<T, 32, 8>(dev, p, to, from));
  rilli_scratch_release(&dev->env);
  return done;
}
