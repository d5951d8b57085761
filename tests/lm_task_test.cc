// The tasks: every question can be answered from the example, choices are spread as they should be,
// examples are a function of their number, and the splits never meet.
#include "examples/lm/task.h"

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "tests/lm_util.h"

namespace {

struct Example {
  std::vector<int32_t> input, target;
  // Places that count.
  std::vector<size_t> asked() const {
    std::vector<size_t> at;
    for (size_t t = 0; t < target.size(); t++)
      if (target[t] != LM_NOT_COUNTED) at.push_back(t);
    return at;
  }
};

const lm_task *find(const char *name) {
  char err[LM_ERROR_SIZE] = "";
  const lm_task *task = lm_task_find(name, err);
  EXPECT_TRUE(task) << err;
  return task;
}

lm_task_shape shape_of(const char *name, int64_t length = 0, int64_t pairs = 0, double depth = -1) {
  char err[LM_ERROR_SIZE] = "";
  lm_task_shape s = {};
  s.length = length, s.pairs = pairs, s.depth = depth, s.rewrites = -1;
  EXPECT_TRUE(lm_task_resolve(find(name), &s, err)) << err;
  return s;
}

Example make(const char *name, const lm_task_shape &s, int64_t index,
             lm_split split = LM_SPLIT_TRAIN, uint64_t seed = 1) {
  Example e;
  e.input.resize((size_t)s.length, -7);
  e.target.resize((size_t)s.length, -7);
  lm_task_example(find(name), &s, seed, split, index, e.input.data(), e.target.data());
  return e;
}

// The last value that was written behind `key` among the first `context` tokens.
int32_t written_last(const Example &e, size_t context, int32_t key) {
  int32_t value = -1;
  for (size_t t = 0; t < context; t += 2)
    if (e.input[t] == key) value = e.input[t + 1];
  return value;
}

// Is a count that should be n p (of n) within five standard deviations?
void expect_rate(double count, double n, double p, const char *what) {
  EXPECT_TRUE(std::abs(count - n * p) <= 5 * std::sqrt(n * p * (1 - p)) + 1)
      << what << ": " << count << " of " << n << ", expected " << n * p;
}

TEST(LmTask, AllAreWithinTheirVocabularyAndCountAlike) {
  for (const lm_task *const *task = lm_tasks; *task; task++) {
    const char *name = (*task)->name;
    lm_task_shape s = shape_of(name);
    size_t count = make(name, s, 0).asked().size();
    EXPECT_GT(count, 0u) << name;
    for (int64_t i = 0; i < 100; i++) {
      Example e = make(name, s, i, i % 2 ? LM_SPLIT_TEST : LM_SPLIT_TRAIN);
      EXPECT_EQ(e.asked().size(), count) << name;
      for (int64_t t = 0; t < s.length; t++) {
        ASSERT_TRUE(e.input[(size_t)t] >= 0 && e.input[(size_t)t] < s.vocab) << name << " " << t;
        int32_t y = e.target[(size_t)t];
        ASSERT_TRUE(y == LM_NOT_COUNTED || (y >= 0 && y < s.vocab)) << name << " " << t;
      }
    }
  }
}

TEST(LmTask, AnExampleIsAFunctionOfItsNumber) {
  for (const lm_task *const *task = lm_tasks; *task; task++) {
    const char *name = (*task)->name;
    lm_task_shape s = shape_of(name);
    std::set<std::vector<int32_t>> all;
    for (int64_t i = 20; i-- > 0;) {
      Example a = make(name, s, i), b = make(name, s, i);
      EXPECT_EQ(a.input, b.input);
      EXPECT_EQ(a.target, b.target);
      all.insert(a.input);
      all.insert(make(name, s, i, LM_SPLIT_TRAIN, 2).input);
    }
    EXPECT_EQ(all.size(), 40u) << name;
  }
}

// Where examples are so few that they must come again, none is ever in both.
TEST(LmTask, SplitsNeverMeet) {
  lm_task_shape s = shape_of("parity", 16);
  std::set<std::vector<int32_t>> train, test;
  for (int64_t i = 0; i < 30000; i++) train.insert(make("parity", s, i).input);
  for (int64_t i = 0; i < 10000; i++)
    test.insert(make("parity", s, i, LM_SPLIT_TEST, (uint64_t)(i % 3)).input);
  for (const auto &e : test) ASSERT_FALSE(train.count(e));
  // 30000 draws of 7/8 of 65536 sequences, 10000 of the rest, hit about these
  EXPECT_NEAR((double)train.size(), 57344 * (1 - std::exp(-30000.0 / 57344)), 500);
  EXPECT_NEAR((double)test.size(), 8192 * (1 - std::exp(-10000.0 / 8192)), 200);
}

TEST(LmTask, MqarAsksEachKeyOnceForItsValue) {
  for (auto [length, pairs] : {std::pair{64, 4}, {128, 8}, {256, 64}, {16, 4}}) {
    lm_task_shape s = shape_of("mqar", length, pairs);
    for (int64_t i = 0; i < 200; i++) {
      Example e = make("mqar", s, i);
      size_t context = (size_t)(2 * pairs);
      std::set<int32_t> keys, values, queries;
      for (size_t t = 0; t < context; t += 2) {
        keys.insert(e.input[t]);
        values.insert(e.input[t + 1]);
        EXPECT_TRUE(e.input[t] >= 1 && e.input[t] < 4096 && e.input[t + 1] >= 4096);
      }
      EXPECT_EQ(keys.size(), (size_t)pairs);
      EXPECT_EQ(values.size(), (size_t)pairs);
      for (size_t t : e.asked()) {
        EXPECT_TRUE(t >= context && (t - context) % 2 == 0);
        EXPECT_EQ(e.target[t], written_last(e, context, e.input[t]));
        queries.insert(e.input[t]);
      }
      EXPECT_EQ(queries, keys);
      for (size_t t = context; t < e.input.size(); t++)
        if (e.target[t] == LM_NOT_COUNTED) ASSERT_FALSE(keys.count(e.input[t])) << "noise is a key";
    }
  }
}

TEST(LmTask, ForgettingCountsTheLastValue) {
  lm_task_shape s = shape_of("mqar_forget");
  EXPECT_EQ(s.rewrites, 4);
  int64_t again = 0;
  for (int64_t i = 0; i < 500; i++) {
    Example e = make("mqar_forget", s, i);
    std::map<int32_t, int> times;
    std::set<int32_t> values;
    for (size_t t = 0; t < 24; t += 2) times[e.input[t]]++, values.insert(e.input[t + 1]);
    EXPECT_EQ(times.size(), 8u);
    EXPECT_EQ(values.size(), 12u);
    EXPECT_EQ(e.asked().size(), 8u);
    for (size_t t : e.asked()) {
      EXPECT_EQ(e.target[t], written_last(e, 24, e.input[t]));
      EXPECT_LE(times[e.input[t]], 2);
    }
    again += times[e.input[0]] == 2;
  }
  expect_rate((double)again, 500, 0.5, "the first key is written again");
}

// Weighted draws without replacement: the first query is at gap g with the weight of g.
TEST(LmTask, MqarGapsFollowThePowerLaw) {
  lm_task_shape s = shape_of("mqar", 32, 1);
  const int64_t n = 20000, places = 15;
  std::vector<double> count((size_t)places);
  double total = 0;
  for (int64_t i = 0; i < n; i++) count[(make("mqar", s, i).asked()[0] - 2) / 2]++;
  for (int64_t g = 0; g < places; g++) total += std::pow((double)g + 1, 0.01 - 1);
  for (int64_t g = 0; g < places; g++)
    expect_rate(count[(size_t)g], (double)n, std::pow((double)g + 1, 0.01 - 1) / total, "gap");
}

TEST(LmTask, MqarTokensAreSpreadEvenly) {
  char err[LM_ERROR_SIZE];
  lm_task_shape s = {};
  s.length = 32, s.pairs = 3, s.vocab = 16, s.rewrites = -1, s.depth = -1;
  ASSERT_TRUE(lm_task_resolve(find("mqar"), &s, err)) << err;
  const int64_t n = 20000;
  std::map<int32_t, double> key, value, together;
  for (int64_t i = 0; i < n; i++) {
    Example e = make("mqar", s, i);
    for (int t = 0; t < 6; t += 2) key[e.input[t]]++, value[e.input[t + 1]]++;
    together[e.input[0] * 16 + e.input[2]]++;
  }
  for (int32_t k = 1; k < 8; k++) expect_rate(key[k], (double)n, 3.0 / 7, "key");
  for (int32_t v = 8; v < 16; v++) expect_rate(value[v], (double)n, 3.0 / 8, "value");
  EXPECT_EQ(together.size(), 42u);
  for (const auto &[pair, count] : together) expect_rate(count, (double)n, 1.0 / 42, "two keys");
}

TEST(LmTask, BlanksInsteadOfNoise) {
  lm_task_shape s = shape_of("mqar");
  s.blank = true;
  Example e = make("mqar", s, 3);
  for (size_t t = 16; t < e.input.size(); t++)
    EXPECT_EQ(e.input[t] == 0, e.target[t] == LM_NOT_COUNTED);
}

TEST(LmTask, NeedlesAreWhereDepthSays) {
  for (int64_t pairs : {1, 5, 84})
    for (double depth : {0.0, 0.25, 1.0}) {
      lm_task_shape s = shape_of("needle", 256, pairs, depth);
      for (int64_t i = 0; i < 50; i++) {
        Example e = make("needle", s, i);
        ASSERT_EQ(e.asked(), std::vector<size_t>{255});
        int32_t key = e.input[255];
        size_t at = 2 + 3 * (size_t)std::lrint(depth * 83);  // 254 = 2 + 84 places of 3
        EXPECT_EQ(e.input[254], 0);
        EXPECT_EQ(e.input[at], 1);
        EXPECT_EQ(e.input[at + 1], key);
        EXPECT_EQ(e.input[at + 2], e.target[255]);
        int64_t needles = 0, same = 0;
        for (size_t t = 0; t < 254; t++) needles += e.input[t] == 1, same += e.input[t] == key;
        EXPECT_EQ(needles, pairs);
        // a key is said once; as noise it never comes
        EXPECT_EQ(same, 1);
      }
    }
}

TEST(LmTask, NeedlesAnywhere) {
  lm_task_shape s = shape_of("needle", 50, 2);
  std::map<size_t, double> place;
  for (int64_t i = 0; i < 16000; i++) {
    Example e = make("needle", s, i);
    for (size_t t = 0; t < 48; t++)
      if (e.input[t] == 1 && e.input[t + 1] == e.input[49]) place[t / 3]++;
  }
  EXPECT_EQ(place.size(), 16u);
  for (const auto &[at, count] : place) expect_rate(count, 16000, 1.0 / 16, "place");
}

std::string text_of(const Example &e) {
  std::string text;
  for (int32_t byte : e.input) text += (char)byte;
  for (size_t t : e.asked())
    if (t + 1 == e.input.size()) text += (char)e.target[t];
  return text;
}

TEST(LmTask, TextNeedlesReadWell) {
  for (auto [length, pairs] : {std::pair{256, 1}, {1000, 1}, {3001, 20}})
    for (double depth : {0.0, 0.5, 1.0}) {
      lm_task_shape s = shape_of("needle_text", length, pairs, depth);
      for (int64_t i = 0; i < 20; i++) {
        Example e = make("needle_text", s, i);
        std::string text = text_of(e), ask = "\nThe special magic number for ";
        size_t question = text.find(ask);
        ASSERT_TRUE(question != std::string::npos && text.size() == (size_t)length + 1);
        std::string key = text.substr(question + ask.size());
        std::string number = text.substr(text.size() - 7);
        key = key.substr(0, key.find(" is: "));
        ASSERT_EQ(text.substr(question), ask + key + " is: " + number);
        std::string needle =
            "One of the special magic numbers for " + key + " is: " + number + ". ";
        size_t at = text.find(needle);
        ASSERT_NE(at, std::string::npos) << text;
        EXPECT_EQ(text.find(needle, at + 1), std::string::npos);
        if (depth == 0) EXPECT_TRUE(pairs > 1 || at == 0);
        if (depth == 1) EXPECT_TRUE(pairs > 1 || at + needle.size() == question);
        if (depth == 0.5 && pairs == 1)
          EXPECT_NEAR((double)at, (double)(question - needle.size()) / 2, 64);
        std::set<std::string> keys;
        const std::string lead = "One of the special magic numbers for ";
        for (size_t p = text.find(lead); p != std::string::npos; p = text.find(lead, p + 1))
          keys.insert(text.substr(p + lead.size(), text.find(" is: ", p) - p - lead.size()));
        EXPECT_EQ((int64_t)keys.size(), pairs);
        // targets are the digits, each one place before it is read
        std::vector<size_t> asked = e.asked();
        ASSERT_EQ(asked.size(), 7u);
        for (size_t d = 0; d < 7; d++) {
          EXPECT_EQ(asked[d], (size_t)length - 7 + d);
          EXPECT_EQ(e.target[asked[d]], number[d]);
        }
      }
    }
}

TEST(LmTask, CopySaysTheTokensInOrder) {
  lm_task_shape s = shape_of("copy", 60, 10);
  std::vector<double> at(50);
  for (int64_t i = 0; i < 5000; i++) {
    Example e = make("copy", s, i);
    std::vector<int32_t> said, wanted;
    for (size_t t = 0; t < 50; t++)
      if (e.input[t] != 0) said.push_back(e.input[t]), at[t]++;
    for (size_t t : e.asked()) {
      EXPECT_EQ(e.input[t], 1);
      wanted.push_back(e.target[t]);
    }
    ASSERT_EQ(said.size(), 10u);
    EXPECT_EQ(said, wanted);
  }
  for (double count : at) expect_rate(count, 5000, 0.2, "place");
}

TEST(LmTask, ParityAndPermutationsKeepTrack) {
  static const int P[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  lm_task_shape parity = shape_of("parity", 100), s3 = shape_of("s3", 100);
  for (int64_t i = 0; i < 100; i++) {
    Example e = make("parity", parity, i);
    int32_t ones = 0;
    for (size_t t = 0; t < 100; t++) EXPECT_EQ(e.target[t], (ones += e.input[t]) % 2);
    e = make("s3", s3, i);
    int thing[3] = {0, 1, 2};  // where each of three things is now
    for (size_t t = 0; t < 100; t++) {
      for (int &x : thing) x = P[e.input[t]][x];
      for (int j = 0; j < 3; j++) ASSERT_EQ(P[e.target[t]][j], thing[j]);
    }
  }
}

TEST(LmTask, ShapesThatCannotBeAreRefused) {
  struct {
    const char *task;
    int64_t length, pairs, vocab, rewrites;
    double depth;
    const char *message;
  } bad[] = {
      {"mqar", 8, 0, 0, -1, -1, "mqar: length must be from 16 to 16777216 here, not 8"},
      {"mqar", 64, 17, 0, -1, -1, "mqar: pairs must be from 1 to 16 here, not 17"},
      {"mqar", 128, 8, 10, -1, -1, "mqar: pairs must be from 1 to 4 here, not 8"},
      {"mqar", 32, 8, 0, 1, -1, "mqar: rewrites must be from 0 to 0 here, not 1"},
      {"mqar", 64, -1, 0, -1, -1, "pairs must be from 0"},
      {"mqar", 64, 4, -8, -1, -1, "vocab must be from 2"},
      {"copy", 32, 17, 0, -1, -1, "copy: pairs must be from 1 to 16 here, not 17"},
      {"parity", 64, 2, 0, -1, -1, "parity: there are no pairs in this task"},
      {"s3", 64, 0, 7, -1, -1, "s3: vocab must be from 6 to 6 here, not 7"},
      {"needle", 64, 21, 0, -1, -1, "needle: pairs must be from 1 to 20 here, not 21"},
      {"needle", 64, 1, 0, -1, 1.5, "needle: depth must be at most 1"},
      {"needle_text", 255, 1, 0, -1, -1, "needle_text: length must be from 256"},
      {"needle_text", 1024, 1, 255, -1, -1, "needle_text: vocab must be from 256"},
  };
  for (const auto &b : bad) {
    char err[LM_ERROR_SIZE] = "";
    lm_task_shape s = {};
    s.length = b.length, s.pairs = b.pairs, s.vocab = b.vocab, s.rewrites = b.rewrites;
    s.depth = b.depth;
    EXPECT_FALSE(lm_task_resolve(find(b.task), &s, err)) << b.message;
    EXPECT_CONTAINS(err, b.message);
  }
  char err[LM_ERROR_SIZE] = "";
  EXPECT_FALSE(lm_task_find("mqra", err));
  EXPECT_STREQ(err, "there is no task 'mqra'; did you mean 'mqar'?");
}

}  // namespace
