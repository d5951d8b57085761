// The text: which files, which split, and the same on every machine.
#include "examples/lm/corpus.h"

#include <set>

#include "examples/lm/walk.h"
#include "tests/lm_util.h"

namespace {

std::string text_of(lm_text t) { return std::string((const char *)t.bytes, (size_t)t.count); }
std::string text_of(const lm_corpus &c, const lm_parts &stream) {
  lm_bytes bytes = {};
  char err[LM_ERROR_SIZE];
  EXPECT_TRUE(lm_corpus_text(&c, &stream, INT64_MAX, &bytes, err)) << err;
  std::string text((const char *)bytes.data, (size_t)bytes.count);
  free(bytes.data);
  return text;
}

struct Opened {
  lm_corpus corpus = {};
  char err[LM_ERROR_SIZE] = "";
  bool ok;
  Opened(const std::string &path, lm_corpus_opts opts = {})
      : ok(lm_corpus_open(&corpus, path.c_str(), opts, err)) {}
  ~Opened() {
    if (ok) lm_corpus_close(&corpus);
  }
};

lm_corpus_opts options(uint64_t seed, int64_t every, const char *validation = nullptr) {
  lm_corpus_opts o = {};
  o.seed = seed, o.every = every, o.validation = validation;
  return o;
}

TEST(LmWalk, SortedRegularVisible) {
  lm::Folder f;
  for (const char *name : {"b", "a/z", "a/b/c", "a.txt", ".hidden", ".git/x", "Z"})
    f.write(name, "x");
  ASSERT_EQ(symlink(f.path("b").c_str(), f.path("link").c_str()), 0);
  ASSERT_EQ(symlink(f.path().c_str(), f.path("a/loop").c_str()), 0);
  lm_paths found;
  char err[LM_ERROR_SIZE];
  ASSERT_TRUE(lm_walk(f.path().c_str(), &found, err)) << err;
  std::string names;
  for (int64_t i = 0; i < found.count; i++)
    names += std::string(found.path[i]).substr(f.path().size() + 1) + " ";
  EXPECT_EQ(names, "Z a.txt a/b/c a/z b link ");
  EXPECT_TRUE(found.folder);
  lm_paths_free(&found);
}

TEST(LmCorpus, OneFileIsCutAtParagraphsAndNothingIsLost) {
  lm::Folder f;
  std::string text = lm::prose(200000);
  Opened c(f.write("t.txt", text), options(3, 10));
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_EQ(c.corpus.files, 1);
  EXPECT_EQ(c.corpus.train.count + c.corpus.validation.count, 200000);
  double held = (double)c.corpus.validation.count / 200000;
  EXPECT_TRUE(held > 0.06 && held < 0.14) << held;
  std::string validation = text_of(c.corpus, c.corpus.validation);
  EXPECT_EQ(validation.substr(validation.size() - 2), "\n\n");
  size_t documents = (size_t)(c.corpus.train_documents + c.corpus.validation_documents);
  EXPECT_TRUE(documents >= 20 && documents <= 40) << documents;
  EXPECT_TRUE(lm::contains(text, validation.substr(0, 4000)));
}

TEST(LmCorpus, TheSplitDependsOnTheSeedAlone) {
  lm::Folder f;
  std::string path = f.write("t.txt", lm::prose(100000));
  std::set<std::string> seen;
  std::set<uint64_t> prints;
  for (uint64_t seed = 0; seed < 8; seed++) {
    Opened a(path, options(seed, 5)), b(path, options(seed, 5));
    ASSERT_TRUE(a.ok && b.ok);
    EXPECT_EQ(text_of(a.corpus, a.corpus.validation), text_of(b.corpus, b.corpus.validation));
    EXPECT_EQ(a.corpus.fingerprint, b.corpus.fingerprint);
    seen.insert(text_of(a.corpus, a.corpus.validation));
    prints.insert(a.corpus.fingerprint);
  }
  EXPECT_TRUE(seen.size() >= 3);
  EXPECT_EQ(seen.size(), prints.size());
}

TEST(LmCorpus, AFolderIsSplitByFile) {
  lm::Folder f;
  for (int i = 0; i < 40; i++)
    f.write("d/" + std::to_string(100 + i), "file " + std::to_string(i) + ".");
  Opened c(f.path("d"), options(1, 4));
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_EQ(c.corpus.files, 40);
  EXPECT_EQ(c.corpus.validation_documents, 10);
  std::string train = text_of(c.corpus, c.corpus.train),
              held = text_of(c.corpus, c.corpus.validation);
  for (int i = 0; i < 40; i++) {
    std::string whole = "file " + std::to_string(i) + "." + '\0';
    EXPECT_NE(lm::contains(train, whole), lm::contains(held, whole)) << i;
  }
  EXPECT_EQ(held.back(), '\0');
}

TEST(LmCorpus, FewFilesAreCutToo) {
  lm::Folder f;
  f.write("d/large", lm::prose(50000)), f.write("d/small", lm::prose(50));
  Opened c(f.path("d"));
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_TRUE(c.corpus.validation.count > 1000 && c.corpus.validation.count < 6000)
      << c.corpus.validation.count;
}

TEST(LmCorpus, BlocksKeepUtf8Whole) {
  lm::Folder f;
  std::string text;
  for (int i = 0; i < 3000; i++) text += "\xe2\x82\xac"; /* no line ends at all */
  Opened c(f.write("t", text));
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_EQ(c.corpus.validation.count % 3, 0);
  EXPECT_EQ(lm_token_at(&c.corpus.validation.part[0], 0), 0xe2);
}

TEST(LmCorpus, ATextOfItsOwnForValidation) {
  lm::Folder f;
  std::string train = f.write("t", "to train on"), held = f.write("v", "to validate on");
  Opened c(train, options(0, 0, held.c_str()));
  ASSERT_TRUE(c.ok) << c.err;
  EXPECT_EQ(text_of(c.corpus, c.corpus.train), "to train on");
  EXPECT_EQ(text_of(c.corpus, c.corpus.validation), "to validate on");
}

TEST(LmCorpus, Refusals) {
  lm::Folder f;
  EXPECT_CONTAINS(Opened(f.path("none")).err, "none': No such file");
  EXPECT_CONTAINS(Opened(f.write("empty", "")).err, "is empty");
  EXPECT_CONTAINS(Opened(f.write("tiny", "two words")).err, "has only 9 bytes: too few");
  ASSERT_EQ(mkdir(f.path("folder").c_str(), 0777), 0);
  EXPECT_CONTAINS(Opened(f.path("folder")).err, "holds no files");
  f.write("blank/a", ""), f.write("blank/b", "");
  EXPECT_CONTAINS(Opened(f.path("blank")).err, "is empty");
  std::string good = f.write("good", lm::prose(5000));
  EXPECT_CONTAINS(Opened(good, options(0, 1)).err, "one in 2 or more");
  EXPECT_CONTAINS(Opened(good, options(0, 0, f.path("none").c_str())).err, "No such file");
  if (getuid() != 0) {
    ASSERT_EQ(chmod(good.c_str(), 0), 0);
    EXPECT_CONTAINS(Opened(good).err, "Permission denied");
  }
  ASSERT_EQ(symlink("nowhere", f.path("folder/broken").c_str()), 0);
  EXPECT_CONTAINS(Opened(f.path("folder")).err, "broken': No such file");
}

TEST(LmCorpus, AnySizeThatIsNotRefusedSplits) {
  lm::Folder f;
  for (size_t n = 1; n < 3000; n = n * 5 / 4 + 1) {
    Opened c(f.write("t", lm::prose(n)));
    EXPECT_TRUE(c.ok || n <= 200) << n << c.err;
    if (!c.ok) continue;
    EXPECT_TRUE(c.corpus.train.count > 0 && c.corpus.validation.count > 0) << n;
    EXPECT_EQ(c.corpus.train.count + c.corpus.validation.count, (int64_t)n);
  }
}

TEST(LmCorpus, PiecesStandForTheSameText) {
  lm::Folder f;
  for (int i = 0; i < 60; i++)
    f.write("d/" + std::to_string(100 + i),
            lm::prose(2000, (unsigned)i) + std::string("\0\xff\n", 3));
  lm_corpus_opts o = options(2, 4);
  Opened bytes(f.path("d"), o);
  o.tokenizer = {"bpe", 290, nullptr};
  Opened pieces(f.path("d"), o);
  ASSERT_TRUE(bytes.ok && pieces.ok) << pieces.err;
  for (auto stream : {&lm_corpus::train, &lm_corpus::validation}) {
    EXPECT_EQ(text_of(bytes.corpus, bytes.corpus.*stream),
              text_of(pieces.corpus, pieces.corpus.*stream));
    EXPECT_LT((pieces.corpus.*stream).count, (bytes.corpus.*stream).count);
  }
  lm_tokens train = pieces.corpus.train.part[0];
  int64_t ends = 0; /* the zero bytes inside of files are not among them */
  for (int64_t i = 0; i < train.count; i++)
    ends += lm_token_at(&train, i) == lm_tokenizer_end(pieces.corpus.tokenizer);
  EXPECT_EQ(ends, 45);
  EXPECT_NE(bytes.corpus.fingerprint, pieces.corpus.fingerprint);
}

TEST(LmCorpus, WholeForEvaluation) {
  lm::Folder f;
  f.write("d/b", "second"), f.write("d/a", "first");
  char err[LM_ERROR_SIZE];
  lm_tokenizer *t = lm_tokenizer_bytes(err);
  lm_corpus c;
  ASSERT_TRUE(lm_corpus_open_whole(&c, f.path("d").c_str(), t, err)) << err;
  EXPECT_EQ(c.train.count, 0);
  ASSERT_EQ(c.validation.count, 13);
  lm_corpus_close(&c);
  lm_tokenizer_free(t);
}

TEST(LmText, ReadsWhole) {
  lm::Folder f;
  f.write("d/b", "second"), f.write("d/a", "first");
  lm_text t;
  char err[LM_ERROR_SIZE];
  ASSERT_TRUE(lm_text_read(&t, f.path("d").c_str(), nullptr, err)) << err;
  EXPECT_EQ(text_of(t), std::string("first\0second\0", 13));
  free((void *)t.bytes);
  EXPECT_FALSE(lm_text_read(&t, f.path("x").c_str(), nullptr, err));
}

}  // namespace
