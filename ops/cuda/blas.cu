/* cuBLASLt behind rilli_cuda_product.
 *
 * The library is opened by the first product, so that a program without products, or a machine
 * without cuBLASLt, still starts. What cuBLASLt proposes for a problem is asked once and kept in a
 * table: later products of the same shape only launch. Row-major c = a . b is column-major
 * c^T = b^T . a^T, so b is cuBLASLt's first operand. */
#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "ops/cuda/blas.h"
#include "tensor/cuda/launch.cuh"

enum { TABLE = 1024 }; /* a power of two */
#define WORKSPACE ((size_t)64 << 20)

typedef struct {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) propose;
  decltype(&cublasLtMatmulDescCreate) desc_new;
  decltype(&cublasLtMatmulDescDestroy) desc_free;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_new;
  decltype(&cublasLtMatrixLayoutDestroy) layout_free;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_new;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_free;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
} functions;

/* What makes two problems the same for cuBLASLt; compared as bytes, so zeroed before it is set. */
typedef struct {
  int64_t m, n, k, count, a_row, b_row, c_row, a_step, b_step, c_step;
  int32_t dtype, c_dtype, a_transposed, b_transposed, bias, alignment;
} problem;

typedef struct {
  problem key;
  bool used;
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t a, b, c;
  cublasLtMatmulAlgo_t algo;
} entry;

struct rilli_cuda_blas {
  rill_allocator allocator;
  void *library;
  functions f;
  cublasLtHandle_t handle;
  int filled;
  entry table[TABLE];
};

/* ---- opening ---- */

template <typename F>
static bool find(void *library, F *function, const char *name) {
  *(void **)function = dlsym(library, name);
  return *function != nullptr;
}

static bool find_all(void *library, functions *f) {
  return find(library, &f->create, "cublasLtCreate") &&
         find(library, &f->destroy, "cublasLtDestroy") &&
         find(library, &f->matmul, "cublasLtMatmul") &&
         find(library, &f->propose, "cublasLtMatmulAlgoGetHeuristic") &&
         find(library, &f->desc_new, "cublasLtMatmulDescCreate") &&
         find(library, &f->desc_free, "cublasLtMatmulDescDestroy") &&
         find(library, &f->desc_set, "cublasLtMatmulDescSetAttribute") &&
         find(library, &f->layout_new, "cublasLtMatrixLayoutCreate") &&
         find(library, &f->layout_free, "cublasLtMatrixLayoutDestroy") &&
         find(library, &f->layout_set, "cublasLtMatrixLayoutSetAttribute") &&
         find(library, &f->preference_new, "cublasLtMatmulPreferenceCreate") &&
         find(library, &f->preference_free, "cublasLtMatmulPreferenceDestroy") &&
         find(library, &f->preference_set, "cublasLtMatmulPreferenceSetAttribute");
}

static bool refuse(rilli_cuda *dev, const char *what, int status) {
  snprintf(dev->words, sizeof dev->words, "cuBLASLt: %s failed with status %d", what, status);
  dev->base.why = dev->words;
  return false;
}

static void forget(rilli_cuda_blas *blas) {
  for (int i = 0; i < TABLE; i++) {
    entry *e = &blas->table[i];
    if (e->a) blas->f.layout_free(e->a);
    if (e->b) blas->f.layout_free(e->b);
    if (e->c) blas->f.layout_free(e->c);
    if (e->desc) blas->f.desc_free(e->desc);
    memset(e, 0, sizeof *e);
  }
  blas->filled = 0;
}

static void blas_free(rilli_cuda_blas *blas) {
  if (blas->handle) {
    forget(blas);
    blas->f.destroy(blas->handle);
  }
  if (blas->library) dlclose(blas->library);
  rill_allocator allocator = blas->allocator;
  allocator.free(allocator.user, blas, sizeof *blas);
}

/* The library's own folders first, then where the toolkit usually is. */
static void *open_library(void) {
  static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                      "/usr/local/cuda/lib64/libcublasLt.so"};
  for (const char *name : names)
    if (void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

static rilli_cuda_blas *blas_of(rilli_cuda *dev) {
  if (dev->blas) return dev->blas;
  rilli_cuda_blas *blas =
      (rilli_cuda_blas *)dev->allocator.alloc(dev->allocator.user, sizeof *blas);
  if (!blas) return nullptr;
  memset(blas, 0, sizeof *blas);
  blas->allocator = dev->allocator;
  blas->library = open_library();
  int status = -1;
  if (!blas->library) {
    snprintf(
        dev->words, sizeof dev->words,
        "libcublasLt was not found; install cuBLAS (it comes with the CUDA toolkit) or add its "
        "folder to LD_LIBRARY_PATH");
    dev->base.why = dev->words;
  } else if (!find_all(blas->library, &blas->f)) {
    refuse(dev, "looking up its functions", 0);
  } else if ((status = blas->f.create(&blas->handle)) != CUBLAS_STATUS_SUCCESS) {
    refuse(dev, "cublasLtCreate", status);
  }
  if (!blas->handle) {
    blas_free(blas);
    return nullptr;
  }
  dev->blas_free = blas_free;
  return dev->blas = blas;
}

/* ---- a problem ---- */

static cudaDataType_t type_of(rill_dtype dtype) {
  return dtype == RILL_F64 ? CUDA_R_64F : dtype == RILL_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static int alignment_of(const void *p) {
  uintptr_t at = (uintptr_t)p;
  int bytes = 256;
  while (bytes > 1 && at % bytes) bytes /= 2;
  return bytes;
}

static problem problem_of(const rilli_blas *p) {
  problem x;
  memset(&x, 0, sizeof x);
  x.m = p->m, x.n = p->n, x.k = p->k, x.count = p->count;
  x.a_row = p->a_row, x.b_row = p->b_row, x.c_row = p->c_row;
  x.a_step = p->a_step, x.b_step = p->b_step, x.c_step = p->c_step;
  x.dtype = p->dtype, x.c_dtype = p->c_dtype;
  x.a_transposed = p->a_transposed, x.b_transposed = p->b_transposed;
  x.bias = p->bias != nullptr;
  int a = alignment_of(p->a), b = alignment_of(p->b), c = alignment_of(p->c);
  x.alignment = a < b ? (a < c ? a : c) : (b < c ? b : c);
  return x;
}

static cublasLtMatrixLayout_t layout(functions *f, rill_dtype dtype, int64_t rows, int64_t columns,
                                     int64_t row, int64_t count, int64_t step) {
  cublasLtMatrixLayout_t x = nullptr;
  int32_t n = (int32_t)count;
  if (row < rows) row = rows > 0 ? rows : 1; /* a single row may have any distance */
  if (f->layout_new(&x, type_of(dtype), (uint64_t)rows, (uint64_t)columns, row)) return nullptr;
  if (count > 1) {
    f->layout_set(x, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &n, sizeof n);
    f->layout_set(x, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
  }
  return x;
}

/* Fills e for the problem: descriptions, and the first algorithm that cuBLASLt proposes. */
static bool describe(rilli_cuda *dev, rilli_cuda_blas *blas, entry *e, const rilli_blas *p) {
  functions *f = &blas->f;
  bool wide = p->dtype == RILL_F64;
  cublasComputeType_t compute = wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  cublasOperation_t first = p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasOperation_t second = p->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  int status = f->desc_new(&e->desc, compute, wide ? CUDA_R_64F : CUDA_R_32F);
  if (status) return refuse(dev, "describing a product", status);
  f->desc_set(e->desc, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
  f->desc_set(e->desc, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
  if (p->bias) {
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    f->desc_set(e->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    f->desc_set(e->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
  }
  e->b = p->b_transposed ? layout(f, p->dtype, p->k, p->n, p->b_row, p->count, p->b_step)
                         : layout(f, p->dtype, p->n, p->k, p->b_row, p->count, p->b_step);
  e->a = p->a_transposed ? layout(f, p->dtype, p->m, p->k, p->a_row, p->count, p->a_step)
                         : layout(f, p->dtype, p->k, p->m, p->a_row, p->count, p->a_step);
  e->c = layout(f, p->c_dtype, p->n, p->m, p->c_row, p->count, p->c_step);
  if (!e->a || !e->b || !e->c) return refuse(dev, "describing a matrix", 0);
  cublasLtMatmulPreference_t wish = nullptr;
  if ((status = f->preference_new(&wish))) return refuse(dev, "asking for an algorithm", status);
  size_t workspace = WORKSPACE;
  uint32_t align[3] = {(uint32_t)alignment_of(p->b), (uint32_t)alignment_of(p->a),
                       (uint32_t)alignment_of(p->c)};
  f->preference_set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
  f->preference_set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align[0], sizeof align[0]);
  f->preference_set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align[1], sizeof align[1]);
  f->preference_set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align[2], sizeof align[2]);
  f->preference_set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align[2], sizeof align[2]);
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  status = f->propose(blas->handle, e->desc, e->b, e->a, e->c, e->c, wish, 1, &found, &count);
  f->preference_free(wish);
  if (status || count == 0) return refuse(dev, "choosing an algorithm", status);
  e->algo = found.algo;
  return true;
}

static uint64_t hash(const problem *x) {
  const unsigned char *bytes = (const unsigned char *)x;
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < sizeof *x; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
  return h;
}

static entry *entry_of(rilli_cuda *dev, rilli_cuda_blas *blas, const rilli_blas *p) {
  problem key = problem_of(p);
  if (2 * blas->filled > TABLE) forget(blas);
  for (uint64_t i = hash(&key);; i++) {
    entry *e = &blas->table[i % TABLE];
    if (e->used && memcmp(&e->key, &key, sizeof key) == 0) return e;
    if (e->used) continue;
    e->key = key;
    if (!describe(dev, blas, e, p)) return nullptr;
    e->used = true;
    blas->filled++;
    return e;
  }
}

bool rilli_cuda_product(rill_env *env, const rilli_blas *p) {
  rilli_cuda *dev = rilli_cuda_of(env);
  if (p->m == 0 || p->n == 0 || p->count == 0) return true;
  rilli_cuda_blas *blas = blas_of(dev);
  void *workspace = blas ? rill_env_alloc(env, WORKSPACE) : nullptr;
  if (!workspace) return false;
  entry *e = entry_of(dev, blas, p);
  if (!e) return false;
  if (p->bias)
    blas->f.desc_set(e->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
  float alpha = (float)p->alpha, beta = (float)p->beta;
  bool wide = p->dtype == RILL_F64;
  const void *factor = wide ? (const void *)&p->alpha : &alpha;
  const void *keep = wide ? (const void *)&p->beta : &beta;
  int status =
      blas->f.matmul(blas->handle, e->desc, factor, p->b, e->b, p->a, e->a, keep, p->c, e->c, p->c,
                     e->c, &e->algo, workspace, WORKSPACE, (cudaStream_t)dev->stream);
  return status == CUBLAS_STATUS_SUCCESS || refuse(dev, "a product", status);
}
