// The letter model: a distribution, sensible on known sources, never infinite.
#include "examples/lm/ngram.h"

#include <cmath>
#include <random>

#include "tests/lm_util.h"

namespace {

lm_text as_text(const std::string &s) { return {(const uint8_t *)s.data(), (int64_t)s.size()}; }

struct Model {
  char err[LM_ERROR_SIZE] = "";
  lm_ngram *model;
  explicit Model(const std::string &s) : model(lm_ngram_new(as_text(s), err)) {}
  ~Model() { lm_ngram_free(model); }
  double bits(const std::string &s) const { return lm_ngram_bits(model, as_text(s)); }
};

TEST(LmNgram, ProbabilitiesSumToOne) {
  std::string every_byte;
  for (int i = 0; i < 3000; i++) every_byte += (char)(i * i / 7);
  for (const std::string &train : {lm::prose(20000), every_byte, std::string("a")}) {
    Model m(train);
    ASSERT_NE(m.model, nullptr);
    for (const char *before : {"th", "e ", "zz", "\xff\xfe", "qt"})
      for (int known = 0; known <= 2; known++) {
        double sum = 0;
        for (int c = 0; c < 256; c++) {
          double p = lm_ngram_probability(m.model, (const uint8_t *)before + 2, known, (uint8_t)c);
          EXPECT_TRUE(p > 0 && p <= 1);
          sum += p;
        }
        EXPECT_NEAR(sum, 1, 1e-12);
      }
  }
}

TEST(LmNgram, ReachesTheEntropyOfItsSource) {
  std::mt19937 rng(1);
  std::string coin, chain;
  int state = 0;
  for (int i = 0; i < 400000; i++) {
    coin += "abcd"[rng() % 4];
    state = (state * 2 + (rng() % 8 == 0)) % 4; /* the next letter depends on the last two */
    chain += "wxyz"[state];
  }
  Model fair(coin.substr(0, 300000)), linked(chain.substr(0, 300000));
  EXPECT_NEAR(fair.bits(coin.substr(300000)), 2, 0.003);
  double entropy = -(7.0 / 8 * std::log2(7.0 / 8) + 1.0 / 8 * std::log2(1.0 / 8));
  EXPECT_NEAR(linked.bits(chain.substr(300000)), entropy, 0.02);
}

TEST(LmNgram, BeatsItsOwnPartsAndFixedWeights) {
  std::string text = lm::prose(120000);
  Model m(text.substr(0, 100000));
  double bits = m.bits(text.substr(100000));
  EXPECT_TRUE(bits > 0.5 && bits < 2) << bits; /* twelve words: about 0.9 bits a byte */
  Model short_one(text.substr(0, 1000));
  EXPECT_TRUE(short_one.bits(text.substr(100000)) > bits);
}

TEST(LmNgram, TextItHasNeverSeen) {
  Model m(lm::prose(10000));
  double bits = m.bits("\x01\x02\x03\x04\x05\x06");
  EXPECT_TRUE(std::isfinite(bits) && bits > 8) << bits;
  EXPECT_EQ(m.bits(""), 0);
}

TEST(LmNgram, Refusal) {
  Model m("");
  EXPECT_EQ(m.model, nullptr);
  EXPECT_CONTAINS(m.err, "needs text");
  lm_ngram_free(nullptr);
}

}  // namespace
