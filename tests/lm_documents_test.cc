// Documents in files, and the shards that are written of them.
#include "examples/lm/documents.h"

#include <dirent.h>

#include <algorithm>
#include <vector>

#include "examples/lm/corpus.h"
#include "examples/lm/shard_writer.h"
#include "tests/lm_util.h"

namespace {

struct Reader {
  lm_documents d = {};
  char err[LM_ERROR_SIZE] = "";
  bool ok;
  explicit Reader(std::vector<std::string> paths, const char *field = "text") {
    std::vector<char *> list;
    for (auto &p : paths) list.push_back(p.data());
    ok = lm_documents_open(&d, (int)list.size(), list.data(), field, err);
  }
  ~Reader() { lm_documents_close(&d); }
};

// All documents as the bytes tokenizer has them, the end of each a zero byte; blocks are counted.
std::string read_all(Reader &r, int *blocks = nullptr, std::vector<int64_t> *ends = nullptr) {
  char *err = r.err;
  lm_tokenizer *t = lm_tokenizer_bytes(err);
  lm_encoder *e = lm_encoder_new(t, err);
  lm_encoded out = {};
  lm_block block;
  std::string all;
  int count = 0;
  for (; lm_documents_next(&r.d, &block, err) && block.text.bytes; count++) {
    if (!lm_block_encode(&r.d, &block, e, t, &out)) {
      snprintf(err, LM_ERROR_SIZE, "%s", out.err);
      break;
    }
    EXPECT_EQ(out.bytes, out.tokens.count);
    for (int64_t i = 0; ends && i < out.ends.count / 8; i++)
      ends->push_back((int64_t)all.size() + ((const int64_t *)out.ends.data)[i]);
    all.append((const char *)out.tokens.data, (size_t)out.tokens.count);
    if (count % 2) lm_documents_release(&r.d);
  }
  if (blocks) *blocks = count;
  lm_encoded_free(&out);
  lm_encoder_free(e);
  lm_tokenizer_free(t);
  return all;
}

TEST(LmDocuments, AFileIsADocumentHoweverLong) {
  lm::Folder f;
  std::string large = lm::prose(3500000);
  f.write("d/a", "first"), f.write("d/b", ""), f.write("d/c", large);
  Reader r({f.path("d"), f.write("last", "last")});
  ASSERT_TRUE(r.ok) << r.err;
  std::vector<int64_t> ends;
  int blocks;
  std::string all = read_all(r, &blocks, &ends);
  EXPECT_EQ(all, std::string("first\0", 6) + large + '\0' + std::string("last\0", 5)) << r.err;
  EXPECT_EQ(ends, (std::vector<int64_t>{6, 6 + 3500001, 6 + 3500001 + 5}));
  EXPECT_GE(blocks, 5);
}

// What a text becomes does not depend on where it was cut into blocks.
TEST(LmDocuments, BlocksAreEncodedLikeTheWhole) {
  lm::Folder f;
  std::string text;
  for (int i = 0; text.size() < 2500000; i++)
    text += "Line " + std::to_string(i % 3000 * 7919) + "  of many" +
            std::string((size_t)(i % 4), '\n') + " ";
  char err[LM_ERROR_SIZE] = "";
  lm_text whole = {(const uint8_t *)text.data(), (int64_t)text.size()};
  lm_tokenizer *t = lm_tokenizer_train("bpe", 500, whole, err);
  ASSERT_TRUE(t) << err;
  lm_bytes once = {}, parts = {};
  ASSERT_TRUE(lm_tokenizer_encode(t, whole, &once, err));
  Reader r({f.write("t", text)});
  lm_encoder *e = lm_encoder_new(t, err);
  lm_encoded out = {};
  lm_block block;
  int count = 0;
  for (; lm_documents_next(&r.d, &block, err) && block.text.bytes; count++) {
    ASSERT_TRUE(lm_block_encode(&r.d, &block, e, t, &out)) << out.err;
    ASSERT_TRUE(lm_bytes_reserve(&parts, out.tokens.count, err));
    memcpy(parts.data + parts.count, out.tokens.data, (size_t)out.tokens.count);
    parts.count += out.tokens.count;
  }
  EXPECT_GE(count, 2);
  ASSERT_EQ(parts.count, once.count + 2); /* and the end */
  EXPECT_EQ(memcmp(parts.data, once.data, (size_t)once.count), 0);
  lm_encoded_free(&out);
  lm_encoder_free(e);
  free(once.data), free(parts.data);
  lm_tokenizer_free(t);
}

TEST(LmDocuments, JsonLines) {
  lm::Folder f;
  std::string path =
      f.write("x.jsonl",
              "{\"text\": \"one\", \"id\": 1}\n\n  \r\n{\"id\": 2, \"text\": \"t\\u0000wo\\n\"}\n"
              "{\"text\": \"\"}\n{\"text\": \"\\u20ac\"}");
  Reader r({path});
  std::vector<int64_t> ends;
  EXPECT_EQ(read_all(r, nullptr, &ends), std::string("one\0t\0wo\n\0\0\xe2\x82\xac\0", 15))
      << r.err;
  EXPECT_EQ(ends, (std::vector<int64_t>{4, 10, 11, 15}));
  Reader other({f.write("y.ndjson", "{\"body\": \"b\"}\n")}, "body");
  EXPECT_EQ(read_all(other), std::string("b\0", 2));
}

TEST(LmDocuments, ManyJsonLinesAreManyBlocks) {
  lm::Folder f;
  std::string lines, want;
  for (int i = 0; i < 60000; i++) {
    std::string text = "document number " + std::to_string(i) + " and more of it";
    lines += "{\"text\": \"" + text + "\"}\n";
    want += text + '\0';
  }
  lines += "{\"text\": 5}\n";
  int blocks;
  Reader r({f.write("x.jsonl", lines)});
  std::string all = read_all(r, &blocks);
  EXPECT_GE(blocks, 2);
  EXPECT_TRUE(want.compare(0, all.size(), all) == 0);
  EXPECT_CONTAINS(r.err, "x.jsonl', line 60001: it is no object with a text 'text'");
}

TEST(LmDocuments, SayWhatIsWrong) {
  lm::Folder f;
  EXPECT_CONTAINS(Reader({f.path("none")}).err, "No such file");
  EXPECT_CONTAINS(Reader({f.write("empty", "")}).err,
                  "there is no text to read: 1 files, all empty");
  for (const char *bad :
       {"{\"text\": \"x\"", "[]", "x", "{\"Text\": \"x\"}", "{\"text\": null}", "\xff"}) {
    Reader r({f.write("bad.jsonl", std::string("{\"text\": \"fine\"}\n") + bad)});
    read_all(r);
    EXPECT_CONTAINS(r.err, "bad.jsonl', line 2: ");
  }
}

TEST(LmDocuments, ASampleIsEven) {
  lm::Folder f;
  f.write("d/a", std::string(4 << 20, 'a') + "\n"),
      f.write("d/b", std::string(4 << 20, 'b') + "\n");
  f.write("d/c.jsonl", "{\"text\": \"c\"}\n");
  std::string lines;
  for (int i = 0; i < 40; i++) lines += std::string(100000, 'l') + "\n";
  f.write("d/lines", lines);
  Reader r({f.path("d")});
  lm_bytes sample = {};
  ASSERT_TRUE(lm_documents_sample(&r.d, 100 << 20, &sample, r.err)) << r.err;
  EXPECT_GT(sample.count, 11 << 20);
  sample.count = 0;
  ASSERT_TRUE(lm_documents_sample(&r.d, 6 << 20, &sample, r.err)) << r.err;
  EXPECT_TRUE(sample.count > 2 << 20 && sample.count < 11 << 20) << sample.count;
  free(sample.data);
  EXPECT_GT(read_all(r).size(), (size_t)11 << 20); /* reading begins anew */
}

// ---- shards ----

std::vector<std::string> files(const std::string &folder) {
  std::vector<std::string> names;
  if (DIR *dir = opendir(folder.c_str())) {
    while (dirent *e = readdir(dir))
      if (e->d_name[0] != '.') names.push_back(e->d_name);
    closedir(dir);
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Writer {
  lm_shard_writer w = {};
  lm_tokenizer *t;
  char err[LM_ERROR_SIZE] = "";
  std::string out;
  bool ok;
  Writer(const std::string &folder, int64_t shard_tokens, int64_t every)
      : t(lm_tokenizer_bytes(err)), out(folder) {
    ok = lm_shard_writer_open(&w, out.c_str(), t, {shard_tokens, every, 5}, err);
  }
  ~Writer() {
    lm_shard_writer_close(&w);
    lm_tokenizer_free(t);
  }
  bool add(const std::string &text, bool ends = true) {
    std::string all = text + (ends ? std::string(1, '\0') : "");
    return lm_shard_writer_add(&w, {all.data(), (int64_t)all.size(), 1}, (int64_t)all.size(), ends,
                               err);
  }
};

TEST(LmShardWriter, FillsShardsAndHoldsDocumentsOut) {
  lm::Folder f;
  std::string out = f.path("tokens"), all;
  {
    Writer w(out, 1000, 10);
    ASSERT_TRUE(w.ok) << w.err;
    for (int i = 0; i < 100; i++) {
      std::string half = "document " + std::to_string(i) + lm::prose(60, (unsigned)i);
      ASSERT_TRUE(w.add(half, false) && w.add(half)) << w.err;
    }
    EXPECT_TRUE(files(out).empty()); /* nothing has the name before all of it is there */
    ASSERT_TRUE(lm_shard_writer_finish(&w.w, w.err)) << w.err;
  }
  EXPECT_TRUE(files(f.path("tokens.part")).empty());
  lm_corpus c;
  char err[LM_ERROR_SIZE] = "";
  ASSERT_TRUE(lm_corpus_open(&c, out.c_str(), {}, err)) << err;
  EXPECT_TRUE(lm_tokenizer_is_bytes(c.tokenizer));
  lm_manifest m;
  ASSERT_TRUE(lm_manifest_load(&m, out.c_str(), err)) << err;
  int64_t documents[2] = {}, tokens[2] = {}, bytes = 0;
  for (int64_t i = 0; i < m.shards; i++) {
    documents[m.shard[i].validation] += m.shard[i].documents;
    tokens[m.shard[i].validation] += m.shard[i].tokens;
    bytes += m.shard[i].bytes;
    EXPECT_LE(m.shard[i].tokens, 1000);
  }
  EXPECT_EQ(documents[0], 90);
  EXPECT_EQ(documents[1], 10);
  EXPECT_EQ(tokens[0], c.train.count);
  EXPECT_EQ(tokens[1], c.validation.count);
  EXPECT_EQ(bytes, c.train.count + c.validation.count);
  lm_manifest_free(&m);
  lm_bytes text = {};
  ASSERT_TRUE(lm_corpus_text(&c, &c.validation, INT64_MAX, &text, err));
  std::string held((const char *)text.data, (size_t)text.count);
  EXPECT_EQ(std::count(held.begin(), held.end(), '\0'), 10);
  free(text.data);
  lm_corpus_close(&c);
}

TEST(LmShardWriter, WhatIsNotFinishedLeavesNothing) {
  lm::Folder f;
  {
    Writer w(f.path("tokens"), 10, 0);
    ASSERT_TRUE(w.ok && w.add("some words that fill shards"));
    EXPECT_FALSE(files(f.path("tokens.part")).empty());
  }
  EXPECT_TRUE(files(f.path()).empty());
  f.write("tokens.part/train_000007.bin", "of one that was killed");
  {
    Writer w(f.path("tokens"), 1000, 0);
    ASSERT_TRUE(w.ok && w.add("words") && lm_shard_writer_finish(&w.w, w.err)) << w.err;
  }
  EXPECT_EQ(files(f.path("tokens")),
            (std::vector<std::string>{"manifest.json", "train_000000.bin"}));
  Writer again(f.path("tokens"), 1000, 0);
  EXPECT_FALSE(again.ok);
  EXPECT_CONTAINS(again.err, "is there already, and is no empty folder");
}

}  // namespace
