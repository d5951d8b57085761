/* Powers, exponentials and circular functions: exp, log, sqrt, rsqrt, reciprocal, square, pow, sin,
 * cos, and the derivatives of rsqrt, reciprocal, pow and logsumexp.
 *
 * Elementwise: grid, block and limits as in map.cuh. Computed in f32 (f64 for f64) by CUDA's
 * functions of full accuracy, with the CPU's conventions at 0 and at infinity. */
#include "ops/cuda/map.cuh"

struct exponential {
  template <typename R>
  __device__ R operator()(R x) const {
    return exp(x);
  }
};
struct logarithm {
  template <typename R>
  __device__ R operator()(R x) const {
    return log(x);
  }
};
struct square_root {
  template <typename R>
  __device__ R operator()(R x) const {
    return sqrt(x);
  }
};
struct inverse_root {
  template <typename R>
  __device__ R operator()(R x) const {
    return (R)1 / sqrt(x);
  }
};
struct rsqrt_backward {
  template <typename R>
  __device__ R operator()(R y, R dy) const {
    return (R)-0.5 * dy * (y * y * y);
  }
};
struct reciprocal {
  template <typename R>
  __device__ R operator()(R x) const {
    return (R)1 / x;
  }
};
struct reciprocal_backward {
  template <typename R>
  __device__ R operator()(R y, R dy) const {
    return -dy * (y * y);
  }
};
struct square {
  template <typename R>
  __device__ R operator()(R x) const {
    return x * x;
  }
};
struct power {
  template <typename R>
  __device__ R operator()(R a, R b) const {
    return pow(a, b);
  }
};
struct pow_backward {
  template <typename R>
  __device__ rilli_both<R> operator()(R a, R b, R dy) const {
    bool flat = a == 0 && b >= 0;
    return {b == 0 ? (R)0 : dy * b * pow(a, b - (R)1), flat ? (R)0 : dy * pow(a, b) * log(a)};
  }
};
struct sine {
  template <typename R>
  __device__ R operator()(R x) const {
    return sin(x);
  }
};
struct cosine {
  template <typename R>
  __device__ R operator()(R x) const {
    return cos(x);
  }
};
/* Nothing flows into -infinity. */
struct logsumexp_backward {
  template <typename R>
  __device__ R operator()(R x, R y, R dy) const {
    return isinf(y) && y < 0 ? (R)0 : dy * exp(x - y);
  }
};

extern "C" bool rilli_cuda_exp(const rill_call *call) {
  return rilli_map_floats<1>(call, exponential{});
}
extern "C" bool rilli_cuda_log(const rill_call *call) {
  return rilli_map_floats<1>(call, logarithm{});
}
extern "C" bool rilli_cuda_sqrt(const rill_call *call) {
  return rilli_map_floats<1>(call, square_root{});
}
extern "C" bool rilli_cuda_rsqrt(const rill_call *call) {
  return rilli_map_floats<1>(call, inverse_root{});
}
extern "C" bool rilli_cuda_rsqrt_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, rsqrt_backward{});
}
extern "C" bool rilli_cuda_reciprocal(const rill_call *call) {
  return rilli_map_floats<1>(call, reciprocal{});
}
extern "C" bool rilli_cuda_reciprocal_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, reciprocal_backward{});
}
extern "C" bool rilli_cuda_square(const rill_call *call) {
  return rilli_map_floats<1>(call, square{});
}
extern "C" bool rilli_cuda_pow(const rill_call *call) { return rilli_map_floats<2>(call, power{}); }
extern "C" bool rilli_cuda_pow_backward(const rill_call *call) {
  return rilli_map_floats<3, 2>(call, pow_backward{});
}
extern "C" bool rilli_cuda_sin(const rill_call *call) { return rilli_map_floats<1>(call, sine{}); }
extern "C" bool rilli_cuda_cos(const rill_call *call) {
  return rilli_map_floats<1>(call, cosine{});
}
extern "C" bool rilli_cuda_logsumexp_backward(const rill_call *call) {
  return rilli_map_floats<3>(call, logsumexp_backward{});
}
