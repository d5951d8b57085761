/* Comparisons, logic of bools, where, and cast.
 *
 * Elementwise: grid, block and limits as in map.cuh. Bools are bytes 0 or 1. where moves elements
 * of one size whatever they mean. cast to f32 and bf16 rounds once from the source's value as f32;
 * other casts are the device's copy, which truncates and saturates as the CPU does. */
#include "ops/cuda/map.cuh"

struct equal {
  template <typename R>
  __device__ bool operator()(R a, R b) const {
    return a == b;
  }
};
struct less {
  template <typename R>
  __device__ bool operator()(R a, R b) const {
    return a < b;
  }
};
struct less_equal {
  template <typename R>
  __device__ bool operator()(R a, R b) const {
    return a <= b;
  }
};
struct greater {
  template <typename R>
  __device__ bool operator()(R a, R b) const {
    return a > b;
  }
};
struct greater_equal {
  template <typename R>
  __device__ bool operator()(R a, R b) const {
    return a >= b;
  }
};
struct logical_and {
  __device__ int operator()(uint8_t a, uint8_t b) const { return a & b; }
};
struct logical_not {
  __device__ int operator()(uint8_t a) const { return a ^ 1; }
};
struct pick {
  template <typename R>
  __device__ R operator()(uint8_t condition, R a, R b) const {
    return condition ? a : b;
  }
};
struct as_f32 {
  template <typename S>
  __device__ float operator()(S x) const {
    return (float)x;
  }
};

template <class F>
static bool compare(const rill_call *call, const F &f) {
  bool done = false;
  RILLI_DISPATCH_ANY(call->in[0].dtype, T, (done = rilli_map_as<2, 1, uint8_t, T>(call, f)));
  return done;
}

extern "C" bool rilli_cuda_equal(const rill_call *call) { return compare(call, equal{}); }
extern "C" bool rilli_cuda_less(const rill_call *call) { return compare(call, less{}); }
extern "C" bool rilli_cuda_less_equal(const rill_call *call) { return compare(call, less_equal{}); }
extern "C" bool rilli_cuda_greater(const rill_call *call) { return compare(call, greater{}); }
extern "C" bool rilli_cuda_greater_equal(const rill_call *call) {
  return compare(call, greater_equal{});
}

extern "C" bool rilli_cuda_logical_and(const rill_call *call) {
  return rilli_map_as<2, 1, uint8_t, uint8_t>(call, logical_and{});
}
extern "C" bool rilli_cuda_logical_not(const rill_call *call) {
  return rilli_map_as<1, 1, uint8_t, uint8_t>(call, logical_not{});
}

template <typename T>
static bool where_of(const rill_call *call) {
  return rilli_map<1, T>(call->env, call->out, call->in, pick{}, rilli_types<uint8_t, T, T>());
}
extern "C" bool rilli_cuda_where(const rill_call *call) {
  switch (rill_dtype_size(call->out[0].dtype)) {
    case 1:
      return where_of<uint8_t>(call);
    case 2:
      return where_of<uint16_t>(call);
    case 4:
      return where_of<uint32_t>(call);
    default:
      return where_of<uint64_t>(call);
  }
}

template <typename To>
static bool cast_to(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_ANY(call->in[0].dtype, From,
                     (done = rilli_map_as<1, 1, To, From>(call, as_f32{})));
  return done;
}
extern "C" bool rilli_cuda_cast(const rill_call *call) {
  rilli_device *dev = call->env->scratch->device;
  rill_dtype to = call->out[0].dtype, from = call->in[0].dtype;
  if (to == RILL_F32 && to != from) return cast_to<float>(call);
  if (to == RILL_BF16 && to != from) return cast_to<__nv_bfloat16>(call);
  return dev->copy(dev, &call->out[0], &call->in[0]);
}
