/* Tiled matrix products over CBLAS.
 *
 * A tile is up to 512 x 1024: large enough that BLAS packs each operand for many multiplications,
 * small enough that there are tiles for every thread. Products with few tiles are cut finer, down
 * to the amount of work that pays for waking a thread. A product with one row or one column is a
 * matrix-vector product, which reads the matrix once instead of packing it. */
#include "ops/cpu/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "ops/cpu/rows.h"

enum { TILE_M = 512, TILE_N = 1024, TILE_MIN = 32, PANEL_K = 1024 };
/* Tiles wanted while tiles are large, and when cutting them further costs speed. */
enum { LARGE = 256 * 512, WANTED_LARGE = 16, WANTED = 8 };
#define WORK_MIN (1 << 18) /* multiplications that are worth a thread's start */

typedef struct {
  const rilli_gemm_args *args;
  int64_t tile_m, tile_n, tiles_m, tiles_n;
  size_t panel_a, panel_b; /* bytes of a thread's panels; a staged tile of C follows */
  bool staged;             /* BLAS cannot write to C as it lies */
} job;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- BLAS calls ---- */

/* OpenBLAS comes with threads of its own or with OpenMP's. The former are switched off for good;
 * the latter follow OpenMP's default number of threads, which is the caller's and set to 1 only
 * while BLAS runs (inside a parallel region OpenBLAS is single-threaded by itself). */
static void switch_off_threads(void) {
#if defined(OPENBLAS_VERSION)
  if (openblas_get_parallel() == OPENBLAS_THREAD) openblas_set_num_threads(1);
#endif
}

static void prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, switch_off_threads);
}

/* y = alpha matrix x + y, over the rows of an m x k matrix. */
static void gemv(rill_dtype real, int m, int k, double alpha, rilli_blas_matrix a, const void *x,
                 int x_step, void *y, int y_step) {
  CBLAS_TRANSPOSE t = a.transposed ? CblasTrans : CblasNoTrans;
  int rows = a.transposed ? k : m, cols = a.transposed ? m : k;
  if (real == RILL_F64)
    cblas_dgemv(CblasRowMajor, t, rows, cols, alpha, a.data, a.ld, x, x_step, 1, y, y_step);
  else
    cblas_sgemv(CblasRowMajor, t, rows, cols, (float)alpha, a.data, a.ld, x, x_step, 1, y, y_step);
}

static void scale_tile(rill_dtype real, int m, int n, double beta, void *c, int64_t c_row) {
  for (int i = 0; i < m; i++) {
    void *row = rilli_at(real, c, i * c_row);
    if (beta == 0)
      memset(row, 0, (size_t)n * rilli_real_size(real));
    else if (real == RILL_F64)
      for (int j = 0; j < n; j++) ((double *)row)[j] *= beta;
    else
      for (int j = 0; j < n; j++) ((float *)row)[j] *= (float)beta;
  }
}

static void gemm(rill_dtype real, int m, int n, int k, double alpha, rilli_blas_matrix a,
                 rilli_blas_matrix b, double beta, void *c, int c_row) {
  if (m == 1 || n == 1 || k == 0) {
    if (beta != 1) scale_tile(real, m, n, beta, c, c_row);
    if (k == 0) return;
    rilli_blas_matrix b_t = {b.data, b.ld, !b.transposed};
    if (m == 1)
      gemv(real, n, k, alpha, b_t, a.data, a.transposed ? a.ld : 1, c, 1);
    else
      gemv(real, m, k, alpha, a, b.data, b.transposed ? 1 : b.ld, c, c_row);
    return;
  }
  CBLAS_TRANSPOSE ta = a.transposed ? CblasTrans : CblasNoTrans;
  CBLAS_TRANSPOSE tb = b.transposed ? CblasTrans : CblasNoTrans;
  if (real == RILL_F64)
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a.data, a.ld, b.data, b.ld, beta, c, c_row);
  else
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, (float)alpha, a.data, a.ld, b.data, b.ld,
                (float)beta, c, c_row);
}

void rilli_gemm_here(rill_dtype real, int m, int n, int k, double alpha, rilli_blas_matrix a,
                     rilli_blas_matrix b, double beta, void *c, int c_row) {
  if (m == 0 || n == 0) return;
  prepare();
  int threads = omp_get_max_threads();
  bool single = threads == 1 || omp_in_parallel();
  if (!single) omp_set_num_threads(1);
  gemm(real, m, n, k, alpha, a, b, beta, c, c_row);
  if (!single) omp_set_num_threads(threads);
}

/* ---- operands ---- */

/* Can BLAS read rows x cols of x as it lies? *found is the operand if so. */
static bool readable(rill_dtype dtype, const rilli_matrix *x, int64_t rows, int64_t cols,
                     rilli_blas_matrix *found) {
  if (rilli_is_bf16(dtype)) return false;
  if ((x->col == 1 || cols == 1) && (rows == 1 || (x->row >= cols && x->row <= INT_MAX))) {
    *found = (rilli_blas_matrix){x->data, (int)(rows == 1 ? cols : x->row), false};
    return true;
  }
  if ((x->row == 1 || rows == 1) && (cols == 1 || (x->col >= rows && x->col <= INT_MAX))) {
    *found = (rilli_blas_matrix){x->data, (int)(cols == 1 ? rows : x->col), true};
    return true;
  }
  return false;
}

static void copy_line(rill_dtype dtype, const void *from, int64_t step, int64_t n, void *to) {
  if (dtype == RILL_F64) {
    for (int64_t i = 0; i < n; i++) ((double *)to)[i] = ((const double *)from)[i * step];
  } else if (dtype == RILL_F32) {
    for (int64_t i = 0; i < n; i++) ((float *)to)[i] = ((const float *)from)[i * step];
  } else if (step == 1) {
    rilli_widen(from, to, n);
  } else {
    for (int64_t i = 0; i < n; i++)
      ((float *)to)[i] = rill_bf16_to_f32(((const rill_bf16 *)from)[i * step]);
  }
}

/* rows x cols of x from (i, j), as BLAS can read them: in place, or copied into `panel` line by
 * line in the direction in which they lie closest together. */
static rilli_blas_matrix operand(rill_dtype dtype, const rilli_matrix *x, int64_t at, int64_t i,
                                 int64_t j, int64_t rows, int64_t cols, void *panel) {
  rilli_matrix part = {rilli_at(dtype, x->data, at + i * x->row + j * x->col), x->row, x->col};
  rilli_blas_matrix found;
  if (readable(dtype, &part, rows, cols, &found)) return found;
  bool transposed = x->row < x->col;
  int64_t lines = transposed ? cols : rows, length = transposed ? rows : cols;
  int64_t apart = transposed ? x->col : x->row, step = transposed ? x->row : x->col;
  for (int64_t l = 0; l < lines; l++)
    copy_line(dtype, rilli_at(dtype, part.data, l * apart), step, length,
              (char *)panel + (size_t)(l * length) * rilli_real_size(dtype));
  return (rilli_blas_matrix){panel, (int)length, transposed};
}

/* ---- tiles ---- */

static void add_bias(rill_dtype dtype, const void *bias, int64_t n, void *row) {
  if (dtype == RILL_F64) {
    for (int64_t j = 0; j < n; j++) ((double *)row)[j] += ((const double *)bias)[j];
  } else if (dtype == RILL_F32) {
    for (int64_t j = 0; j < n; j++) ((float *)row)[j] += ((const float *)bias)[j];
  } else {
    for (int64_t j = 0; j < n; j++)
      ((float *)row)[j] += rill_bf16_to_f32(((const rill_bf16 *)bias)[j]);
  }
}

/* A row of C on its way to or from a staged tile. */
static void fetch(rill_dtype dtype, const void *c, int64_t at, int64_t n, void *row) {
  if (rilli_is_bf16(dtype))
    rilli_widen((const rill_bf16 *)c + at, row, n);
  else
    memcpy(row, rilli_at(dtype, c, at), (size_t)n * rill_dtype_size(dtype));
}
static void deliver(rill_dtype dtype, const void *row, void *c, int64_t at, int64_t n) {
  if (rilli_is_bf16(dtype))
    rilli_narrow(row, (rill_bf16 *)c + at, n);
  else
    memcpy(rilli_at(dtype, c, at), row, (size_t)n * rill_dtype_size(dtype));
}

static void run_tile(const job *w, int64_t task, char *scratch) {
  const rilli_gemm_args *g = w->args;
  int64_t product = task / (w->tiles_m * w->tiles_n), tile = task % (w->tiles_m * w->tiles_n);
  int64_t i = tile / w->tiles_n * w->tile_m, j = tile % w->tiles_n * w->tile_n;
  int64_t m = least(w->tile_m, g->m - i), n = least(w->tile_n, g->n - j);
  int64_t a_at = g->a_at ? g->a_at[product] : 0, b_at = g->b_at ? g->b_at[product] : 0;
  int64_t c_at = (g->c_at ? g->c_at[product] : 0) + i * g->c_row + j;
  rill_dtype real = rilli_real_of(g->dtype), c_dtype = g->c_real ? real : g->dtype;
  void *panel_a = scratch, *panel_b = w->panel_a ? scratch + w->panel_a : scratch;
  void *c = w->staged ? scratch + w->panel_a + w->panel_b : rilli_at(c_dtype, g->c, c_at);
  int64_t c_row = w->staged || g->m == 1 ? n : g->c_row;
  if (w->staged && g->beta != 0)
    for (int64_t r = 0; r < m; r++)
      fetch(c_dtype, g->c, c_at + r * g->c_row, n, rilli_at(real, c, r * n));
  int64_t most = w->panel_a || w->panel_b ? PANEL_K : 1 << 30, k = 0;
  do {
    int64_t part = least(most, g->k - k);
    rilli_blas_matrix a = {scratch, 1, false}, b = a;
    if (part > 0) {
      a = operand(g->dtype, &g->a, a_at, i, k, m, part, panel_a);
      b = operand(g->dtype, &g->b, b_at, k, j, part, n, panel_b);
    }
    rilli_gemm_here(real, (int)m, (int)n, (int)part, g->alpha, a, b, k ? 1 : g->beta, c,
                    (int)c_row);
    k += part;
  } while (k < g->k);
  for (int64_t r = 0; r < m; r++) {
    void *row = rilli_at(real, c, r * c_row);
    if (g->bias) add_bias(g->dtype, rilli_at(g->dtype, g->bias, j), n, row);
    if (w->staged) deliver(c_dtype, row, g->c, c_at + r * g->c_row, n);
  }
}

static void run_tiles(void *user, int64_t task, int64_t begin, int64_t end, char *scratch) {
  (void)task;
  for (int64_t i = begin; i < end; i++) run_tile(user, i, scratch);
}

/* Halves the longer side of the tiles until there are enough of them. */
static void choose_tiles(job *w, int64_t products) {
  const rilli_gemm_args *g = w->args;
  w->tile_m = least(g->m, TILE_M);
  w->tile_n = least(g->n, TILE_N);
  if (g->m < 16) w->tile_n = least(g->n, 2 * TILE_N);
  for (;;) {
    w->tiles_m = ceil_div(g->m, w->tile_m);
    w->tiles_n = ceil_div(g->n, w->tile_n);
    int64_t area = w->tile_m * w->tile_n, work = area * least(g->k, 1 << 20);
    int64_t wanted = area > LARGE ? WANTED_LARGE : WANTED;
    if (products * w->tiles_m * w->tiles_n >= wanted || work < 2 * WORK_MIN) return;
    bool rows = w->tile_m >= w->tile_n;
    if ((rows ? w->tile_m : w->tile_n) < 2 * TILE_MIN) return;
    if (rows)
      w->tile_m = ceil_div(w->tile_m, 32) * 16;
    else
      w->tile_n = ceil_div(w->tile_n, 32) * 16;
  }
}

bool rilli_gemm(rill_env *env, const rilli_gemm_args *args) {
  job w = {.args = args};
  int64_t products = args->count ? args->count : 1;
  if (args->m <= 0 || args->n <= 0) return true;
  choose_tiles(&w, products);
  rilli_blas_matrix ignored;
  size_t size = rilli_real_size(args->dtype), tile = (size_t)(w.tile_m * w.tile_n) * size;
  int64_t k = least(args->k, PANEL_K);
  /* The first tile has the full extent: what is readable there is readable everywhere. */
  bool a_lies = readable(args->dtype, &args->a, w.tile_m, args->k, &ignored);
  bool b_lies = readable(args->dtype, &args->b, args->k, w.tile_n, &ignored);
  if (!a_lies) w.panel_a = rilli_round64((size_t)(w.tile_m * k) * size);
  if (!b_lies) w.panel_b = rilli_round64((size_t)(k * w.tile_n) * size);
  w.staged = (rilli_is_bf16(args->dtype) && !args->c_real) || args->c_row > INT_MAX;
  size_t scratch = w.panel_a + w.panel_b + (w.staged ? tile : 0);
  int64_t tasks = products * w.tiles_m * w.tiles_n;
  int64_t work = w.tile_m * w.tile_n * (least(args->k, 1 << 20) + 1);
  return rilli_rows_run(env, tasks, WORK_MIN / work + 1, scratch, run_tiles, &w);
}
