// What the tests over all ops share: samples held by value, inputs in every dtype and layout, and
// the comparison. Inputs are drawn as doubles and rounded to the dtype under test, so that the same
// numbers can be computed in f64.
#ifndef RILL_TESTS_OPS_UTIL_H_
#define RILL_TESTS_OPS_UTIL_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "autograd/op.h"
#include "ops/ops.h"
#include "tensor/dlpack.h"
#include "tests/device_util.h"

extern "C" {
#include "tensor/internal.h"
}

namespace rill_test {

using Values = std::vector<double>;

inline uint64_t seed() {
  const char *text = std::getenv("RILL_TEST_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 20260101;
}

// ---- samples ----

struct Sample {
  rill_sample is;
  std::string name;
  std::vector<char> attr;
  int number;
  int inputs;
  const void *attributes() const { return attr.empty() ? nullptr : attr.data(); }
};

inline int named_inputs(const rill_op *op) {
  int n = 0;
  while (n < RILL_MAX_INPUTS && op->in[n]) n++;
  return n;
}

inline std::vector<Sample> samples_of(const rill_op *op) {
  struct Sink {
    const rill_op *op;
    std::vector<Sample> all;
  } sink{op, {}};
  rill_op_samples(
      op,
      [](void *user, const rill_sample *s) {
        Sink *to = static_cast<Sink *>(user);
        const char *attr = static_cast<const char *>(s->attr);
        Sample copy{*s, s->name ? s->name : "", {}, static_cast<int>(to->all.size()), s->inputs};
        if (attr) copy.attr.assign(attr, attr + to->op->attr_size);
        if (copy.inputs == 0) copy.inputs = named_inputs(to->op);
        to->all.push_back(copy);
      },
      &sink);
  return sink.all;
}

inline rill_dtype input_dtype(const rill_sample_input &in, rill_dtype tested) {
  if (in.below > 0 || in.fixed) return in.dtype;
  if (in.state) return tested == RILL_F64 ? RILL_F64 : RILL_F32;
  return tested;
}

// Does the dtype under test make a difference to the sample?
inline bool depends_on_dtype(const Sample &s) {
  for (int i = 0; i < s.inputs; i++)
    if (!s.is.in[i].absent && s.is.in[i].below <= 0 && !s.is.in[i].fixed) return true;
  return false;
}

// ---- values ----

inline int64_t count_of(const rill_shape &shape) {
  int64_t n = 1;
  for (int d = 0; d < shape.rank; d++) n *= shape.size[d];
  return n;
}

inline double rounded(double x, rill_dtype dtype) {
  switch (dtype) {
    case RILL_F32:
      return static_cast<double>(static_cast<float>(x));
    case RILL_BF16:
      return static_cast<double>(rill_bf16_to_f32(rill_bf16_from_f32(static_cast<float>(x))));
    case RILL_F64:
      return x;
    case RILL_BOOL:
      return x != 0;
    default:
      return std::trunc(x);
  }
}

inline Values draw(const rill_sample_input &in, rill_dtype dtype, std::mt19937_64 &random) {
  Values x(static_cast<size_t>(count_of(in.shape)));
  std::normal_distribution<double> normal;
  for (double &v : x) {
    if (in.below > 0) {
      v = static_cast<double>(random() % static_cast<uint64_t>(in.below));
    } else if (in.low == 0 && in.high == 0) {
      v = normal(random);
    } else {
      v = in.low + (in.high - in.low) * (static_cast<double>(random() >> 11) * 0x1p-53);
    }
    v = rounded(v, dtype);
    // Rounding must not leave the range [low, high).
    if (in.below <= 0 && in.high > in.low && v >= in.high) v = rounded(in.low, dtype);
  }
  return x;
}

// ---- layouts ----

enum Layout { CONTIGUOUS, TRANSPOSED, OFFSET, STEPPED, BROADCAST, LAYOUTS };
inline const char *layout_name(int layout) {
  static const char *const name[] = {"contiguous", "transposed", "sliced", "stepped", "broadcast"};
  return name[layout];
}

// Does the layout differ from the contiguous one for that shape?
inline bool layout_applies(int layout, const rill_shape &shape) {
  int wide = 0;
  for (int d = 0; d < shape.rank; d++) wide += shape.size[d] > 1;
  // A row that is constant as a whole would ask norms for a difference of equal numbers.
  if (layout == TRANSPOSED || layout == BROADCAST) return wide >= 2;
  return shape.rank >= 1;
}

inline int broadcast_axis(const rill_shape &shape) {
  for (int d = 0; d < shape.rank; d++)
    if (shape.size[d] > 1) return d;
  return -1;
}

inline std::vector<int64_t> strides(const rill_shape &shape, int layout, int64_t *reach) {
  std::vector<int64_t> stride(static_cast<size_t>(shape.rank));
  int64_t next = layout == STEPPED ? 2 : 1;
  for (int n = 0; n < shape.rank; n++) {
    int d = layout == TRANSPOSED ? n : shape.rank - 1 - n;
    bool flat = layout == BROADCAST && d == broadcast_axis(shape);
    stride[static_cast<size_t>(d)] = flat ? 0 : next;
    if (!flat) next *= shape.size[d] + (layout == OFFSET && n == 0 ? 3 : 0);
  }
  *reach = next;
  return stride;
}

// Row-major positions of all elements, for a strided array.
template <class F>
void each_offset(const rill_shape &shape, const std::vector<int64_t> &stride, F f) {
  int64_t n = count_of(shape), index[RILL_MAX_RANK] = {0}, offset = 0;
  for (int64_t i = 0; i < n; i++) {
    f(i, offset);
    for (int d = shape.rank - 1; d >= 0; d--) {
      offset += stride[static_cast<size_t>(d)];
      if (++index[d] < shape.size[d]) break;
      offset -= stride[static_cast<size_t>(d)] * shape.size[d];
      index[d] = 0;
    }
  }
}

inline rill_tensor *from_values(rill_context *ctx, rill_dtype dtype, const rill_shape &shape,
                                const Values &x) {
  rill_tensor *wide = rill_from(ctx, RILL_F64, shape, x.data());
  if (dtype == RILL_F64) return wide;
  rill_tensor *y = rill_zeros(ctx, dtype, shape);
  rill_assign(y, wide);
  return y;
}

// A strided tensor around memory of the test's own.
inline rill_tensor *wrap(rill_context *ctx, rill_dtype dtype, const rill_shape &shape,
                         const std::vector<int64_t> &stride, int64_t shift, const Values &whole) {
  struct Memory {
    rill_dl_managed managed;
    std::vector<double> bytes;
    std::vector<int64_t> size, stride;
  };
  int64_t count = static_cast<int64_t>(whole.size());
  if (on_gpu(ctx)) {
    rill_tensor *base = from_values(ctx, dtype, RILL_SHAPE(count), whole);
    rill_array array = rill_array_of(base);
    array.data =
        static_cast<char *>(array.data) + shift * static_cast<int64_t>(rill_dtype_size(dtype));
    array.rank = shape.rank;
    for (int d = 0; d < shape.rank; d++) {
      array.size[d] = shape.size[d];
      array.stride[d] = stride[static_cast<size_t>(d)];
    }
    return rilli_tensor_view(base, &array, "wrap");
  }
  Memory *m = new Memory{{}, Values(whole.size()), {}, stride};
  for (int d = 0; d < shape.rank; d++) m->size.push_back(shape.size[d]);
  rill_scope *scope = rill_scope_open(ctx);
  size_t bytes = whole.size() * rill_dtype_size(dtype);
  rill_read(from_values(ctx, dtype, RILL_SHAPE(count), whole), m->bytes.data(), bytes);
  rill_dl_managed *exported = rill_to_dlpack(rill_zeros(ctx, dtype, RILL_SCALAR));
  m->managed.tensor = exported->tensor; /* for device and dtype */
  exported->deleter(exported);
  rill_scope_close(scope);
  m->managed.tensor.data = m->bytes.data();
  m->managed.tensor.byte_offset = static_cast<uint64_t>(shift) * rill_dtype_size(dtype);
  m->managed.tensor.ndim = shape.rank;
  m->managed.tensor.shape = m->size.data();
  m->managed.tensor.strides = m->stride.data();
  m->managed.manager = m;
  m->managed.deleter = [](rill_dl_managed *self) { delete static_cast<Memory *>(self->manager); };
  return rill_from_dlpack(ctx, &m->managed);
}

// A tensor with those values in that layout; what lies between its elements is NaN (or 113). Under
// BROADCAST the values are made equal along one axis first.
inline rill_tensor *make(rill_context *ctx, rill_dtype dtype, const rill_shape &shape, Values &x,
                         int layout) {
  if (!layout_applies(layout, shape)) layout = CONTIGUOUS;
  if (layout == CONTIGUOUS) return from_values(ctx, dtype, shape, x);
  int64_t reach, shift = layout == OFFSET || layout == STEPPED ? 1 : 0;
  std::vector<int64_t> stride = strides(shape, layout, &reach);
  bool real = rill_dtype_is_float(dtype);
  Values whole(static_cast<size_t>(reach + shift), real ? std::nan("") : 113.0);
  std::vector<bool> seen(whole.size());
  each_offset(shape, stride, [&](int64_t i, int64_t offset) {
    size_t at = static_cast<size_t>(offset + shift), from = static_cast<size_t>(i);
    if (!seen[at]) whole[at] = x[from];
    seen[at] = true;
    x[from] = whole[at];
  });
  return wrap(ctx, dtype, shape, stride, shift, whole);
}

inline Values read(rill_tensor *x) {
  Values v(static_cast<size_t>(rill_count(x)));
  if (rill_is_void(x) || !rill_read_f64(x, v.data(), rill_count(x))) return {std::nan("")};
  return v;
}

// ---- inputs of a sample ----

struct Inputs {
  std::vector<rill_tensor *> tensor;
  std::vector<Values> values;  // as they are, rounded to `dtype`
  std::vector<rill_dtype> dtype;
};

inline uint64_t sample_seed(const rill_op *op, const Sample &s) {
  return seed() * 0x9e3779b97f4a7c15u + std::hash<std::string>()(op->name) +
         static_cast<uint64_t>(s.number) * 7919;
}

inline Inputs inputs_of(rill_context *ctx, const rill_op *op, const Sample &s, rill_dtype tested,
                        int layout) {
  Inputs all;
  std::mt19937_64 random(sample_seed(op, s));
  for (int i = 0; i < s.inputs; i++) {
    const rill_sample_input &in = s.is.in[i];
    rill_dtype dtype = input_dtype(in, tested);
    Values x = in.absent ? Values{} : draw(in, dtype, random);
    all.tensor.push_back(in.absent ? nullptr : make(ctx, dtype, in.shape, x, layout));
    all.values.push_back(x);
    all.dtype.push_back(dtype);
  }
  return all;
}

// The same numbers in f64 (what is not of the dtype under test keeps its dtype), contiguous.
inline Inputs in_f64(rill_context *ctx, const Sample &s, const Inputs &from) {
  Inputs all = from;
  for (int i = 0; i < s.inputs; i++) {
    size_t at = static_cast<size_t>(i);
    if (!from.tensor[at]) continue;
    all.dtype[at] = input_dtype(s.is.in[i], RILL_F64);
    all.tensor[at] = from_values(ctx, all.dtype[at], s.is.in[i].shape, from.values[at]);
  }
  return all;
}

// ---- running ----

struct Outputs {
  std::vector<rill_tensor *> tensor;
};

inline int named_outputs(const rill_op *op) {
  int n = 0;
  while (n < RILL_MAX_OUTPUTS && op->out[n]) n++;
  return n;
}

inline Outputs apply(const rill_op *op, const Sample &s, const Inputs &in) {
  rill_tensor *out[RILL_MAX_OUTPUTS] = {};
  rill_apply_all(op, s.inputs, in.tensor.data(), s.attributes(), out);
  return {std::vector<rill_tensor *>(out, out + named_outputs(op))};
}

// The op without its kernels.
inline rill_op composed(const rill_op *op) {
  rill_op copy = *op;
  std::memset(static_cast<void *>(copy.kernels), 0, sizeof copy.kernels);
  return copy;
}

// ---- the comparison ----

// Largest error relative to |want| + share * max |want|, the maximum being at least `floor`. NaN
// agrees with NaN and infinity with infinity, nothing else does.
inline double error_of(const Values &got, const Values &want, rill_dtype dtype, double share = 0.1,
                       double floor = 0) {
  if (got.size() != want.size()) return INFINITY;
  double most = floor, worst = 0;
  for (double w : want)
    if (std::isfinite(w)) most = std::fmax(most, std::fabs(w));
  for (size_t i = 0; i < got.size(); i++) {
    double g = got[i], w = want[i], scale = std::fabs(w) + share * most;
    if (std::isnan(w) ? std::isnan(g) : g == w) continue;
    // A number beyond the range of f32 or bf16.
    if (std::isinf(g) && dtype != RILL_F64 && std::fabs(w) > 3.38e38 && g * w > 0) continue;
    double e = std::fabs(g - w) / (scale > 1e-300 ? scale : 1e-300);
    if (!(e <= worst)) worst = std::isnan(e) ? INFINITY : e;
  }
  return worst;
}

inline std::string describe(const rill_op *op, const Sample &s, rill_dtype dtype, int layout) {
  std::string text = std::string(op->name) + ", sample " + std::to_string(s.number) + " \"" +
                     s.name + "\", " + rill_dtype_name(dtype) + ", " + layout_name(layout);
  for (int i = 0; i < s.inputs; i++)
    if (!s.is.in[i].absent) text += std::string(" ") + rill_shape_print(s.is.in[i].shape).text;
  return text + ", RILL_TEST_SEED=" + std::to_string(seed());
}

inline std::string op_case_name(const testing::TestParamInfo<const rill_op *> &info) {
  return info.param->name;
}

inline std::vector<const rill_op *> all_ops() {
  std::vector<const rill_op *> ops;
  for (const rill_op *const *op = rill_all_ops; *op; op++) ops.push_back(*op);
  return ops;
}

}  // namespace rill_test

#endif  // RILL_TESTS_OPS_UTIL_H_
