/* Fill, copy with conversion and accumulate on CUDA.
 *
 * Elements of one size move as they are, 16 bytes a thread where both sides are contiguous and
 * aligned; other pairs convert through double or int64, whichever holds both exactly, as on the
 * CPU. One thread owns ITEMS elements, a block's width apart, so that accesses coalesce. */
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"
#include "tensor/cuda/strided.cuh"

enum { THREADS = 256, ITEMS = 4 };

/* ---- elements of any dtype ---- */

static __device__ double load_f64(rill_dtype dtype, const void *p, int64_t i) {
  switch (dtype) {
    case RILL_F32:
      return ((const float *)p)[i];
    case RILL_F64:
      return ((const double *)p)[i];
    case RILL_BF16:
      return __bfloat162float(((const __nv_bfloat16 *)p)[i]);
    case RILL_I32:
      return ((const int32_t *)p)[i];
    case RILL_I64:
      return (double)((const int64_t *)p)[i];
    default:
      return ((const uint8_t *)p)[i];
  }
}

/* Truncates toward zero and saturates; NaN becomes 0. */
static __device__ int64_t to_integer(double x, double low, double high) {
  if (isnan(x)) return 0;
  if (x <= low) return (int64_t)low;
  if (x >= high) return high >= 9.2e18 ? INT64_MAX : (int64_t)high;
  return (int64_t)x;
}

static __device__ void store_f64(rill_dtype dtype, void *p, int64_t i, double x) {
  switch (dtype) {
    case RILL_F32:
      ((float *)p)[i] = (float)x;
      break;
    case RILL_F64:
      ((double *)p)[i] = x;
      break;
    case RILL_BF16:
      ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn((float)x);
      break;
    case RILL_I32:
      ((int32_t *)p)[i] = (int32_t)to_integer(x, INT32_MIN, INT32_MAX);
      break;
    case RILL_I64:
      ((int64_t *)p)[i] = to_integer(x, -9223372036854775808.0, 9223372036854775808.0);
      break;
    case RILL_U8:
      ((uint8_t *)p)[i] = (uint8_t)to_integer(x, 0, UINT8_MAX);
      break;
    default:
      ((uint8_t *)p)[i] = x != 0;
      break;
  }
}

static __device__ int64_t load_i64(rill_dtype dtype, const void *p, int64_t i) {
  switch (dtype) {
    case RILL_I32:
      return ((const int32_t *)p)[i];
    case RILL_I64:
      return ((const int64_t *)p)[i];
    default:
      return ((const uint8_t *)p)[i];
  }
}

static __device__ void store_i64(rill_dtype dtype, void *p, int64_t i, int64_t x) {
  switch (dtype) {
    case RILL_I32:
      ((int32_t *)p)[i] = (int32_t)x;
      break;
    case RILL_I64:
      ((int64_t *)p)[i] = x;
      break;
    case RILL_U8:
      ((uint8_t *)p)[i] = (uint8_t)x;
      break;
    default:
      ((uint8_t *)p)[i] = x != 0;
      break;
  }
}

/* ---- the loop: work(i, offsets) for every element ---- */

template <int K, typename Work>
static __device__ __forceinline__ void one(const rilli_layout<K> &w, const Work &work, int64_t i) {
  int64_t offset[K];
  if (i >= w.count) return;
  rilli_offsets(w, i, offset);
  work(offset);
}

/* Work that looks at dtypes is large: it is not repeated. */
template <int K, typename Work>
static __global__ void each(rilli_layout<K> w, Work work) {
  int64_t first = (int64_t)blockIdx.x * (THREADS * ITEMS) + threadIdx.x;
  if (Work::LARGE) {
#pragma unroll 1
    for (int j = 0; j < ITEMS; j++) one(w, work, first + j * THREADS);
  } else {
#pragma unroll
    for (int j = 0; j < ITEMS; j++) one(w, work, first + j * THREADS);
  }
}

template <int K, typename Work>
static bool run(rilli_device *dev, const rill_array *const (&a)[K], Work work) {
  rilli_layout<K> w = rilli_layout_of(a);
  return rilli_launch(&dev->env, each<K, Work>, rilli_blocks(w.count, THREADS * ITEMS), THREADS, 0,
                      w, work);
}

template <typename T>
struct move {
  static const bool LARGE = false;
  T *to;
  const T *from;
  __device__ void operator()(const int64_t (&at)[2]) const { to[at[0]] = from[at[1]]; }
};
template <typename To, typename From>
struct round_to {
  static const bool LARGE = false;
  To *to;
  const From *from;
  __device__ void operator()(const int64_t (&at)[2]) const {
    to[at[0]] = rilli_store<To>(rilli_load(from[at[1]]));
  }
};
struct convert {
  static const bool LARGE = true;
  rill_dtype to_dtype, from_dtype;
  void *to;
  const void *from;
  bool integers;
  __device__ void operator()(const int64_t (&at)[2]) const {
    if (integers)
      store_i64(to_dtype, to, at[0], load_i64(from_dtype, from, at[1]));
    else
      store_f64(to_dtype, to, at[0], load_f64(from_dtype, from, at[1]));
  }
};
struct add {
  static const bool LARGE = true;
  rill_dtype to_dtype, from_dtype;
  void *to;
  const void *from;
  __device__ void operator()(const int64_t (&at)[2]) const {
    store_f64(to_dtype, to, at[0],
              load_f64(to_dtype, to, at[0]) + load_f64(from_dtype, from, at[1]));
  }
};
template <typename T>
struct add_f32 {
  static const bool LARGE = false;
  float *to;
  const T *from;
  __device__ void operator()(const int64_t (&at)[2]) const { to[at[0]] += rilli_load(from[at[1]]); }
};
struct put {
  static const bool LARGE = true;
  rill_dtype dtype;
  void *to;
  double value;
  __device__ void operator()(const int64_t (&at)[1]) const { store_f64(dtype, to, at[0], value); }
};

template <typename T>
static bool move_all(rilli_device *dev, const rill_array *const (&both)[2]) {
  return run(dev, both, move<T>{(T *)both[0]->data, (const T *)both[1]->data});
}

bool rilli_cuda_copy(rilli_device *base, const rill_array *to, const rill_array *from) {
  rilli_cuda *dev = (rilli_cuda *)base;
  const rill_array *const both[2] = {to, from};
  rill_dtype a = to->dtype, b = from->dtype;
  if (a == b) {
    rilli_layout<2> w = rilli_layout_of(both);
    size_t size = rill_dtype_size(a), bytes = (size_t)w.count * size;
    if (rilli_layout_flat(w, 0) && rilli_layout_flat(w, 1)) {
      int error = bytes ? dev->calls->copy(to->data, from->data, bytes, dev->stream) : 0;
      return error == 0 || rilli_cuda_fail(dev, "a copy", error);
    }
    switch (size) {
      case 1:
        return move_all<uint8_t>(base, both);
      case 2:
        return move_all<uint16_t>(base, both);
      case 4:
        return move_all<uint32_t>(base, both);
      default:
        return move_all<uint64_t>(base, both);
    }
  }
  if (a == RILL_F32 && b == RILL_BF16)
    return run(
        base, both,
        round_to<float, __nv_bfloat16>{(float *)to->data, (const __nv_bfloat16 *)from->data});
  if (a == RILL_BF16 && b == RILL_F32)
    return run(
        base, both,
        round_to<__nv_bfloat16, float>{(__nv_bfloat16 *)to->data, (const float *)from->data});
  bool integers = !rill_dtype_is_float(a) && !rill_dtype_is_float(b);
  return run(base, both, convert{a, b, to->data, from->data, integers});
}

bool rilli_cuda_fill(rilli_device *base, const rill_array *to, double value) {
  rilli_cuda *dev = (rilli_cuda *)base;
  const rill_array *const one[1] = {to};
  rilli_layout<1> w = rilli_layout_of(one);
  if (value == 0 && !signbit(value) && rilli_layout_flat(w, 0)) {
    size_t bytes = (size_t)w.count * rill_dtype_size(to->dtype);
    int error = bytes ? dev->calls->set(to->data, 0, bytes, dev->stream) : 0;
    return error == 0 || rilli_cuda_fail(dev, "a fill", error);
  }
  return run(base, one, put{to->dtype, to->data, value});
}

/* to += from where both are contiguous and aligned: the gradients of a training step. A thread owns
 * VECTOR neighbours; the last block's remainder goes one by one. */
enum { VECTOR = 8 };

template <typename To, typename From>
static __global__ void add_flat(To *to, const From *from, int64_t n) {
  int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * VECTOR;
  if (at + VECTOR <= n) {
    rilli_vector<To, VECTOR> x = *(const rilli_vector<To, VECTOR> *)(to + at);
    rilli_vector<From, VECTOR> y = *(const rilli_vector<From, VECTOR> *)(from + at);
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
      x.at[i] = rilli_store<To>(rilli_load(x.at[i]) + rilli_load(y.at[i]));
    *(rilli_vector<To, VECTOR> *)(to + at) = x;
  } else {
    for (; at < n; at++) to[at] = rilli_store<To>(rilli_load(to[at]) + rilli_load(from[at]));
  }
}

static bool vectors(const rill_array *a) {
  size_t bytes = VECTOR * rill_dtype_size(a->dtype);
  return rill_array_contiguous(a) && (uintptr_t)a->data % bytes == 0;
}

template <typename To, typename From>
static bool run_flat(rilli_device *dev, const rill_array *to, const rill_array *from) {
  int64_t n = rill_array_count(to);
  return rilli_launch(&dev->env, add_flat<To, From>, rilli_blocks(n, THREADS * VECTOR), THREADS, 0,
                      (To *)to->data, (const From *)from->data, n);
}

bool rilli_cuda_accumulate(rilli_device *base, const rill_array *to, const rill_array *from) {
  const rill_array *const both[2] = {to, from};
  bool flat = vectors(to) && vectors(from), wide = from->dtype == RILL_F32;
  if (to->dtype == RILL_F32 && wide)
    return flat ? run_flat<float, float>(base, to, from)
                : run(base, both, add_f32<float>{(float *)to->data, (const float *)from->data});
  if (to->dtype == RILL_F32 && from->dtype == RILL_BF16)
    return flat ? run_flat<float, __nv_bfloat16>(base, to, from)
                : run(base, both,
                      add_f32<__nv_bfloat16>{(float *)to->data, (const __nv_bfloat16 *)from->data});
  if (to->dtype == RILL_BF16 && from->dtype == RILL_BF16 && flat)
    return run_flat<__nv_bfloat16, __nv_bfloat16>(base, to, from);
  return run(base, both, add{to->dtype, from->dtype, to->data, from->data});
}

/* ---- canaries: were the bytes around a buffer written? ---- */

enum { GUARD = 256, CANARY = 0x5a };

static __global__ void look(const unsigned char *before, const unsigned char *behind,
                            long long bytes, rilli_fault *fault) {
  if (before[threadIdx.x] == CANARY && behind[threadIdx.x] == CANARY) return;
  if (atomicCAS(&fault->kind, RILLI_FAULT_NONE, RILLI_FAULT_CANARY) == RILLI_FAULT_NONE)
    fault->limit = bytes;
}

bool rilli_cuda_check_canary(rilli_cuda *dev, const void *memory, size_t bytes) {
  const unsigned char *data = (const unsigned char *)memory;
  return rilli_launch(&dev->base.env, look, rilli_grid_of(1), GUARD, 0, data - GUARD, data + bytes,
                      (long long)bytes, dev->fault);
}
