/* Activations and their derivatives: sigmoid, silu, swiglu, gelu, relu, softplus, logsigmoid, tanh.
 *
 * Elementwise: grid, block and limits as in map.cuh. Computed in f32 (f64 for f64) with the
 * formulas of the CPU; a derivative reads what its op saved, and dy. */
#include "ops/cuda/map.cuh"

template <typename R>
static __device__ __forceinline__ R logistic(R x) {
  return (R)1 / ((R)1 + exp(-x));
}
/* ln(1 + e^x), without overflow */
template <typename R>
static __device__ __forceinline__ R soft_plus(R x) {
  return (x > 0 ? x : (R)0) + log1p(exp(x > 0 ? -x : x));
}
/* The derivative of silu, s = sigmoid(x). */
template <typename R>
static __device__ __forceinline__ R silu_slope(R x, R s) {
  return s * ((R)1 + x * ((R)1 - s));
}

struct sigmoid {
  template <typename R>
  __device__ R operator()(R x) const {
    return logistic(x);
  }
};
struct sigmoid_backward {
  template <typename R>
  __device__ R operator()(R y, R dy) const {
    return dy * y * ((R)1 - y);
  }
};
struct silu {
  template <typename R>
  __device__ R operator()(R x) const {
    return x * logistic(x);
  }
};
struct silu_backward {
  template <typename R>
  __device__ R operator()(R x, R dy) const {
    return dy * silu_slope(x, logistic(x));
  }
};
struct swiglu {
  template <typename R>
  __device__ R operator()(R gate, R up) const {
    return gate * logistic(gate) * up;
  }
};
struct swiglu_backward {
  template <typename R>
  __device__ rilli_both<R> operator()(R gate, R up, R dy) const {
    R s = logistic(gate);
    return {dy * up * silu_slope(gate, s), dy * (gate * s)};
  }
};
/* x P(X < x) for a normal X */
struct gelu {
  template <typename R>
  __device__ R operator()(R x) const {
    return (R)0.5 * x * erfc((R)-0.70710678118654752440 * x);
  }
};
struct gelu_backward {
  template <typename R>
  __device__ R operator()(R x, R dy) const {
    R density = (R)0.39894228040143267794 * exp((R)-0.5 * x * x);
    return dy * ((R)0.5 * erfc((R)-0.70710678118654752440 * x) + x * density);
  }
};
struct relu {
  template <typename R>
  __device__ R operator()(R x) const {
    return x < 0 ? (R)0 : x;
  }
};
struct relu_backward {
  template <typename R>
  __device__ R operator()(R y, R dy) const {
    return y > 0 ? dy : (R)0;
  }
};
struct softplus {
  template <typename R>
  __device__ R operator()(R x) const {
    return soft_plus(x);
  }
};
struct softplus_backward {
  template <typename R>
  __device__ R operator()(R x, R dy) const {
    return dy * logistic(x);
  }
};
struct logsigmoid {
  template <typename R>
  __device__ R operator()(R x) const {
    return -soft_plus(-x);
  }
};
struct logsigmoid_backward {
  template <typename R>
  __device__ R operator()(R x, R dy) const {
    return dy * logistic(-x);
  }
};
struct hyperbolic_tangent {
  template <typename R>
  __device__ R operator()(R x) const {
    return tanh(x);
  }
};
struct tanh_backward {
  template <typename R>
  __device__ R operator()(R y, R dy) const {
    return dy * (((R)1 - y) * ((R)1 + y));
  }
};

extern "C" bool rilli_cuda_sigmoid(const rill_call *call) {
  return rilli_map_floats<1>(call, sigmoid{});
}
extern "C" bool rilli_cuda_sigmoid_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, sigmoid_backward{});
}
extern "C" bool rilli_cuda_silu(const rill_call *call) { return rilli_map_floats<1>(call, silu{}); }
extern "C" bool rilli_cuda_silu_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, silu_backward{});
}
extern "C" bool rilli_cuda_swiglu(const rill_call *call) {
  return rilli_map_floats<2>(call, swiglu{});
}
extern "C" bool rilli_cuda_swiglu_backward(const rill_call *call) {
  return rilli_map_floats<3, 2>(call, swiglu_backward{});
}
extern "C" bool rilli_cuda_gelu(const rill_call *call) { return rilli_map_floats<1>(call, gelu{}); }
extern "C" bool rilli_cuda_gelu_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, gelu_backward{});
}
extern "C" bool rilli_cuda_relu(const rill_call *call) { return rilli_map_floats<1>(call, relu{}); }
extern "C" bool rilli_cuda_relu_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, relu_backward{});
}
extern "C" bool rilli_cuda_softplus(const rill_call *call) {
  return rilli_map_floats<1>(call, softplus{});
}
extern "C" bool rilli_cuda_softplus_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, softplus_backward{});
}
extern "C" bool rilli_cuda_logsigmoid(const rill_call *call) {
  return rilli_map_floats<1>(call, logsigmoid{});
}
extern "C" bool rilli_cuda_logsigmoid_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, logsigmoid_backward{});
}
extern "C" bool rilli_cuda_tanh(const rill_call *call) {
  return rilli_map_floats<1>(call, hyperbolic_tangent{});
}
extern "C" bool rilli_cuda_tanh_backward(const rill_call *call) {
  return rilli_map_floats<2>(call, tanh_backward{});
}
