// Windows: a permutation, once an epoch each, resumable from one number.
#include "examples/lm/batches.h"

#include <numeric>
#include <set>
#include <vector>

#include "examples/lm/model.h"
#include "tests/lm_util.h"

namespace {

TEST(LmShuffle, IsABijection) {
  for (int64_t n : {1, 2, 3, 4, 5, 7, 16, 17, 100, 1000, 4095, 4096, 4097, 70000})
    for (uint64_t key : {0ull, 1ull, 0xffffffffffffffffull}) {
      std::vector<bool> hit((size_t)n);
      for (int64_t i = 0; i < n; i++) {
        int64_t to = lm_shuffle(i, n, key);
        ASSERT_TRUE(to >= 0 && to < n) << n;
        ASSERT_FALSE(hit[(size_t)to]) << n;
        hit[(size_t)to] = true;
      }
    }
}

TEST(LmShuffle, WorksOnTheLargestSizes) {
  for (int64_t n : {(int64_t)1 << 62, ((int64_t)1 << 62) + 1, INT64_MAX}) {
    std::set<int64_t> to;
    for (int64_t i = 0; i < 1000; i++) {
      int64_t t = lm_shuffle(i, n, 9);
      EXPECT_TRUE(t >= 0 && t < n);
      to.insert(t);
    }
    EXPECT_EQ(to.size(), 1000u);
  }
}

TEST(LmShuffle, LooksRandom) {
  const int64_t n = 10000;
  double sum = 0;
  int64_t fixed = 0, neighbours = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t a = lm_shuffle(i, n, 5), b = lm_shuffle((i + 1) % n, n, 5);
    sum += (double)((i - n / 2) * (a - n / 2));
    fixed += a == i;
    neighbours += b == a + 1;
  }
  double correlation = sum / (double)n / ((double)(n * n) / 12);
  EXPECT_TRUE(std::abs(correlation) < 0.05) << correlation;
  EXPECT_TRUE(fixed < 12 && neighbours < 12) << fixed << " " << neighbours;
}

class LmBatches : public testing::Test {
 protected:
  LmBatches() : bytes(1003) {
    std::iota(bytes.begin(), bytes.end(), (uint8_t)0);
    add(bytes.size());
  }
  ~LmBatches() {
    lm_batches_close(&b);
    lm_parts_free(&text);
  }
  void add(size_t count) {
    EXPECT_TRUE(lm_parts_add(&text, {bytes.data(), (int64_t)count, 1}, err)) << err;
  }
  // Opens anew.
  bool open(int64_t seq, uint64_t seed) {
    lm_batches_close(&b);
    return lm_batches_open(&b, &text, seq, seed, err);
  }
  std::vector<uint8_t> bytes;
  lm_parts text = {};
  lm_batches b = {};
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmBatches, TargetsAreTheNextBytes) {
  ASSERT_TRUE(open(10, 1)) << err;
  std::vector<int32_t> x(40), y(40);
  lm_batches_next(&b, 4, x.data(), y.data());
  for (int row = 0; row < 4; row++)
    for (int t = 0; t < 10; t++) {
      if (t < 9) {
        EXPECT_EQ(x[(size_t)(row * 10 + t + 1)], y[(size_t)(row * 10 + t)]);
      }
      EXPECT_EQ((x[(size_t)(row * 10 + t)] + 1) % 256, y[(size_t)(row * 10 + t)]);
    }
  EXPECT_EQ(b.position, 4);
}

TEST_F(LmBatches, EveryWindowOnceAnEpochAndInsideTheText) {
  for (int64_t seq : {1, 7, 10, 100, 334, 500, 501, 1002}) {
    ASSERT_TRUE(open(seq, 1)) << err;
    for (int64_t epoch = 0; epoch < 5; epoch++) {
      std::set<int64_t> begin;
      for (int64_t i = 0; i < b.windows; i++) {
        int64_t at = lm_batches_place(&b, epoch * b.windows + i).begin;
        ASSERT_TRUE(at >= 0 && at + seq + 1 <= text.count) << seq << " at " << at;
        EXPECT_EQ(at % seq, *begin.insert(at).first % seq);
      }
      EXPECT_EQ((int64_t)begin.size(), b.windows);
      EXPECT_EQ(*begin.rbegin() - *begin.begin(), (b.windows - 1) * seq);
    }
  }
}

TEST_F(LmBatches, EpochsAndSeedsDiffer) {
  ASSERT_TRUE(open(10, 1));
  std::set<std::vector<int64_t>> orders;
  for (uint64_t seed = 0; seed < 3; seed++)
    for (int64_t epoch = 0; epoch < 3; epoch++) {
      std::vector<int64_t> order;
      b.seed = seed;
      for (int64_t i = 0; i < b.windows; i++)
        order.push_back(lm_batches_place(&b, epoch * b.windows + i).begin);
      orders.insert(order);
    }
  EXPECT_EQ(orders.size(), 9u);
}

TEST_F(LmBatches, ThePositionIsTheWholeState) {
  ASSERT_TRUE(open(10, 4));
  std::vector<int32_t> all(10 * 300), part(10 * 300);
  lm_batches_next(&b, 300, all.data(), nullptr); /* over three epochs */
  for (int64_t stop : {0, 1, 98, 99, 100, 250}) {
    lm_batches resumed;
    ASSERT_TRUE(lm_batches_open(&resumed, &text, 10, 4, err));
    resumed.position = stop;
    lm_batches_next(&resumed, 300 - stop, part.data(), nullptr);
    for (int64_t i = 0; i < (300 - stop) * 10; i++)
      ASSERT_EQ(part[(size_t)i], all[(size_t)(stop * 10 + i)]);
    lm_batches_close(&resumed);
  }
}

TEST_F(LmBatches, InOrder) {
  ASSERT_TRUE(open(10, 1));
  b.in_order = true;
  for (int64_t i = 0; i < b.windows; i++) EXPECT_EQ(lm_batches_place(&b, i).begin, 10 * i);
}

TEST_F(LmBatches, WindowsOfAllPartsOnceAnEpochAndWithinOne) {
  for (int64_t count : {5, 10, 11, 500, 34}) add((size_t)count);
  ASSERT_TRUE(open(10, 3));
  EXPECT_EQ(b.windows, 99 + 0 + 0 + 1 + 49 + 2);
  for (int64_t epoch = 0; epoch < 4; epoch++) {
    std::set<std::pair<int64_t, int64_t>> seen;
    for (int64_t i = 0; i < b.windows; i++) {
      lm_place at = lm_batches_place(&b, epoch * b.windows + i);
      ASSERT_TRUE(at.part >= 0 && at.part < text.parts);
      ASSERT_TRUE(at.begin >= 0 && at.begin + 11 <= text.part[at.part].count);
      seen.insert({at.part, at.begin});
    }
    EXPECT_EQ((int64_t)seen.size(), b.windows);
  }
  b.in_order = true;
  int64_t last = -1;
  for (int64_t i = 0; i < b.windows; i++) {
    lm_place at = lm_batches_place(&b, i);
    int64_t key = at.part * 100000 + at.begin;
    EXPECT_LT(last, key);
    last = key;
  }
}

TEST_F(LmBatches, TokensOfAnyWidthAreRead) {
  std::vector<uint16_t> two(100);
  std::vector<uint32_t> four(100);
  for (uint32_t i = 0; i < 100; i++) two[i] = (uint16_t)(60000 + i), four[i] = 100000 + i;
  lm_parts_free(&text);
  ASSERT_TRUE(lm_parts_add(&text, {two.data(), 100, 2}, err));
  ASSERT_TRUE(lm_parts_add(&text, {four.data(), 100, 4}, err));
  ASSERT_TRUE(open(99, 1));
  std::vector<int32_t> x(2 * 99), y(2 * 99);
  b.in_order = true;
  lm_batches_next(&b, 2, x.data(), y.data());
  EXPECT_EQ(x[0], 60000);
  EXPECT_EQ(y[98], 60099);
  EXPECT_EQ(x[99], 100000);
  EXPECT_EQ(y[2 * 99 - 1], 100099);
}

TEST(LmDocumentOffsets, RowsAndTheTokensThatEndADocument) {
  const std::vector<int32_t> tokens = {1, 2, 0, 4, /* */ 0, 6, 7, 0, /* */ 9, 9, 9, 9};
  std::vector<int64_t> offsets(13);
  ASSERT_EQ(lm_document_offsets(tokens.data(), 3, 4, 0, offsets.data()), 5);
  offsets.resize(6);
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 2, 4, 7, 8, 12}));
}

TEST_F(LmBatches, ShortTextsSayWhatTheyNeed) {
  EXPECT_FALSE(open(1003, 1));
  EXPECT_STREQ(err,
               "the text has 1003 tokens in a row, and one window of 1003 takes 1004: "
               "give more text or shorter windows");
  EXPECT_TRUE(open(1002, 1));
  EXPECT_FALSE(open(0, 1));
  EXPECT_FALSE(open(INT64_MAX, 1));
}

}  // namespace
