// The sampler: each filter by its definition, the draws by their frequencies.
#include "examples/lm/sampler.h"

#include <cmath>
#include <set>
#include <vector>

#include "tests/lm_util.h"

namespace {

struct Sampler {
  char err[LM_ERROR_SIZE] = "";
  lm_sampler *s;
  Sampler(lm_sampler_opts o, int64_t vocabulary) : s(lm_sampler_new(o, vocabulary, err)) {}
  ~Sampler() { lm_sampler_free(s); }
  int32_t next(const std::vector<float> &logits) {
    int32_t token = -1;
    EXPECT_TRUE(lm_sampler_next(s, logits.data(), &token, err)) << err;
    return token;
  }
  std::vector<double> frequencies(const std::vector<float> &logits, int draws) {
    std::vector<double> f(logits.size());
    for (int i = 0; i < draws; i++) f[(size_t)next(logits)] += 1.0 / draws;
    return f;
  }
};

lm_sampler_opts plain(uint64_t seed = 1) {
  lm_sampler_opts o = {};
  o.temperature = 1, o.seed = seed;
  return o;
}

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.25f),
                                    std::log(0.05f)};

std::set<int> support(lm_sampler_opts o) {
  Sampler s(o, 5);
  std::set<int> seen;
  for (int i = 0; i < 2000; i++) seen.insert(s.next(kLogits));
  return seen;
}

TEST(LmSampler, GreedyAtTemperatureZero) {
  lm_sampler_opts o = plain();
  o.temperature = 0;
  Sampler s(o, 5);
  EXPECT_EQ(s.next(kLogits), 1);
  EXPECT_EQ(s.next({3, 7, 7, 1, 0}), 1) << "the first of equal ones";
  EXPECT_EQ(s.next({-INFINITY, -INFINITY, -3, -INFINITY, -INFINITY}), 2);
}

TEST(LmSampler, DrawsFollowTheProbabilities) {
  Sampler s(plain(), 5);
  std::vector<double> f = s.frequencies(kLogits, 40000);
  const double want[] = {0.1, 0.4, 0.2, 0.25, 0.05};
  for (size_t i = 0; i < 5; i++) EXPECT_NEAR(f[i], want[i], 0.012);
}

TEST(LmSampler, Temperature) {
  lm_sampler_opts o = plain();
  o.temperature = 0.5; /* squares the probabilities */
  Sampler s(o, 5);
  std::vector<double> f = s.frequencies(kLogits, 40000);
  EXPECT_NEAR(f[1] / f[3], 0.16 / 0.0625, 0.12);
  o.temperature = 1e-300;
  EXPECT_EQ(support(o), (std::set<int>{1}));
}

TEST(LmSampler, Filters) {
  lm_sampler_opts o = plain();
  o.top_k = 2;
  EXPECT_EQ(support(o), (std::set<int>{1, 3}));
  o.top_k = 100;
  EXPECT_EQ(support(o).size(), 5u);
  o = plain(), o.top_p = 0.5;
  EXPECT_EQ(support(o), (std::set<int>{1, 3}));
  o.top_p = 0.3;
  EXPECT_EQ(support(o), (std::set<int>{1}));
  o.top_p = 1e-9;
  EXPECT_EQ(support(o), (std::set<int>{1})) << "one always stays";
  o = plain(), o.min_p = 0.45;
  EXPECT_EQ(support(o), (std::set<int>{1, 2, 3}));
  o.min_p = 1;
  EXPECT_EQ(support(o), (std::set<int>{1}));
  o = plain(), o.top_k = 4, o.top_p = 0.95, o.min_p = 0.4;
  EXPECT_EQ(support(o), (std::set<int>{1, 2, 3}));
}

TEST(LmSampler, ExcludedTokensNeverCome) {
  Sampler s(plain(), 3);
  for (int i = 0; i < 500; i++) EXPECT_NE(s.next({1, -INFINITY, 1}), 1);
}

TEST(LmSampler, RepetitionPenalty) {
  lm_sampler_opts o = plain();
  o.temperature = 0, o.repetition_penalty = 2, o.penalty_window = 2;
  Sampler s(o, 3);
  EXPECT_EQ(s.next({4, 3, -1}), 0);
  EXPECT_EQ(s.next({4, 3, -1}), 1);               /* 2, 3, -1 */
  EXPECT_EQ(s.next({4, 3, -1}), 0);               /* 2, 1.5, -1 */
  lm_sampler_see(s.s, 2), lm_sampler_see(s.s, 2); /* the window holds only 2 now */
  EXPECT_EQ(s.next({1, 3, -1}), 1);
  lm_sampler_see(s.s, -1), lm_sampler_see(s.s, 3); /* no tokens: ignored */
  lm_sampler_see(s.s, 2), lm_sampler_see(s.s, 2);
  EXPECT_EQ(s.next({-1.5f, -1.8f, -1}), 0); /* -1 became -2 */
}

TEST(LmSampler, AFunctionOfSeedAndDraws) {
  Sampler a(plain(7), 5), b(plain(7), 5), c(plain(8), 5), d(plain(7), 5);
  std::vector<int32_t> x, y, z;
  for (int i = 0; i < 100; i++)
    x.push_back(a.next(kLogits)), y.push_back(b.next(kLogits)), z.push_back(c.next(kLogits));
  EXPECT_EQ(x, y);
  EXPECT_NE(x, z);
  EXPECT_EQ(lm_sampler_draws(a.s), 100u);
  lm_sampler_set_draws(d.s, 60);
  for (size_t i = 60; i < 100; i++) EXPECT_EQ(d.next(kLogits), x[i]);
}

TEST(LmSampler, BrokenLogits) {
  Sampler s(plain(), 3);
  int32_t token;
  for (std::vector<float> bad : {std::vector<float>{1, NAN, 1}, {1, 2, INFINITY}}) {
    EXPECT_FALSE(lm_sampler_next(s.s, bad.data(), &token, s.err));
    EXPECT_CONTAINS(s.err, "the logit of token");
  }
  std::vector<float> none(3, -INFINITY);
  EXPECT_FALSE(lm_sampler_next(s.s, none.data(), &token, s.err));
  EXPECT_CONTAINS(s.err, "every token is excluded");
}

TEST(LmSampler, BadOptions) {
  auto error = [](void (*change)(lm_sampler_opts *), int64_t vocabulary = 5) {
    lm_sampler_opts o = plain();
    change(&o);
    Sampler s(o, vocabulary);
    EXPECT_EQ(s.s, nullptr);
    return std::string(s.err);
  };
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->temperature = NAN; }), "temperature: expected");
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->temperature = -1; }), "got -1");
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->top_k = -1; }), "top-k");
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->top_p = 1.5; }), "top-p");
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->min_p = NAN; }), "min-p");
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->repetition_penalty = -1; }), "repetition");
  EXPECT_CONTAINS(error([](lm_sampler_opts *o) { o->penalty_window = -1; }), "penalty-window");
  EXPECT_CONTAINS(error([](lm_sampler_opts *) {}, 0), "vocabulary");
}

}  // namespace
