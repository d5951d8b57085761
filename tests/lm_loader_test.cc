// The loader: the same batches in the same order, errors passed on, a clean end at any moment.
#include "examples/lm/loader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

namespace {

struct Source {
  int32_t next = 0, fail_at = 1000000;
  useconds_t slow = 0;
  std::atomic<int> made{0};

  static bool fill(void *user, int32_t *batch, char *err) {
    Source *s = static_cast<Source *>(user);
    if (s->slow) usleep(s->slow);
    if (s->next == s->fail_at) return lm_fail(err, "batch %d cannot be read", s->next);
    for (int i = 0; i < 64; i++) batch[i] = s->next;
    s->next++, s->made++;
    return true;
  }
};

TEST(LmLoader, EveryBatchOnceInOrderAndNoneChangesUnderTheCaller) {
  for (useconds_t slow : {0, 200})
    for (useconds_t step : {0, 200}) {
      Source s;
      s.slow = slow;
      char err[LM_ERROR_SIZE] = "";
      lm_loader *l = lm_loader_new(Source::fill, &s, 64, err);
      ASSERT_TRUE(l) << err;
      for (int32_t i = 0; i < 300; i++) {
        const int32_t *batch = lm_loader_next(l, err);
        ASSERT_TRUE(batch) << err;
        if (step) usleep(step);
        for (int j = 0; j < 64; j++) ASSERT_EQ(batch[j], i);
      }
      lm_loader_free(l);
      EXPECT_LE(s.made, 302); /* never more than one ahead of the caller's */
    }
}

TEST(LmLoader, AFailureComesAfterTheBatchesBeforeIt) {
  for (int32_t at : {0, 1, 2, 5}) {
    Source s;
    s.fail_at = at;
    char err[LM_ERROR_SIZE] = "";
    lm_loader *l = lm_loader_new(Source::fill, &s, 64, err);
    for (int32_t i = 0; i < at; i++) {
      const int32_t *batch = lm_loader_next(l, err);
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch[0], i);
    }
    for (int i = 0; i < 2; i++) {
      EXPECT_EQ(lm_loader_next(l, err), nullptr);
      EXPECT_EQ(std::string(err), "batch " + std::to_string(at) + " cannot be read");
    }
    lm_loader_free(l);
  }
}

TEST(LmLoader, EndsAtAnyMoment) {
  for (int i = 0; i < 200; i++) {
    Source s;
    s.slow = (useconds_t)(i % 4 * 30);
    s.fail_at = i % 3 ? 1000000 : i % 5;
    char err[LM_ERROR_SIZE] = "";
    lm_loader *l = lm_loader_new(Source::fill, &s, 64, err);
    ASSERT_TRUE(l) << err;
    for (int j = 0; j < i % 7; j++) lm_loader_next(l, err);
    lm_loader_free(l);
  }
  lm_loader_free(nullptr);
}

}  // namespace
