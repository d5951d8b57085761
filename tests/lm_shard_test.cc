// Shards of tokens: llm.c's format, manifests, corpora made of them, and broken files.
#include "examples/lm/shard.h"

#include <random>
#include <vector>

#include "examples/lm/corpus.h"
#include "examples/lm/hash.h"
#include "examples/lm/manifest.h"
#include "tests/lm_util.h"

namespace {

// A shard as llm.c's Python writes it: 256 int32 and the tokens.
std::string shard(const std::vector<int32_t> &tokens, int width = 2) {
  std::vector<int32_t> header(256);
  header[0] = width == 2 ? 20240520 : 20240801;
  header[1] = width == 2 ? 1 : 7;
  header[2] = (int32_t)tokens.size();
  std::string bytes((const char *)header.data(), 1024);
  for (int32_t t : tokens) bytes.append((const char *)&t, (size_t)width);
  return bytes;
}

std::vector<int32_t> numbers(size_t count, int32_t limit, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<int32_t> n(count);
  for (int32_t &x : n) x = (int32_t)(random() % (unsigned)limit);
  return n;
}

struct Opened {
  lm_corpus corpus = {};
  char err[LM_ERROR_SIZE] = "";
  bool ok;
  explicit Opened(const std::string &path, lm_corpus_opts opts = {})
      : ok(lm_corpus_open(&corpus, path.c_str(), opts, err)) {}
  ~Opened() {
    if (ok) lm_corpus_close(&corpus);
  }
};

TEST(LmShard, IsWhatLlmCWrites) {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  for (int width : {2, 4}) {
    std::vector<int32_t> tokens = numbers(1000, width == 2 ? 50257 : 128256);
    lm_bytes bytes = {};
    ASSERT_TRUE(lm_shard_begin(&bytes, err));
    for (int32_t t : tokens) ASSERT_TRUE(lm_tokens_push(&bytes, width, t, err));
    std::string path = f.path("x.bin");
    char sum[65], again[65];
    ASSERT_TRUE(lm_shard_save(&bytes, width, path.c_str(), sum, err)) << err;
    free(bytes.data);
    EXPECT_EQ(lm::read_file(path), shard(tokens, width));
    EXPECT_TRUE(lm_shard_is(path.c_str()));
    std::string file = lm::read_file(path);
    lm_sha256(file.data(), file.size(), again);
    EXPECT_STREQ(sum, again);
    lm_shard s;
    ASSERT_TRUE(lm_shard_open(&s, path.c_str(), err)) << err;
    ASSERT_EQ(s.tokens.count, 1000);
    for (int64_t i = 0; i < 1000; i++) EXPECT_EQ(lm_token_at(&s.tokens, i), tokens[(size_t)i]);
    lm_shard_close(&s);
  }
}

TEST(LmShard, BrokenFilesAreRefused) {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  std::string good = shard(numbers(100, 256));
  lm_tokens t;
  for (size_t n = 0; n < good.size(); n++) {
    std::vector<char> cut(good.begin(), good.begin() + (long)n);
    EXPECT_FALSE(lm_shard_parse(cut.data(), (int64_t)n, (int64_t)n, &t, err)) << n;
  }
  ASSERT_TRUE(lm_shard_parse(good.data(), 1024, (int64_t)good.size(), &t, err));
  EXPECT_EQ(t.data, nullptr);
  std::mt19937 random(5);
  for (int i = 0; i < 2000; i++) {
    std::string broken = good;
    broken[random() % 12] = (char)random();
    if (lm_shard_parse(broken.data(), (int64_t)broken.size(), (int64_t)broken.size(), &t, err)) {
      EXPECT_EQ(t.count * t.width, 200);
    }
  }
  lm_shard s;
  EXPECT_FALSE(lm_shard_open(&s, f.path("none").c_str(), err));
  EXPECT_CONTAINS(err, "No such file");
  EXPECT_FALSE(lm_shard_open(&s, f.path().c_str(), err));
  EXPECT_FALSE(lm_shard_open(&s, f.write("empty.bin", "").c_str(), err));
  EXPECT_CONTAINS(err, "it has 0 bytes");
  EXPECT_FALSE(lm_shard_open(&s, f.write("cut.bin", good.substr(0, 1100)).c_str(), err));
  EXPECT_CONTAINS(err, "its header says 100 tokens of 2 bytes, 1224 bytes in all, but it has 1100");
  EXPECT_FALSE(lm_shard_open(&s, f.write("text.bin", std::string(2000, 'x')).c_str(), err));
  EXPECT_CONTAINS(err, "a shard of tokens with 20240520, version 1");
}

TEST(LmShardCorpus, NamesSayWhatIsHeldOut) {
  lm::Folder f;
  f.write("d/fineweb_train_000001.bin", shard(numbers(5000, 50257)));
  f.write("d/fineweb_train_000002.bin", shard(numbers(3000, 50257, 2)));
  f.write("d/fineweb_val_000000.bin", shard(numbers(1000, 50257, 3)));
  lm_corpus_opts o = {};
  o.end = 50256;
  Opened c(f.path("d"), o);
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_EQ(c.corpus.train.count, 8000);
  EXPECT_EQ(c.corpus.validation.count, 1000);
  EXPECT_EQ(lm_tokenizer_vocabulary(c.corpus.tokenizer), 50304);
  EXPECT_EQ(lm_tokenizer_end(c.corpus.tokenizer), 50256);
  EXPECT_FALSE(lm_tokenizer_has_text(c.corpus.tokenizer));
  o.vocabulary = 60000;
  Opened given(f.path("d"), o);
  EXPECT_EQ(lm_tokenizer_vocabulary(given.corpus.tokenizer), 60000);
}

TEST(LmShardCorpus, OtherwiseBlocksAreHeldOutAndNothingIsLost) {
  lm::Folder f;
  std::vector<int32_t> tokens = numbers(100000, 500);
  std::string path = f.write("one.bin", shard(tokens));
  lm_corpus_opts o = {};
  o.every = 10, o.seed = 4, o.end = 7;
  Opened c(path, o);
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_EQ(c.corpus.train.count + c.corpus.validation.count, 100000);
  double held = (double)c.corpus.validation.count / 100000;
  EXPECT_TRUE(held > 0.06 && held < 0.14) << held;
  const lm_tokens &first = c.corpus.validation.part[0];
  EXPECT_EQ(lm_token_at(&first, first.count - 1), 7); /* cut where a document ends */
  std::vector<int> count(500), want(500);
  for (int32_t t : tokens) want[(size_t)t]++;
  for (auto stream : {&lm_corpus::train, &lm_corpus::validation})
    for (int64_t p = 0; p < (c.corpus.*stream).parts; p++)
      for (int64_t i = 0; i < (c.corpus.*stream).part[p].count; i++)
        count[(size_t)lm_token_at(&(c.corpus.*stream).part[p], i)]++;
  EXPECT_EQ(count, want);
}

TEST(LmShardCorpus, Refusals) {
  lm::Folder f;
  std::string path = f.write("a.bin", shard(numbers(5000, 300)));
  lm_corpus_opts o = {};
  o.tokenizer = {"bpe", 300, nullptr};
  EXPECT_CONTAINS(Opened(path, o).err, "holds tokens already");
  o = {};
  o.validation = path.c_str();
  EXPECT_CONTAINS(Opened(path, o).err, "told by their names");
  EXPECT_CONTAINS(Opened(f.write("b.bin", "text in a file of that name")).err, "it has 27 bytes");
  EXPECT_CONTAINS(Opened(f.write("c.bin", shard(numbers(900, 300)))).err, "too few tokens");
  char err[LM_ERROR_SIZE];
  lm_tokenizer *bytes = lm_tokenizer_bytes(err);
  lm_corpus c;
  EXPECT_FALSE(lm_corpus_open_whole(&c, path.c_str(), bytes, err));
  EXPECT_CONTAINS(err, "but the tokenizer has only 256");
  lm_tokenizer_free(bytes);
}

// ---- manifests ----

lm_manifest_shard entry(const char *file, int64_t tokens, bool validation = false) {
  lm_manifest_shard s = {};
  snprintf(s.file, sizeof s.file, "%s", file);
  s.tokens = tokens, s.validation = validation, s.documents = 3, s.bytes = 10 * tokens;
  lm_sha256("", 0, s.sha256);
  return s;
}

std::string manifest(const lm::Folder &f, const char *folder, std::vector<lm_manifest_shard> list) {
  lm_manifest m = {};
  char err[LM_ERROR_SIZE] = "";
  snprintf(m.tokenizer, sizeof m.tokenizer, "bytes");
  m.vocabulary = 256, m.end = 0;
  for (const auto &s : list) EXPECT_TRUE(lm_manifest_add(&m, &s, err));
  EXPECT_TRUE(lm_manifest_save(&m, f.path(folder).c_str(), err)) << err;
  lm_manifest_free(&m);
  return lm::read_file(f.path(std::string(folder) + "/manifest.json"));
}

TEST(LmManifest, ComesBack) {
  lm::Folder f;
  f.write("d/x", "");
  manifest(f, "d", {entry("train_0.bin", 100), entry("val_0.bin", 50, true)});
  lm_manifest m;
  char err[LM_ERROR_SIZE] = "";
  ASSERT_TRUE(lm_manifest_load(&m, f.path("d").c_str(), err)) << err;
  EXPECT_EQ(m.shards, 2);
  EXPECT_STREQ(m.shard[1].file, "val_0.bin");
  EXPECT_TRUE(m.shard[1].validation && !m.shard[0].validation);
  EXPECT_EQ(m.shard[0].tokens, 100);
  EXPECT_STREQ(m.shard[0].sha256,
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  lm_manifest_free(&m);
}

TEST(LmManifest, BrokenOnesAreRefused) {
  lm::Folder f;
  f.write("d/x", "");
  std::string good = manifest(f, "d", {entry("train_0.bin", 100)});
  lm_manifest m;
  char err[LM_ERROR_SIZE] = "";
  for (size_t n = 0; n + 2 < good.size(); n++) {
    EXPECT_FALSE(lm_manifest_parse(&m, good.data(), (int64_t)n, err)) << n;
    lm_manifest_free(&m);
  }
  std::mt19937 random(5);
  for (int i = 0; i < 2000; i++) {
    std::string broken = good;
    broken[random() % broken.size()] = (char)random();
    lm_manifest_parse(&m, broken.data(), (int64_t)broken.size(), err);
    lm_manifest_free(&m);
  }
  auto refuses = [&](const std::string &from, const std::string &to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    EXPECT_FALSE(lm_manifest_parse(&m, text.data(), (int64_t)text.size(), err)) << to;
    lm_manifest_free(&m);
    return std::string(err);
  };
  EXPECT_CONTAINS(refuses("train_0.bin", "../train_0.bin"), "no name of a file beside it");
  EXPECT_CONTAINS(refuses("\"tokens\": 100,\n      \"documents", "\"tokens\": -1,\n \"documents"),
                  "a count is negative");
  EXPECT_CONTAINS(refuses("rill tokens", "other"), "not 'rill tokens', version 1");
  EXPECT_CONTAINS(refuses("\"end\": 0", "\"end\": 256"), "256 as its end");
  EXPECT_CONTAINS(refuses("e3b0c4", "E3B0C4"), "its sha256 is none");
}

TEST(LmManifest, IsCheckedAgainstTheFolder) {
  lm::Folder f;
  f.write("d/train_0.bin", shard(numbers(5000, 256)));
  f.write("d/val_0.bin", shard(numbers(2000, 256)));
  manifest(f, "d", {entry("train_0.bin", 5000), entry("val_0.bin", 2000, true)});
  Opened good(f.path("d"));
  ASSERT_TRUE(good.ok) << good.err;
  EXPECT_TRUE(lm_tokenizer_is_bytes(good.corpus.tokenizer));
  EXPECT_EQ(good.corpus.validation.count, 2000);
  manifest(f, "d", {entry("train_0.bin", 5001), entry("val_0.bin", 2000, true)});
  EXPECT_CONTAINS(Opened(f.path("d")).err, "has 5000 tokens, but its manifest says 5001");
  manifest(f, "d", {entry("train_0.bin", 5000)});
  EXPECT_CONTAINS(Opened(f.path("d")).err, "has 2 shards, but its manifest lists 1");
  manifest(f, "d", {entry("train_0.bin", 5000), entry("val_1.bin", 2000, true)});
  EXPECT_CONTAINS(Opened(f.path("d")).err, "lists val_1.bin, which is not there");
  manifest(f, "d", {entry("train_0.bin", 5000), entry("val_0.bin", 2000, true)});
  f.write("d/tokens.json", "{\"vocabulary\": 300, \"end\": -1}");
  EXPECT_CONTAINS(Opened(f.path("d")).err, "is not the one of its manifest (bytes)");
}

}  // namespace
