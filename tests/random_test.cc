// Random numbers: the published vectors, streams, distributions.
#include "tensor/random.h"

#include <algorithm>
#include <cmath>

#include "tests/tensor_util.h"

namespace {

class Random : public rill_test::WithContext {};

// From the known-answer file of Random123.
TEST_F(Random, KnownAnswers) {
  auto words = [](rill_philox_block b) { return std::vector<uint32_t>(b.word, b.word + 4); };
  using Words = std::vector<uint32_t>;
  EXPECT_EQ(words(rill_philox({{0, 0, 0, 0}}, 0)),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  uint32_t f = 0xffffffff;
  EXPECT_EQ(words(rill_philox({{f, f, f, f}}, ~uint64_t{0})),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      words(rill_philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822)),
      (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// A stream is its seed and counter: saved and set back it repeats, and how it is cut says nothing.
TEST_F(Random, Streams) {
  rill_random_state start = rill_random_get(ctx);
  EXPECT_EQ(start.seed, 1u);
  std::vector<double> whole = read(rill_randn(ctx, RILL_F64, RILL_SHAPE(30011)));
  EXPECT_EQ(rill_random_get(ctx).counter, start.counter + 30011);
  rill_random_set(ctx, start);
  std::vector<double> parts;
  for (int64_t n : {1, 2, 8193, 21815}) {
    std::vector<double> part = read(rill_randn(ctx, RILL_F64, RILL_SHAPE(n)));
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(whole, parts);
  rill_random_set(ctx, start);
  rill_context_set_threads(ctx, 7);
  EXPECT_EQ(read(rill_randn(ctx, RILL_F64, RILL_SHAPE(30011))), whole);
  EXPECT_NE(read(rill_randn(ctx, RILL_F64, RILL_SHAPE(30011))), whole);
  rill_random_state taken = rill_random_take(ctx, 5);
  EXPECT_EQ(rill_random_get(ctx).counter, taken.counter + 5);
}

// Shorter dtypes see the same draws.
TEST_F(Random, DtypesAgree) {
  rill_random_state start = rill_random_get(ctx);
  auto draw = [&](rill_dtype dtype, bool normal) {
    rill_random_set(ctx, start);
    return read(normal ? rill_randn(ctx, dtype, RILL_SHAPE(1000))
                       : rill_rand(ctx, dtype, RILL_SHAPE(1000)));
  };
  std::vector<double> u = draw(RILL_F64, false), n = draw(RILL_F64, true);
  std::vector<double> u32 = draw(RILL_F32, false), n32 = draw(RILL_F32, true);
  std::vector<double> u16 = draw(RILL_BF16, false);
  for (size_t i = 0; i < u.size(); i++) {
    EXPECT_EQ(u32[i], std::floor(u[i] * 0x1p24) * 0x1p-24);
    EXPECT_EQ(u16[i], std::floor(u[i] * 0x1p8) * 0x1p-8);
    EXPECT_EQ(n32[i], static_cast<double>(static_cast<float>(n[i])));
  }
}

// Distance between the sample's and the true distribution; 1.95 / sqrt(n) is passed by 999 of 1000.
template <class F>
void expect_distribution(std::vector<double> x, F cumulative) {
  std::sort(x.begin(), x.end());
  double worst = 0, n = static_cast<double>(x.size());
  for (size_t i = 0; i < x.size(); i++) {
    double c = cumulative(x[i]), at = static_cast<double>(i);
    worst = std::fmax(worst, std::fmax(c - at / n, (at + 1) / n - c));
  }
  EXPECT_LT(worst, 1.95 / std::sqrt(n));
}

TEST_F(Random, Distributions) {
  expect_distribution(read(rill_rand(ctx, RILL_F64, RILL_SHAPE(200000))),
                      [](double x) { return x; });
  expect_distribution(read(rill_randn(ctx, RILL_F64, RILL_SHAPE(200000))),
                      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2)); });
  std::vector<double> x = read(rill_randn(ctx, RILL_F64, RILL_SHAPE(200000)));
  double neighbours = 0;
  for (size_t i = 1; i < x.size(); i++) neighbours += x[i] * x[i - 1];
  EXPECT_LT(std::fabs(neighbours) / 200000, 4 / std::sqrt(200000.0));
  int count[7] = {0};
  for (double v : read(rill_randint(ctx, RILL_I32, RILL_SHAPE(70000), -3, 4))) {
    ASSERT_TRUE(v >= -3 && v < 4);
    count[static_cast<int>(v) + 3]++;
  }
  for (int c : count) EXPECT_NEAR(c, 10000, 400);
  for (double v : read(rill_rand(ctx, RILL_BF16, RILL_SHAPE(10000)))) ASSERT_TRUE(v >= 0 && v < 1);
}

TEST_F(Random, Integers) {
  EXPECT_EQ(rill_random_below(~uint64_t{0}, 10), 9u);
  EXPECT_EQ(rill_random_below(0, 10), 0u);
  EXPECT_EQ(rill_random_below(~uint64_t{0}, ~uint64_t{0}), ~uint64_t{0} - 1);
  EXPECT_EQ(rill_random_below(uint64_t{1} << 63, 1000), 500u);
  int64_t value[64];
  rill_tensor *x = rill_randint(ctx, RILL_I64, RILL_SHAPE(64), -INT64_C(4000000000000000000),
                                INT64_C(4000000000000000000));
  ASSERT_TRUE(rill_read(x, value, sizeof value));
  for (int64_t v : value)
    EXPECT_TRUE(v >= -INT64_C(4000000000000000000) && v < INT64_C(4000000000000000000));
  expect_no_error();
}

}  // namespace
