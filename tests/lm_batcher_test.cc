// Texts continued together: each gets what it would get alone, whenever it comes and goes.
#include "examples/lm/batcher.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tests/lm_util.h"

namespace {

struct Text : lm_sequence {
  std::vector<int32_t> read, out;
  std::vector<float> of; /* the logit of each token of `out` */
  int64_t without = 0, stop_at = -1;
  int ends = 0;
  std::string error;
  std::shared_ptr<lm_sampler> sampling;

  Text(std::vector<int32_t> prompt_, int64_t tokens, double temperature = 0, uint64_t seed = 1,
       bool scored = false)
      : lm_sequence(), read(std::move(prompt_)) {
    char err[LM_ERROR_SIZE];
    sampling.reset(
        lm_sampler_new(lm_sampler_opts{.temperature = temperature, .seed = seed}, 256, err),
        lm_sampler_free);
    prompt = read.data(), prompt_count = (int64_t)read.size();
    most = tokens, sampler = sampling.get(), score = scored, user = this;
    token = [](lm_sequence *s, int32_t t, const float *logits) {
      Text *self = (Text *)s->user;
      EXPECT_EQ(self->ends, 0);
      self->out.push_back(t);
      self->of.push_back(logits ? logits[t] : NAN);
      self->without += logits == nullptr;
      return (int64_t)self->out.size() == self->stop_at ? LM_STOP : LM_GO_ON;
    };
    done = [](lm_sequence *s, const char *why) {
      Text *self = (Text *)s->user;
      self->ends++;
      self->error = why ? why : "";
    };
  }
  Text(const Text &) = delete;
};

std::vector<int32_t> prompt_of(int64_t length, int seed) {
  std::vector<int32_t> p;
  for (int64_t i = 0; i < length; i++) p.push_back((int32_t)((i * 31 + seed * 17 + i * i) % 256));
  return p;
}

class LmBatcher : public testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(lm_context_open(&ctx, "cpu", 1, 5, err)) << err;
    rill_lm_config c;
    ASSERT_TRUE(rill_lm_preset(GetParam(), &c));
    c.vocab = 256, c.width = 16, c.layers = 2, c.heads = 2, c.hidden = 16, c.std = 0.4;
    ASSERT_TRUE(lm_model_new(&model, ctx, &c, RILL_F32)) << rill_error(ctx);
  }
  void TearDown() override {
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    rill_context_free(ctx);
  }
  lm_batcher *batcher(int64_t slots, int64_t piece) {
    lm_batcher *b = lm_batcher_new(&model, slots, piece, err);
    EXPECT_NE(b, nullptr) << err;
    return b;
  }
  void alone(Text &t, int64_t piece = 1000) {
    lm_batcher *b = batcher(1, piece);
    lm_batcher_add(b, &t);
    while (lm_batcher_turn(b)) continue;
    EXPECT_EQ(t.ends, 1);
    lm_batcher_free(b);
  }
  rill_context *ctx = nullptr;
  lm_model model;
  char err[LM_ERROR_SIZE] = "";
};

TEST_P(LmBatcher, TogetherAsAlone) {
  std::vector<std::unique_ptr<Text>> one, all;
  for (int i = 0; i < 12; i++)
    for (auto *list : {&one, &all})
      list->push_back(std::make_unique<Text>(prompt_of(1 + i * 7 % 40, i % 4), 3 + i * 5 % 17,
                                             i % 3 * 0.7, (uint64_t)i));
  for (auto &t : one) alone(*t);
  for (int64_t slots : {3, 5, 12}) {
    for (auto &t : all) {
      t->out.clear(), t->drawn = 0, t->ends = 0;
      lm_sampler_set_draws(t->sampler, 0);
    }
    lm_batcher *b = batcher(slots, 16);
    size_t added = 0;
    do { /* they come one after the other */
      if (added < all.size()) lm_batcher_add(b, all[added++].get());
      EXPECT_LE(lm_batcher_running(b), slots + 1);
    } while (lm_batcher_turn(b) || added < all.size());
    EXPECT_EQ(lm_batcher_running(b) + lm_batcher_waiting(b), 0);
    for (size_t i = 0; i < all.size(); i++) {
      EXPECT_EQ(all[i]->ends, 1);
      EXPECT_EQ(all[i]->out, one[i]->out) << slots << " slots, text " << i;
      EXPECT_EQ(all[i]->error, "");
    }
    lm_batcher_free(b);
  }
}

TEST_P(LmBatcher, ScoresThePromptInPieces) {
  Text whole(prompt_of(50, 1), 4, 0, 1, true), pieces(prompt_of(50, 1), 4, 0, 1, true),
      only(prompt_of(50, 1), 0, 0, 1, true), tail(prompt_of(50, 1), 4);
  alone(whole);
  alone(pieces, 7);
  alone(only, 13);
  alone(tail);
  ASSERT_EQ(whole.out.size(), 54u);
  EXPECT_EQ(whole.without, 1);
  EXPECT_EQ(whole.out, pieces.out);
  EXPECT_TRUE(std::equal(whole.read.begin(), whole.read.end(), whole.out.begin()));
  EXPECT_EQ(std::vector<int32_t>(whole.out.begin() + 50, whole.out.end()), tail.out);
  EXPECT_EQ(only.out, only.read);
  for (size_t i = 1; i < 54; i++) {
    EXPECT_NEAR(whole.of[i], pieces.of[i], 1e-4) << i;
    if (i < 50) EXPECT_NEAR(whole.of[i], only.of[i], 1e-4) << i;
  }
}

TEST_P(LmBatcher, ForksReadTheirPromptOnce) {
  Text a(prompt_of(20, 2), 10, 0.9, 7), b(prompt_of(20, 2), 6, 0.9, 8),
      c(prompt_of(20, 2), 12, 0, 9), a1(a.read, 10, 0.9, 7), b1(a.read, 6, 0.9, 8),
      c1(a.read, 12, 0, 9), early(prompt_of(9, 1), 30), early1(prompt_of(9, 1), 30);
  for (Text *t : {&a1, &b1, &c1, &early1}) alone(*t);
  a.fork = &b, b.fork = &c;
  lm_batcher *batch = batcher(4, 8);
  lm_batcher_add(batch, &early);
  lm_batcher_add(batch, &a);
  while (lm_batcher_turn(batch)) continue;
  EXPECT_EQ(a.out, a1.out);
  EXPECT_EQ(b.out, b1.out);
  EXPECT_EQ(c.out, c1.out);
  EXPECT_EQ(early.out, early1.out);
  EXPECT_EQ(a.ends + b.ends + c.ends, 3);
  lm_batcher_free(batch);
}

TEST_P(LmBatcher, StopsAndCancels) {
  Text stops(prompt_of(5, 1), 30), leaves(prompt_of(6, 2), 30), waits(prompt_of(7, 3), 30),
      whole(prompt_of(8, 4), 30), scored(prompt_of(60, 4), 5, 0, 1, true),
      fork(scored.read, 5, 0, 1, true), whole1(prompt_of(8, 4), 30);
  stops.stop_at = 3, scored.stop_at = 20;
  scored.fork = &fork;
  alone(whole1);
  lm_batcher *b = batcher(2, 10);
  for (Text *t : {&stops, &leaves, &waits, &whole, &scored}) lm_batcher_add(b, t);
  for (int i = 0; i < 5; i++) lm_batcher_turn(b);
  EXPECT_EQ(stops.ends, 1);
  EXPECT_EQ(stops.out.size(), 3u);
  leaves.cancelled = true, waits.cancelled = true;
  while (lm_batcher_turn(b)) continue;
  EXPECT_LT(leaves.out.size(), 30u);
  EXPECT_EQ(whole.out, whole1.out);
  EXPECT_EQ(scored.out.size(), 20u);
  EXPECT_EQ(fork.out.size(), 65u);
  for (Text *t : {&stops, &leaves, &waits, &whole, &scored, &fork}) EXPECT_EQ(t->ends, 1);
  lm_batcher_free(b);
}

TEST_P(LmBatcher, AFailureEndsWhatRanAndNoMore) {
  Text bad(prompt_of(5, 1), 30), good(prompt_of(6, 2), 9), later(prompt_of(6, 2), 9),
      good1(prompt_of(6, 2), 9), left(prompt_of(3, 3), 9);
  bad.read[2] = 9999; /* no such token */
  alone(good1);
  lm_batcher *b = batcher(2, 10);
  lm_batcher_add(b, &good);
  lm_batcher_turn(b);
  lm_batcher_add(b, &bad);
  lm_batcher_turn(b);
  EXPECT_EQ(bad.ends, 1);
  EXPECT_CONTAINS(bad.error, "9999");
  EXPECT_EQ(good.ends, 1);
  EXPECT_FALSE(lm_batcher_turn(b));
  lm_batcher_add(b, &later);
  while (lm_batcher_turn(b)) continue;
  EXPECT_EQ(later.out, good1.out);
  lm_batcher_add(b, &left);
  lm_batcher_turn(b);
  lm_batcher_free(b);
  EXPECT_EQ(left.ends, 1);
  EXPECT_CONTAINS(left.error, "ending");
}

INSTANTIATE_TEST_SUITE_P(Kinds, LmBatcher, testing::Values("rdn", "gla", "retnet", "transformer"),
                         [](const auto &info) { return std::string(info.param); });

}  // namespace
