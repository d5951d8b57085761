// Tokenizers: any bytes come back, models travel, hostile files are refused.
#include "examples/lm/tokenizer.h"

#include <memory>
#include <random>
#include <vector>

#include "tests/lm_util.h"

namespace {

using Tokenizer = std::unique_ptr<lm_tokenizer, void (*)(lm_tokenizer *)>;
Tokenizer own(lm_tokenizer *t) { return Tokenizer(t, lm_tokenizer_free); }

lm_text text_of(const std::string &s) { return {(const uint8_t *)s.data(), (int64_t)s.size()}; }

struct Array {
  lm_bytes bytes = {};
  ~Array() { free(bytes.data); }
};

std::vector<int32_t> encode(lm_tokenizer *t, const std::string &text) {
  Array a;
  char err[LM_ERROR_SIZE] = "";
  EXPECT_TRUE(lm_tokenizer_encode(t, text_of(text), &a.bytes, err)) << err;
  lm_tokens tokens = lm_tokenizer_view(t, &a.bytes);
  std::vector<int32_t> ids((size_t)tokens.count);
  lm_tokens_read(&tokens, 0, tokens.count, ids.data());
  return ids;
}

std::string round_trip(lm_tokenizer *t, const std::string &text) {
  Array a, back;
  char err[LM_ERROR_SIZE] = "";
  EXPECT_TRUE(lm_tokenizer_encode(t, text_of(text), &a.bytes, err)) << err;
  lm_tokens tokens = lm_tokenizer_view(t, &a.bytes);
  EXPECT_EQ(lm_tokenizer_measure(t, &tokens, 0, tokens.count), (int64_t)text.size());
  EXPECT_TRUE(lm_tokenizer_decode(t, &tokens, &back.bytes, err)) << err;
  return std::string((const char *)back.bytes.data, (size_t)back.bytes.count);
}

std::string text_file() {
  std::string numbers;
  for (int i = 0; i < 3000; i++) numbers += std::to_string(i * 7919) + (i % 10 ? " " : "\n");
  return lm::prose(60000) + numbers +
         "def f(x):\n    return  x  +  1\n\n\tcaf\xc3\xa9 \xe2\x82\xac 42\n";
}

// One model for all tests.
lm_tokenizer *pieces() {
  static Tokenizer t = [] {
    char err[LM_ERROR_SIZE] = "";
    Tokenizer made = own(lm_tokenizer_train("bpe", 400, text_of(text_file()), err));
    EXPECT_TRUE(made) << err;
    return made;
  }();
  return t.get();
}

std::string model_bytes() {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  EXPECT_TRUE(lm_tokenizer_save(pieces(), f.path().c_str(), err)) << err;
  return lm::read_file(f.path("tokenizer.model"));
}

TEST(LmTokenizer, BytesAreThemselves) {
  char err[LM_ERROR_SIZE];
  Tokenizer t = own(lm_tokenizer_bytes(err));
  EXPECT_EQ(encode(t.get(), std::string("a\0\xff", 3)), (std::vector<int32_t>{'a', 0, 255}));
  EXPECT_EQ(lm_tokenizer_vocabulary(t.get()), 256);
  EXPECT_EQ(lm_tokenizer_end(t.get()), 0);
  std::string every;
  for (int i = 0; i < 256; i++) every += (char)i;
  EXPECT_EQ(round_trip(t.get(), every), every);
}

TEST(LmTokenizer, PiecesAreShorterThanBytes) {
  ASSERT_TRUE(pieces());
  EXPECT_EQ(lm_tokenizer_vocabulary(pieces()), 400);
  std::string text = text_file();
  EXPECT_LT(encode(pieces(), text).size(), text.size() / 2);
  EXPECT_EQ(round_trip(pieces(), text), text);
  char name[64];
  lm_tokenizer_name(pieces(), name, sizeof name);
  EXPECT_STREQ(name, "400 pieces");
}

TEST(LmTokenizer, AnyBytesComeBack) {
  ASSERT_TRUE(pieces());
  std::string every;
  for (int i = 0; i < 256; i++) every += (char)i;
  EXPECT_EQ(round_trip(pieces(), every), every);
  for (const std::string &text :
       {std::string(""), std::string("\0", 1), std::string(" "), std::string("  the  "),
        std::string("\n\n\n"), std::string("\r\n \t\v"), std::string("\xe2\x96\x81the\xe2\x96\x81"),
        std::string("the\xe2\x96"), std::string("\xef\xbf\xbd"), std::string("<s></s><unk><0x41>"),
        std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80\xf0\x9f\x98\x80"),
        std::string(5000, ' '), std::string(5000, 'x'), std::string(3000, '\n'),
        std::string("\xc0\x80\xe0\x80\x80"), std::string("e\xcc\x81 \xef\xac\x81 \xe2\x91\xa0")})
    EXPECT_EQ(round_trip(pieces(), text), text);
  std::mt19937 random(7);
  for (int i = 0; i < 300; i++) {
    std::string text;
    size_t length = random() % 2000;
    for (size_t j = 0; j < length; j++) switch (random() % 6) {
        case 0:
          text += (char)random();
          break;
        case 1:
          text += "the river ";
          break;
        case 2:
          text += "\xe2\x82\xac";
          break;
        case 3:
          text += " \n"[random() % 2];
          break;
        case 4:
          text += '\0';
          break;
        default:
          text += (char)('a' + random() % 26);
      }
    ASSERT_EQ(round_trip(pieces(), text), text) << i;
  }
}

TEST(LmTokenizer, AWordIsTheSameSeenOrNew) {
  ASSERT_TRUE(pieces());
  std::string line = "the river runs over stones\n";
  std::vector<int32_t> once = encode(pieces(), line), twice = encode(pieces(), line + line);
  ASSERT_EQ(twice.size(), 2 * once.size());
  for (size_t i = 0; i < twice.size(); i++) EXPECT_EQ(twice[i], once[i % once.size()]);
}

TEST(LmTokenizer, MoreWordsThanAreRemembered) {
  ASSERT_TRUE(pieces());
  std::string text;
  for (int i = 0; i < 140000; i++) text += std::to_string(i * 7919) + " ";
  EXPECT_EQ(round_trip(pieces(), text), text);
}

TEST(LmTokenizer, TheSameTextGivesTheSameModel) {
  char err[LM_ERROR_SIZE];
  Tokenizer a = own(lm_tokenizer_train("bpe", 400, text_of(text_file()), err));
  Tokenizer b = own(lm_tokenizer_train("bpe", 380, text_of(text_file()), err));
  ASSERT_TRUE(a && b) << err;
  EXPECT_EQ(lm_tokenizer_print(a.get()), lm_tokenizer_print(pieces()));
  EXPECT_NE(lm_tokenizer_print(b.get()), lm_tokenizer_print(pieces()));
}

TEST(LmTokenizer, Unigram) {
  char err[LM_ERROR_SIZE];
  Tokenizer t = own(lm_tokenizer_train("unigram", 320, text_of(text_file()), err));
  ASSERT_TRUE(t) << err;
  std::string text = text_file() + std::string("\0\xff  x", 5);
  EXPECT_EQ(round_trip(t.get(), text), text);
}

TEST(LmTokenizer, TheEndIsAZeroByteOfText) {
  ASSERT_TRUE(pieces());
  lm_text end = lm_tokenizer_text(pieces(), lm_tokenizer_end(pieces()));
  ASSERT_EQ(end.count, 1);
  EXPECT_EQ(end.bytes[0], 0);
  for (int32_t id : encode(pieces(), std::string("a\0b", 3)))
    EXPECT_NE(id, lm_tokenizer_end(pieces()));
  EXPECT_EQ(lm_tokenizer_text(pieces(), -1).count, 0);
  EXPECT_EQ(lm_tokenizer_text(pieces(), 400).count, 0);
}

TEST(LmTokenizer, TravelsInAFolder) {
  ASSERT_TRUE(pieces());
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  ASSERT_TRUE(lm_tokenizer_save(pieces(), f.path().c_str(), err)) << err;
  Tokenizer t = own(lm_tokenizer_load(f.path().c_str(), err));
  ASSERT_TRUE(t) << err;
  EXPECT_EQ(lm_tokenizer_print(t.get()), lm_tokenizer_print(pieces()));
  EXPECT_EQ(encode(t.get(), "the river\n"), encode(pieces(), "the river\n"));

  Tokenizer ids = own(lm_tokenizer_ids(50257, 50256, err));
  ASSERT_TRUE(lm_tokenizer_save(ids.get(), f.path().c_str(), err)) << err;
  t = own(lm_tokenizer_load(f.path().c_str(), err));
  ASSERT_TRUE(t) << err;
  EXPECT_EQ(lm_tokenizer_print(t.get()), lm_tokenizer_print(ids.get()));
  EXPECT_FALSE(lm_tokenizer_has_text(t.get()));
  EXPECT_EQ(lm_encoder_new(t.get(), err), nullptr);
  EXPECT_CONTAINS(err, "unknown tokenizer");

  Tokenizer bytes = own(lm_tokenizer_bytes(err));
  ASSERT_TRUE(lm_tokenizer_save(bytes.get(), f.path().c_str(), err)) << err;
  t = own(lm_tokenizer_load(f.path().c_str(), err));
  ASSERT_TRUE(t) << err;
  EXPECT_TRUE(lm_tokenizer_is_bytes(t.get()));
}

// A model from elsewhere puts a space in front and normalises; here it does neither.
TEST(LmTokenizer, AModelsOwnNormalisationIsOff) {
  std::string model = model_bytes();
  model += std::string("\x1a\x06\x18\x01\x20\x01\x28\x01", 8); /* dummy prefix, collapsed spaces */
  char err[LM_ERROR_SIZE];
  Tokenizer t = own(lm_tokenizer_parse(model.data(), (int64_t)model.size(), err));
  ASSERT_TRUE(t) << err;
  EXPECT_EQ(round_trip(t.get(), "  the   river "), "  the   river ");
}

TEST(LmTokenizer, BrokenModelsAreRefusedOrHarmless) {
  std::string model = model_bytes();
  char err[LM_ERROR_SIZE] = "";
  EXPECT_EQ(lm_tokenizer_parse("", 0, err), nullptr);
  EXPECT_CONTAINS(err, "no SentencePiece model");
  EXPECT_EQ(lm_tokenizer_parse("hello, world", 12, err), nullptr);
  for (size_t n = 0; n < model.size(); n += 1 + n / 40) {
    std::vector<uint8_t> cut(model.begin(), model.begin() + (long)n); /* exact, for asan */
    own(lm_tokenizer_parse(cut.data(), (int64_t)n, err));
  }
  std::mt19937 random(3);
  for (int i = 0; i < 3000; i++) {
    std::string broken = model;
    for (unsigned j = 0; j <= random() % 4; j++)
      broken[random() % (i % 2 ? broken.size() : 300)] = (char)random();
    Tokenizer t = own(lm_tokenizer_parse(broken.data(), (int64_t)broken.size(), err));
    Array a;
    if (t && i % 8 == 0)
      lm_tokenizer_encode(t.get(), text_of("the  river\n\xff 7919"), &a.bytes, err);
  }
  std::string half = model.substr(0, model.find("<0x80>") - 4);
  EXPECT_EQ(lm_tokenizer_parse(half.data(), (int64_t)half.size(), err), nullptr);
  EXPECT_CONTAINS(err, "no piece for byte 128");
}

TEST(LmTokenizer, Specifications) {
  lm_tokenizer_spec spec;
  char err[LM_ERROR_SIZE] = "";
  ASSERT_TRUE(lm_tokenizer_spec_parse("bpe:8192", &spec, err));
  EXPECT_STREQ(spec.kind, "bpe");
  EXPECT_EQ(spec.vocabulary, 8192);
  ASSERT_TRUE(lm_tokenizer_spec_parse("bytes", &spec, err));
  EXPECT_TRUE(!spec.kind && !spec.path);
  for (const char *bad : {"bpe", "bpe:", "bpe:12", "bpe:8k", "unigram:99999999999999999999"})
    EXPECT_FALSE(lm_tokenizer_spec_parse(bad, &spec, err)) << bad;
  EXPECT_CONTAINS(err, "a number of tokens from 257");
  EXPECT_FALSE(lm_tokenizer_spec_parse("bqe:8192", &spec, err));
  EXPECT_CONTAINS(err, "'bqe:8192' is no tokenizer: bytes, bpe:8192");
}

TEST(LmTokenizer, TrainingSaysWhatIsWrong) {
  char err[LM_ERROR_SIZE] = "";
  EXPECT_EQ(lm_tokenizer_train("bpe", 400, text_of("short"), err), nullptr);
  EXPECT_CONTAINS(err, "5 bytes of text are too few");
  EXPECT_EQ(lm_tokenizer_train("bpe", 20000, text_of(lm::prose(5000)), err), nullptr);
  EXPECT_CONTAINS(err, "bpe:20000 cannot be trained on this text");
  EXPECT_CONTAINS(err, "too high");
  EXPECT_EQ(lm_tokenizer_train("bpe", 400, text_of(std::string(4000, '\xff')), err), nullptr);
  EXPECT_CONTAINS(err, "no line of UTF-8");
}

TEST(LmTokenizer, FilesSayWhatIsWrong) {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  EXPECT_EQ(lm_tokenizer_load(f.path("none").c_str(), err), nullptr);
  EXPECT_CONTAINS(err, "No such file");
  EXPECT_EQ(lm_tokenizer_load(f.write("bad.model", "rubbish").c_str(), err), nullptr);
  EXPECT_CONTAINS(err, "bad.model': it is no SentencePiece model");
  for (const char *json : {"", "{", "[]", "{\"vocabulary\": 5}", "{\"vocabulary\": 5, \"end\": 5}",
                           "{\"vocabulary\": -5, \"end\": -1}", "{\"vocabulary\": 5, \"end\": -2}",
                           "{\"vocabulary\": 5, \"end\": 1, \"x\": 1}"}) {
    f.write("tokens.json", json);
    EXPECT_EQ(lm_tokenizer_load(f.path().c_str(), err), nullptr) << json;
    EXPECT_CONTAINS(err, "tokens.json'");
  }
}

}  // namespace
