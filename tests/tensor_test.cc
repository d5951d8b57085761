// Tensors: making, reading, printing, hashing, overwriting, shapes and dtypes.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tests/tensor_util.h"

namespace {

class Tensor : public rill_test::WithContext {
 protected:
  static std::string text(rill_tensor *x) {
    char *memory = nullptr;
    size_t size = 0;
    FILE *file = open_memstream(&memory, &size);
    rill_fprint(file, x);
    std::fclose(file);
    std::string s(memory, size);
    std::free(memory);
    return s;
  }
};

using Values = std::vector<double>;

TEST_F(Tensor, Dtypes) {
  const size_t size[] = {4, 8, 2, 4, 8, 1, 1};
  for (int d = 0; d < RILL_DTYPE_COUNT; d++) {
    rill_dtype dtype = static_cast<rill_dtype>(d), found;
    EXPECT_EQ(rill_dtype_size(dtype), size[d]);
    EXPECT_TRUE(rill_dtype_find(rill_dtype_name(dtype), &found));
    EXPECT_EQ(found, dtype);
  }
  rill_dtype found;
  EXPECT_FALSE(rill_dtype_find("f16", &found));
  EXPECT_STREQ(rill_dtype_name(static_cast<rill_dtype>(77)), "?");
  EXPECT_EQ(rill_dtype_size(static_cast<rill_dtype>(77)), 0u);
  EXPECT_TRUE(rill_dtype_is_float(RILL_BF16));
  EXPECT_FALSE(rill_dtype_is_float(RILL_BOOL));
}

// All 65536 patterns survive the way to f32 and back; rounding is to nearest, ties to even.
TEST_F(Tensor, Bf16) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    rill_bf16 x{static_cast<uint16_t>(bits)};
    float f = rill_bf16_to_f32(x);
    rill_bf16 y = rill_bf16_from_f32(f);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(rill_bf16_to_f32(y)));
    } else {
      EXPECT_EQ(y.bits, x.bits);
    }
  }
  EXPECT_EQ(rill_bf16_to_f32(rill_bf16_from_f32(1.00390625f)), 1.0f);
  EXPECT_EQ(rill_bf16_to_f32(rill_bf16_from_f32(1.01171875f)), 1.015625f);
  EXPECT_EQ(rill_bf16_to_f32(rill_bf16_from_f32(3.4e38f)), INFINITY);
}

TEST_F(Tensor, MakingAndReading) {
  EXPECT_EQ(read(rill_zeros(ctx, RILL_I32, RILL_SHAPE(2, 2))), (Values{0, 0, 0, 0}));
  EXPECT_EQ(read(rill_full(ctx, RILL_BF16, RILL_SHAPE(2), 1.5)), (Values{1.5, 1.5}));
  EXPECT_EQ(read(rill_full(ctx, RILL_BOOL, RILL_SHAPE(2), 7)), (Values{1, 1}));
  EXPECT_EQ(read(rill_arange(ctx, RILL_F32, 4)), (Values{0, 1, 2, 3}));
  EXPECT_EQ(read(rill_arange(ctx, RILL_I64, 0)), (Values{}));
  EXPECT_EQ(rill_item(rill_scalar(ctx, RILL_F64, -2.25)), -2.25);
  int64_t big = (int64_t{1} << 53) + 1, back = 0;
  EXPECT_TRUE(rill_read(rill_from(ctx, RILL_I64, RILL_SCALAR, &big), &back, 8));
  EXPECT_EQ(back, big);
  rill_tensor *x = rill_from(ctx, RILL_F64, RILL_SHAPE(2, 3), Values{1, 2, 3, 4, 5, 6}.data());
  EXPECT_EQ(rill_rank(x), 2);
  EXPECT_EQ(rill_size(x, 0), 2);
  EXPECT_EQ(rill_size(x, -1), 3);
  EXPECT_EQ(rill_count(x), 6);
  EXPECT_EQ(rill_dtype_of(x), RILL_F64);
  EXPECT_EQ(rill_context_of(x), ctx);
  EXPECT_EQ(read(rill_transpose(x, 0, 1)), (Values{1, 4, 2, 5, 3, 6}));
  expect_no_error();
}

TEST_F(Tensor, RefusesBadShapesAndArguments) {
  EXPECT_TRUE(rill_is_void(rill_zeros(ctx, RILL_F32, RILL_SHAPE(2, -1))));
  expect_error(RILL_ERROR_ARGUMENT, "rill_zeros: shape [2, -1]");
  rill_zeros(ctx, RILL_F32, RILL_SHAPE(int64_t{1} << 32, int64_t{1} << 32));
  expect_error(RILL_ERROR_ARGUMENT, "rill_zeros: shape");
  rill_zeros(ctx, RILL_F32, RILL_SHAPE(int64_t{1} << 62));
  expect_error(RILL_ERROR_ARGUMENT, "rill_zeros: shape");
  rill_shape deep = {9, {1, 1, 1, 1, 1, 1, 1, 1}};
  rill_zeros(ctx, RILL_F32, deep);
  expect_error(RILL_ERROR_ARGUMENT, "at most 8");
  rill_zeros(ctx, static_cast<rill_dtype>(50), RILL_SCALAR);
  expect_error(RILL_ERROR_ARGUMENT, "dtype 50 does not exist");
  rill_from(ctx, RILL_F32, RILL_SHAPE(2), nullptr);
  expect_error(RILL_ERROR_ARGUMENT, "rill_from: values is NULL");
  rill_randn(ctx, RILL_I32, RILL_SHAPE(2));
  expect_error(RILL_ERROR_ARGUMENT, "rill_randn: dtype i32");
  rill_randint(ctx, RILL_I32, RILL_SHAPE(2), 3, 3);
  expect_error(RILL_ERROR_ARGUMENT, "rill_randint: [3, 3)");
  rill_arange(ctx, RILL_F32, -1);
  expect_error(RILL_ERROR_ARGUMENT, "rill_arange");
  rill_tensor *x = vector({1, 2});
  EXPECT_EQ(rill_size(x, 1), 0);
  expect_error(RILL_ERROR_ARGUMENT, "axis 1 is out of range for x [2]");
  EXPECT_TRUE(std::isnan(rill_item(x)));
  expect_error(RILL_ERROR_ARGUMENT, "rill_item: x [2] must have one element");
  char room[8];
  EXPECT_FALSE(rill_read(x, room, 8));
  expect_error(RILL_ERROR_ARGUMENT, "rill_read: x f64 [2] has 16 bytes, and room for 8");
  double one;
  EXPECT_FALSE(rill_read_f64(x, &one, 1));
  expect_error(RILL_ERROR_ARGUMENT, "rill_read_f64: x [2] has 2 elements");
}

TEST_F(Tensor, Overwriting) {
  rill_tensor *x = vector({1, 2, 3});
  EXPECT_TRUE(rill_write(x, Values{4, 5, 6}.data(), 24));
  EXPECT_EQ(read(x), (Values{4, 5, 6}));
  EXPECT_TRUE(rill_assign(x, rill_arange(ctx, RILL_I32, 3)));
  EXPECT_EQ(read(x), (Values{0, 1, 2}));
  EXPECT_TRUE(rill_fill(x, 9));
  EXPECT_EQ(read(x), (Values{9, 9, 9}));
  double room = 0;
  EXPECT_FALSE(rill_write(x, &room, 8));
  expect_error(RILL_ERROR_ARGUMENT, "rill_write: x f64 [3] takes 24 bytes, 8 were given");
  EXPECT_FALSE(rill_assign(x, vector({1})));
  expect_error(RILL_ERROR_ARGUMENT, "rill_assign: x [3]");
  rill_tensor *y = rill_square(rill_require_grad(vector({1})));
  EXPECT_FALSE(rill_fill(y, 0));
  expect_error(RILL_ERROR_STATE, "only leaves may be overwritten");
}

TEST_F(Tensor, CopyDetachShareOrNot) {
  rill_tensor *x = vector({1, 2, 3}), *copy = rill_copy(x), *view = rill_detach(x);
  rill_fill(x, 0);
  EXPECT_EQ(read(copy), (Values{1, 2, 3}));
  EXPECT_EQ(read(view), (Values{0, 0, 0}));
  EXPECT_EQ(rill_to_device(x, RILL_CPU), x);
  rill_to_device(x, RILL_CUDA);
  expect_error(RILL_ERROR_DEVICE, "the context has no such device");
}

// Converting saturates, and NaN becomes 0.
TEST_F(Tensor, Conversion) {
  Values from = {1.9, -1.9, 300, -5, std::nan(""), 1e30, -1e30};
  rill_tensor *x = vector(from);
  auto as = [&](rill_dtype dtype) {
    rill_tensor *y = rill_zeros(ctx, dtype, RILL_SHAPE(7));
    rill_assign(y, x);
    return read(y);
  };
  EXPECT_EQ(as(RILL_I32), (Values{1, -1, 300, -5, 0, INT32_MAX, INT32_MIN}));
  EXPECT_EQ(as(RILL_U8), (Values{1, 0, 255, 0, 0, 255, 0}));
  EXPECT_EQ(as(RILL_BOOL), (Values{1, 1, 1, 1, 1, 1, 1}));
  Values wide = as(RILL_I64);
  EXPECT_EQ(wide[5], static_cast<double>(INT64_MAX));
  EXPECT_EQ(wide[6], static_cast<double>(INT64_MIN));
}

TEST_F(Tensor, Hash) {
  rill_tensor *x = rill_rand(ctx, RILL_F32, RILL_SHAPE(3, 5));
  uint64_t h = rill_hash(x);
  EXPECT_EQ(rill_hash(rill_copy(x)), h);
  EXPECT_EQ(rill_hash(rill_transpose(rill_copy(rill_transpose(x, 0, 1)), 0, 1)), h);
  EXPECT_NE(rill_hash(rill_reshape(x, RILL_SHAPE(5, 3))), h);
  EXPECT_NE(rill_hash(rill_reshape(x, RILL_SHAPE(15))), h);
  EXPECT_NE(rill_hash(rill_scalar(ctx, RILL_F64, 0.0)),
            rill_hash(rill_scalar(ctx, RILL_F64, -0.0)));
  EXPECT_NE(rill_hash(rill_zeros(ctx, RILL_F32, RILL_SHAPE(2))),
            rill_hash(rill_zeros(ctx, RILL_I32, RILL_SHAPE(2))));
  EXPECT_NE(rill_hash(rill_zeros(ctx, RILL_U8, RILL_SHAPE(0, 2))),
            rill_hash(rill_zeros(ctx, RILL_U8, RILL_SHAPE(2, 0))));
  // Every single bit counts, wherever it is.
  std::vector<uint8_t> bytes(75, 0);
  std::vector<uint64_t> seen;
  for (int bit = -1; bit < 75 * 8; bit++) {
    if (bit >= 0) bytes[static_cast<size_t>(bit / 8)] = static_cast<uint8_t>(1 << bit % 8);
    seen.push_back(rill_hash(rill_from(ctx, RILL_U8, RILL_SHAPE(75), bytes.data())));
    if (bit >= 0) bytes[static_cast<size_t>(bit / 8)] = 0;
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST_F(Tensor, Print) {
  EXPECT_EQ(text(rill_scalar(ctx, RILL_F32, 3.5)), "f32 []\n3.5\n");
  EXPECT_EQ(text(vector({1, 2, -3})), "f64 [3]\n[ 1.,  2., -3.]\n");
  EXPECT_EQ(text(vector({0.5, std::nan(""), -INFINITY})), "f64 [3]\n[ 0.5,  nan, -inf]\n");
  EXPECT_EQ(text(vector({1e-9, 1})), "f64 [2]\n[1e-09, 1e+00]\n");
  EXPECT_EQ(text(rill_zeros(ctx, RILL_F32, RILL_SHAPE(0, 3))), "f32 [0, 3]\n[]\n");
  EXPECT_EQ(text(rill_arange(ctx, RILL_I64, 3)), "i64 [3]\n[0, 1, 2]\n");
  EXPECT_EQ(text(rill_full(ctx, RILL_BOOL, RILL_SHAPE(1), 1)), "bool [1]\n[true]\n");
  EXPECT_EQ(text(rill_full(ctx, RILL_BF16, RILL_SHAPE(2), 0.25)), "bf16 [2]\n[0.25, 0.25]\n");
  rill_tensor *x = rill_reshape(rill_arange(ctx, RILL_I32, 8), RILL_SHAPE(2, 2, 2));
  EXPECT_EQ(text(x), "i32 [2, 2, 2]\n[[[0, 1],\n  [2, 3]],\n\n [[4, 5],\n  [6, 7]]]\n");
  std::string big = text(rill_reshape(rill_arange(ctx, RILL_I32, 1600), RILL_SHAPE(40, 40)));
  EXPECT_EQ(big.substr(0, 63), "i32 [40, 40]\n[[   0,    1,    2, ...,   37,   38,   39],\n [  40");
  EXPECT_NE(big.find("\n ...,\n"), std::string::npos) << big;
  EXPECT_EQ(text(rill_arange(ctx, RILL_I32, 1001)),
            "i32 [1001]\n[   0,    1,    2, ...,  998,  999, 1000]\n");
  // Long rows are wrapped.
  EXPECT_EQ(text(rill_zeros(ctx, RILL_I32, RILL_SHAPE(100))).find('\n', 11), 106u);
  rill_tensor *bad = rill_add(vector({1}), rill_zeros(ctx, RILL_F64, RILL_SHAPE(2, 3, 4, 5)));
  bad = rill_matmul(bad, vector({1}));
  EXPECT_NE(text(bad).find("void tensor (matmul"), std::string::npos) << text(bad);
  rill_error_clear(ctx);
}

TEST_F(Tensor, Shapes) {
  rill_shape out;
  EXPECT_TRUE(rill_shape_broadcast(RILL_SHAPE(2, 1, 3), RILL_SHAPE(4, 1), &out));
  EXPECT_TRUE(rill_shape_equal(out, RILL_SHAPE(2, 4, 3)));
  EXPECT_TRUE(rill_shape_broadcast(RILL_SHAPE(0, 1), RILL_SHAPE(1, 5), &out));
  EXPECT_TRUE(rill_shape_equal(out, RILL_SHAPE(0, 5)));
  EXPECT_FALSE(rill_shape_broadcast(RILL_SHAPE(2), RILL_SHAPE(3), &out));
  EXPECT_FALSE(rill_shape_broadcast(RILL_SHAPE(0), RILL_SHAPE(2), &out));
  EXPECT_STREQ(rill_shape_print(RILL_SHAPE(2, 3)).text, "[2, 3]");
  EXPECT_STREQ(rill_shape_print(RILL_SCALAR).text, "[]");
  int64_t n;
  EXPECT_TRUE(rill_shape_count(RILL_SHAPE(0, INT64_MAX, 2), &n));
  EXPECT_EQ(n, 0);
  EXPECT_FALSE(rill_shape_count(RILL_SHAPE(INT64_MAX, 2), &n));
  EXPECT_EQ(rill_axis(-1, 3), 2);
  EXPECT_EQ(rill_axis(3, 3), -1);
  EXPECT_EQ(rill_axis(-4, 3), -1);
}

TEST_F(Tensor, NullAborts) {
  EXPECT_DEATH(rill_print(nullptr), "rill_print: x is NULL");
  EXPECT_DEATH(rill_square(nullptr), "square: x is NULL");
  rill_tensor *x = vector({1});
  rill_context_opts opts = {};
  rill_context *other = rill_context_new(opts);
  rill_tensor *y = rill_scalar(other, RILL_F64, 1);
  EXPECT_DEATH(rill_add(x, y), "add: b belongs to another context");
  rill_context_free(other);
}

}  // namespace
