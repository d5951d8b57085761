/* Numbers in kernels: bf16 is stored, f32 or f64 is computed. */
#ifndef RILL_TENSOR_CUDA_NUMBER_CUH_
#define RILL_TENSOR_CUDA_NUMBER_CUH_

#include <cuda_bf16.h>
#include <stdint.h>

/* rilli_real<T>: the type that values stored as T are computed in. */
template <typename T>
struct rilli_real_of {
  typedef T type;
};
template <>
struct rilli_real_of<__nv_bfloat16> {
  typedef float type;
};
template <typename T>
using rilli_real = typename rilli_real_of<T>::type;

template <typename T>
static __device__ __forceinline__ rilli_real<T> rilli_load(T x) {
  return x;
}
template <>
__device__ __forceinline__ float rilli_load<__nv_bfloat16>(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

/* A value as T; to integers toward zero and saturating, NaN as 0. */
template <typename T>
struct rilli_store_as {
  template <typename S>
  static __device__ __forceinline__ T from(S x) {
    return (T)x;
  }
};
template <>
struct rilli_store_as<__nv_bfloat16> {
  template <typename S>
  static __device__ __forceinline__ __nv_bfloat16 from(S x) {
    return __float2bfloat16_rn((float)x);
  }
};
template <typename T, typename S>
static __device__ __forceinline__ T rilli_store(S x) {
  return rilli_store_as<T>::from(x);
}

/* n elements that are loaded and stored at once. */
template <typename T, int N>
struct __align__(sizeof(T) * N) rilli_vector {
  T at[N];
};

/* RILLI_DISPATCH(dtype, T, statement): the statement with T the C++ type of a floating dtype. */
#define RILLI_DISPATCH_FLOAT(dtype, T, ...) \
  do {                                      \
    switch (dtype) {                        \
      case RILL_F64: {                      \
        typedef double T;                   \
        __VA_ARGS__;                        \
      } break;                              \
      case RILL_BF16: {                     \
        typedef __nv_bfloat16 T;            \
        __VA_ARGS__;                        \
      } break;                              \
      default: {                            \
        typedef float T;                    \
        __VA_ARGS__;                        \
      } break;                              \
    }                                       \
  } while (0)

/* The same for every dtype; bool is stored as a byte 0 or 1. */
#define RILLI_DISPATCH_ANY(dtype, T, ...)            \
  do {                                               \
    switch (dtype) {                                 \
      case RILL_I32: {                               \
        typedef int32_t T;                           \
        __VA_ARGS__;                                 \
      } break;                                       \
      case RILL_I64: {                               \
        typedef int64_t T;                           \
        __VA_ARGS__;                                 \
      } break;                                       \
      case RILL_U8:                                  \
      case RILL_BOOL: {                              \
        typedef uint8_t T;                           \
        __VA_ARGS__;                                 \
      } break;                                       \
      default:                                       \
        RILLI_DISPATCH_FLOAT(dtype, T, __VA_ARGS__); \
        break;                                       \
    }                                                \
  } while (0)

#endif /* RILL_TENSOR_CUDA_NUMBER_CUH_ */
