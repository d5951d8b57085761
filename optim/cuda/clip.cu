/* Sums of squares of many arrays, and scaling in place.
 *
 * square_sums: the arrays are cut into pieces of 16384 elements, listed in a table in scratch
 * memory. Grid: one block of 256 threads a piece; a thread owns every 256th vector of 4 elements
 * and adds in f64; the block adds its threads in a tree, 2 KiB of shared memory. A second launch,
 * one warp an array, adds the pieces' sums. The order depends on the sizes only.
 *
 * scale_in_place: elements.cuh. Limit: 2^31 - 1 pieces. */
#include "optim/cuda/elements.cuh"

enum { THREADS = 256, PIECE = 1 << 14 };

typedef struct {
  const void *data; /* where the piece begins */
  int count, dtype;
} piece;

template <typename T>
static __device__ double squares_of(const T *x, int n) {
  double total = 0;
  bool aligned = (uintptr_t)x % sizeof(rilli_vector<T, RILLI_ELEMENTS>) == 0;
#pragma unroll 4
  for (int at = threadIdx.x * RILLI_ELEMENTS; at < n; at += THREADS * RILLI_ELEMENTS) {
    int count = n - at < RILLI_ELEMENTS ? n - at : RILLI_ELEMENTS;
    rilli_real<T> v[RILLI_ELEMENTS];
    rilli_elements_load(x, at, count, aligned && count == RILLI_ELEMENTS, v);
#pragma unroll
    for (int i = 0; i < RILLI_ELEMENTS; i++) total += (double)v[i] * (double)v[i];
  }
  return total;
}

static __global__ void __launch_bounds__(THREADS) add_squares(const piece *pieces, double *part) {
  __shared__ double sum[THREADS];
  piece p = pieces[blockIdx.x];
  double total = 0;
  if (p.dtype == RILL_F64)
    total = squares_of((const double *)p.data, p.count);
  else if (p.dtype == RILL_BF16)
    total = squares_of((const __nv_bfloat16 *)p.data, p.count);
  else
    total = squares_of((const float *)p.data, p.count);
  sum[threadIdx.x] = total;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sum[threadIdx.x] += sum[threadIdx.x + half];
  }
  if (threadIdx.x == 0) part[blockIdx.x] = sum[0];
}

/* first[i] is the number of the first piece of array i, first[arrays] how many there are. */
static __global__ void add_pieces(const double *part, const int64_t *first, int arrays,
                                  double *sums) {
  int i = (int)((blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
  if (i >= arrays) return;
  double total = 0;
  for (int64_t p = first[i] + lane; p < first[i + 1]; p += 32) total += part[p];
  for (int apart = 16; apart > 0; apart /= 2) total += __shfl_xor_sync(0xffffffffu, total, apart);
  if (lane == 0) sums[i] = total;
}

static int64_t pieces_of(const rill_array *a) { return rilli_ceil_div(rill_array_count(a), PIECE); }

/* Fills both tables on the host and sends them to the GPU. */
static bool make_tables(const rill_call *call, int64_t count, const piece **pieces,
                        const int64_t **first) {
  size_t piece_bytes = (size_t)count * sizeof(piece);
  size_t first_bytes = ((size_t)call->inputs + 1) * sizeof(int64_t);
  const rill_allocator *memory = &rilli_cuda_of(call->env)->allocator;
  char *host = (char *)memory->alloc(memory->user, piece_bytes + first_bytes);
  if (!host) return false;
  piece *p = (piece *)host;
  int64_t *f = (int64_t *)(host + piece_bytes), next = 0;
  for (int i = 0; i < call->inputs; i++) {
    const rill_array *a = &call->in[i];
    int64_t n = rill_array_count(a), size = (int64_t)rill_dtype_size(a->dtype);
    f[i] = next;
    for (int64_t at = 0; at < n; at += PIECE) {
      p[next].data = (const char *)a->data + at * size;
      p[next].count = (int)(n - at < PIECE ? n - at : PIECE);
      p[next++].dtype = (int)a->dtype;
    }
  }
  f[call->inputs] = next;
  char *there = (char *)rilli_upload(call->env, host, piece_bytes + first_bytes);
  memory->free(memory->user, host, piece_bytes + first_bytes);
  *pieces = (const piece *)there;
  *first = (const int64_t *)(there + piece_bytes);
  return there != nullptr;
}

extern "C" bool rilli_cuda_square_sums(const rill_call *call) {
  const piece *pieces;
  const int64_t *first;
  int64_t count = 0;
  for (int i = 0; i < call->inputs; i++) count += pieces_of(&call->in[i]);
  double *part = (double *)rill_env_alloc(call->env, (size_t)count * sizeof *part);
  return part && make_tables(call, count, &pieces, &first) &&
         rilli_launch(call->env, add_squares, rilli_grid_of(count), THREADS, 0, pieces, part) &&
         rilli_launch(call->env, add_pieces, rilli_blocks(call->inputs, THREADS / 32), THREADS, 0,
                      (const double *)part, first, call->inputs, (double *)call->out[0].data);
}

template <typename T>
struct scale_elements {
  T *x;
  rilli_real<T> factor;
  __device__ void operator()(int64_t at, int count, bool whole) const {
    rilli_real<T> v[RILLI_ELEMENTS];
    rilli_elements_load(x, at, count, whole, v);
#pragma unroll
    for (int i = 0; i < RILLI_ELEMENTS; i++) v[i] *= factor;
    rilli_elements_store(x, at, count, whole, v);
  }
};

extern "C" bool rilli_cuda_scale_in_place(const rill_call *call) {
  const rill_array *a = &call->in[0];
  double factor = *(const double *)call->attr;
  int64_t n = rill_array_count(a);
  bool done = false;
  RILLI_DISPATCH_FLOAT(a->dtype, T, {
    scale_elements<T> work = {(T *)a->data, (rilli_real<T>)factor};
    done = rilli_run_elements(call->env, n, rilli_elements_aligned(work.x), work);
  });
  return done;
}
