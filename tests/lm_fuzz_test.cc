// Files from strangers: the corpus of every format through its parser, and what becomes of each
// file when it is cut, its bytes changed, its words and numbers exchanged. In the sanitizer
// configurations this finds what a reader of memory must not do; here it finds crashes, hangs and
// lies.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "tests/fuzz/targets.h"

namespace {

using Bytes = std::vector<uint8_t>;
using rill_test::FuzzTarget;

std::vector<std::pair<std::string, Bytes>> corpus(const FuzzTarget &target) {
  std::vector<std::pair<std::string, Bytes>> all;
  std::string folder = std::string("tests/fuzz/corpus/") + target.name;
  if (!std::filesystem::is_directory(folder)) return all;
  for (const auto &entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    all.push_back({entry.path().filename().string(),
                   Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>())});
  }
  std::sort(all.begin(), all.end());
  return all;
}

// The bytes in memory of their own, so that a sanitizer sees one step too far.
bool accepts(const FuzzTarget &target, const Bytes &bytes) {
  Bytes tight(bytes);
  tight.shrink_to_fit();
  static const uint8_t nothing = 0;
  return target.accepts(tight.empty() ? &nothing : tight.data(), tight.size());
}

Bytes mutate(Bytes x, bool text, std::mt19937_64 &random) {
  static const char *const words[] = {"0",          "-1",      "1e308",   "9223372036854775807",
                                      "4294967296", "null",    "true",    "[]",
                                      "{}",         "\"\"",    "NaN",     "1.5",
                                      "[[",         "\\u0000", "\xff\xfe"};
  auto below = [&](size_t n) { return n ? random() % n : 0; };
  for (size_t i = 0, times = 1 + below(4); i < times; i++) {
    size_t at = below(x.size() + 1), kind = below(text ? 7 : 5);
    auto place = x.begin() + static_cast<std::ptrdiff_t>(at);
    if (kind == 0 && at < x.size()) x[at] ^= static_cast<uint8_t>(1u << below(8));
    if (kind == 1 && at < x.size()) x[at] = static_cast<uint8_t>(random());
    if (kind == 2) x.erase(place, x.end());
    if (kind == 3) x.erase(place, place + static_cast<std::ptrdiff_t>(below(x.size() - at + 1)));
    if (kind == 4 && !x.empty()) {
      size_t from = below(x.size()), count = std::min<size_t>(below(64), x.size() - from);
      Bytes part(x.begin() + static_cast<std::ptrdiff_t>(from),
                 x.begin() + static_cast<std::ptrdiff_t>(from + count));
      x.insert(place, part.begin(), part.end());
    }
    if (kind >= 5) {  // in place of a number or word
      std::string word = words[below(std::size(words))];
      size_t end = at;
      while (end < x.size() && (isalnum(x[end]) || x[end] == '.' || x[end] == '-')) end++;
      x.erase(place, x.begin() + static_cast<std::ptrdiff_t>(end));
      x.insert(x.begin() + static_cast<std::ptrdiff_t>(at), word.begin(), word.end());
    }
  }
  return x;
}

class LmFuzz : public testing::TestWithParam<FuzzTarget> {};

// Files named ok-... are good ones, all others are refused: neither all nor none is accepted.
TEST_P(LmFuzz, CorpusIsReadAsItsNamesSay) {
  auto files = corpus(GetParam());
  ASSERT_GE(files.size(), 2u) << "no corpus for " << GetParam().name;
  for (const auto &[name, bytes] : files)
    EXPECT_EQ(accepts(GetParam(), bytes), name.rfind("ok", 0) == 0) << name;
}

TEST_P(LmFuzz, EveryBeginning) {
  for (const auto &[name, bytes] : corpus(GetParam()))
    for (size_t n = 0; n < bytes.size(); n += 1 + bytes.size() / 200)
      accepts(GetParam(), Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)));
}

TEST_P(LmFuzz, Mutations) {
  const char *runs = getenv("RILL_TEST_FUZZ_RUNS");
  int64_t most = runs ? atoll(runs) : 2000;
  std::mt19937_64 random(20260101);
  for (const auto &[name, bytes] : corpus(GetParam()))
    for (int64_t i = 0; i < most; i++) accepts(GetParam(), mutate(bytes, GetParam().text, random));
}

INSTANTIATE_TEST_SUITE_P(All, LmFuzz, testing::ValuesIn(rill_test::fuzz_targets()),
                         [](const testing::TestParamInfo<FuzzTarget> &info) {
                           return std::string(info.param.name);
                         });

}  // namespace
