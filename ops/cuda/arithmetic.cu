/* Arithmetic: add, sub, mul, div, neg, affine, abs, clamp, maximum, minimum, and derivatives.
 *
 * Elementwise: grid, block and limits as in map.cuh. Integers wrap around in unsigned arithmetic of
 * their width; maximum and minimum compare them as they are. NaN wins maximum and minimum. */
#include "ops/cuda/map.cuh"
#include "ops/attributes.h"

struct add {
  template <typename R>
  __device__ R operator()(R a, R b) const {
    return a + b;
  }
};
struct sub {
  template <typename R>
  __device__ R operator()(R a, R b) const {
    return a - b;
  }
};
struct mul {
  template <typename R>
  __device__ R operator()(R a, R b) const {
    return a * b;
  }
};
struct quotient {
  template <typename R>
  __device__ R operator()(R a, R b) const {
    return a / b;
  }
};
struct neg {
  template <typename R>
  __device__ R operator()(R x) const {
    return -x;
  }
};
template <typename R>
struct affine {
  R scale, shift;
  __device__ R operator()(R x) const { return scale * x + shift; }
};
struct magnitude {
  template <typename R>
  __device__ R operator()(R x) const {
    return fabs(x);
  }
};
struct abs_backward {
  template <typename R>
  __device__ R operator()(R x, R dy) const {
    return x > 0 ? dy : x < 0 ? -dy : (R)0;
  }
};
struct clamp {
  double low, high;
  template <typename R>
  __device__ R operator()(R x) const {
    R above = x < (R)low ? (R)low : x;
    return above > (R)high ? (R)high : above;
  }
};
struct clamp_backward {
  double low, high;
  template <typename R>
  __device__ R operator()(R x, R dy) const {
    return x >= (R)low && x <= (R)high ? dy : (R)0;
  }
};
/* x != x: NaN */
struct maximum {
  template <typename R>
  static __device__ bool wins(R a, R b) {
    return a > b || a != a;
  }
};
struct minimum {
  template <typename R>
  static __device__ bool wins(R a, R b) {
    return a < b || a != a;
  }
};
template <class Rule>
struct choose {
  template <typename R>
  __device__ R operator()(R a, R b) const {
    return Rule::wins(a, b) ? a : b;
  }
};
/* Half to each when they are equal. */
template <class Rule>
struct choose_backward {
  template <typename R>
  __device__ rilli_both<R> operator()(R a, R b, R dy) const {
    R first = Rule::wins(a, b) ? (R)1 : a == b ? (R)0.5 : (R)0;
    return {dy * first, dy * ((R)1 - first)};
  }
};

/* ---- the dtypes ---- */

/* The unsigned type of an integer dtype's width, where overflow is defined. */
template <int N, class F>
static bool map_numbers(const rill_call *call, const F &f) {
  switch (call->in[0].dtype) {
    case RILL_I32:
      return rilli_map_as<N, 1, uint32_t, uint32_t>(call, f);
    case RILL_I64:
      return rilli_map_as<N, 1, uint64_t, uint64_t>(call, f);
    case RILL_U8:
      return rilli_map_as<N, 1, uint8_t, uint8_t>(call, f);
    default:
      return rilli_map_floats<N>(call, f);
  }
}

template <class Rule>
static bool map_choose(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_ANY(call->in[0].dtype, T, (done = rilli_map_as<2, 1, T, T>(call, choose<Rule>{})));
  return done;
}

/* No shift is -0, which leaves every product as it is, -0 included. */
template <typename T>
static bool affine_float(const rill_call *call, rilli_affine_attr attr) {
  typedef rilli_real<T> R;
  affine<R> f = {(R)attr.scale, attr.shift == 0 ? -(R)0 : (R)attr.shift};
  return rilli_map_as<1, 1, T, T>(call, f);
}
template <typename T>
static bool affine_integer(const rill_call *call, rilli_affine_attr attr) {
  affine<T> f = {(T)(int64_t)attr.scale, (T)(int64_t)attr.shift};
  return rilli_map_as<1, 1, T, T>(call, f);
}

extern "C" bool rilli_cuda_add(const rill_call *call) { return map_numbers<2>(call, add{}); }
extern "C" bool rilli_cuda_sub(const rill_call *call) { return map_numbers<2>(call, sub{}); }
extern "C" bool rilli_cuda_mul(const rill_call *call) { return map_numbers<2>(call, mul{}); }
extern "C" bool rilli_cuda_div(const rill_call *call) {
  return rilli_map_floats<2>(call, quotient{});
}
extern "C" bool rilli_cuda_neg(const rill_call *call) { return map_numbers<1>(call, neg{}); }

extern "C" bool rilli_cuda_affine(const rill_call *call) {
  rilli_affine_attr attr = *(const rilli_affine_attr *)call->attr;
  switch (call->in[0].dtype) {
    case RILL_I32:
      return affine_integer<uint32_t>(call, attr);
    case RILL_I64:
      return affine_integer<uint64_t>(call, attr);
    case RILL_U8:
      return affine_integer<uint8_t>(call, attr);
    default:
      bool done = false;
      RILLI_DISPATCH_FLOAT(call->in[0].dtype, T, done = affine_float<T>(call, attr));
      return done;
  }
}

extern "C" bool rilli_cuda_abs(const rill_call *call) {
  return rilli_map_floats<1>(call, magnitude{});
}
extern "C" bool rilli_cuda_abs_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, abs_backward{});
}
extern "C" bool rilli_cuda_clamp(const rill_call *call) {
  rilli_clamp_attr attr = *(const rilli_clamp_attr *)call->attr;
  return rilli_map_floats<1>(call, clamp{attr.low, attr.high});
}
extern "C" bool rilli_cuda_clamp_backward(const rill_call *call) {
  rilli_clamp_attr attr = *(const rilli_clamp_attr *)call->attr;
  return rilli_map_floats<2>(call, clamp_backward{attr.low, attr.high});
}
extern "C" bool rilli_cuda_maximum(const rill_call *call) { return map_choose<maximum>(call); }
extern "C" bool rilli_cuda_minimum(const rill_call *call) { return map_choose<minimum>(call); }
extern "C" bool rilli_cuda_maximum_backward(const rill_call *call) {
  return rilli_map_floats<3, 2>(call, choose_backward<maximum>{});
}
extern "C" bool rilli_cuda_minimum_backward(const rill_call *call) {
  return rilli_map_floats<3, 2>(call, choose_backward<minimum>{});
}
