// The server's parts that know nothing of HTTP: requests from any bytes, and text as it grows.
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "examples/lm/logprobs.h"
#include "examples/lm/server_output.h"
#include "examples/lm/server_request.h"
#include "examples/lm/utf8.h"
#include "tests/lm_util.h"

namespace {

constexpr lm_request_limits LIMITS = {
    .max_tokens = 1000, .prompt_bytes = 100, .prompts = 6, .n = 4};

class LmServerRequest : public testing::Test {
 protected:
  bool parse(const std::string &body) {
    lm_request_free(&r);
    why = {};
    return lm_request_parse(&r, body.data(), (int64_t)body.size(), &LIMITS, &why);
  }
  void refused(const std::string &body, int status, const std::string &message) {
    EXPECT_FALSE(parse(body)) << body;
    EXPECT_EQ(why.status, status) << body << ": " << why.message;
    EXPECT_CONTAINS(why.message, message);
    std::unique_ptr<char, decltype(&free)> text(lm_refusal_print(&why), free);
    ASSERT_NE(text, nullptr);
    EXPECT_EQ(std::string(text.get()).rfind("{\"error\":{\"message\":\"", 0), 0u) << text.get();
  }
  void TearDown() override { lm_request_free(&r); }
  lm_request r = {};
  lm_refusal why = {};
};

TEST_F(LmServerRequest, Defaults) {
  ASSERT_TRUE(parse(R"({"prompt": "a\u0000é"})")) << why.message;
  EXPECT_EQ(r.prompts, 1);
  EXPECT_EQ(std::string((const char *)r.prompt[0].text.bytes, (size_t)r.prompt[0].text.count),
            std::string("a\0\xc3\xa9", 4));
  EXPECT_EQ(r.max_tokens, 16);
  EXPECT_EQ(r.temperature, 1);
  EXPECT_EQ(r.top_p, 1);
  EXPECT_EQ(r.n, 1);
  EXPECT_EQ(r.logprobs, -1);
  EXPECT_FALSE(r.echo || r.stream || r.include_usage || r.ignore_eos || r.model || r.stops);
}

TEST_F(LmServerRequest, EveryField) {
  ASSERT_TRUE(parse(R"({"model": "m", "prompt": [[1, 2], [3]], "max_tokens": 7, "temperature": 0,
      "top_p": 0.5, "top_k": -1, "min_p": 0.1, "repetition_penalty": 1.2, "seed": -3, "n": 3,
      "stop": ["x", "", "yz"], "echo": true, "logprobs": 5, "stream": true,
      "stream_options": {"include_usage": true}, "ignore_eos": true, "user": "u",
      "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "suffix": null,
      "best_of": 1})"))
      << why.message;
  EXPECT_EQ(r.prompts, 2);
  EXPECT_EQ(r.prompt[0].tokens, 2);
  EXPECT_EQ(r.prompt[1].token[0], 3);
  EXPECT_EQ(std::string(r.model), "m");
  EXPECT_EQ(r.max_tokens, 7);
  EXPECT_EQ(r.top_k, 0);
  EXPECT_EQ(r.seed, -3);
  EXPECT_EQ(r.stops, 2);
  EXPECT_EQ(r.logprobs, 5);
  EXPECT_TRUE(r.echo && r.stream && r.include_usage && r.ignore_eos);
}

TEST_F(LmServerRequest, Refusals) {
  refused("", 400, "not JSON");
  refused("[]", 400, "must be a JSON object");
  refused("{}", 400, "prompt is required");
  refused(R"({"prompt": 3})", 400, "expected a string, an array");
  refused(R"({"prompt": []})", 400, "empty");
  refused(R"({"prompt": ["a", 3]})", 400, "element 1 is neither");
  refused(R"({"prompt": [1, -3]})", 400, "element 1 is no token");
  refused(R"({"prompt": [1, 2147483648]})", 400, "element 1 is no token");
  refused(R"({"prompt": [[1], [1.5]]})", 400, "element 0 is no token");
  refused(R"({"prompt": "a", "prompt": "b"})", 400, "duplicate");
  refused(R"({"prompt": "a", "top_p": 0})", 400, "top_p: expected a number");
  refused(R"({"prompt": "a", "n": 1.5})", 400, "n: expected a whole number from 1");
  refused(R"({"prompt": "a", "n": 5})", 400, "n is 5; this server takes at most 4");
  refused(R"({"prompt": "a", "echo": 1})", 400, "echo: expected true or false");
  refused(R"({"prompt": "a", "stop": [1]})", 400, "stop: expected a string");
  refused(R"({"prompt": "a", "stop": ")" + std::string(300, 's') + "\"}", 400, "256 bytes");
  refused(R"({"prompt": "a", "stream_options": {"x": true}})", 400, "include_usage");
  refused(R"({"prompt": "a", "max_tokens": 1001})", 400, "at most 1000");
  refused(R"({"prompt": "a", "logprobs": 21})", 400, "from 0 to 20");
  refused(R"({"prompt": "a", "suffix": "x"})", 400, "suffix is not supported");
  refused(R"({"prompt": "a", "promt": "x"})", 400, "did you mean 'prompt'");
  refused(R"({"prompt": "a", ")" + std::string(99, 'q') + "é\": 1}", 400, "unknown field");
  refused(R"({"prompt": ")" + std::string(101, 'x') + "\"}", 413, "101 bytes");
  std::string many = "[1";
  for (int i = 0; i < 100; i++) many += ",1";
  refused(R"({"prompt": )" + many + "]}", 413, "101 tokens");
  refused(R"({"prompt": ["a","b","c","d","e","f","g"]})", 413, "7 prompts");
  refused(R"({"prompt": ["a","b"], "n": 4})", 413, "2 prompts, 4 times");
}

TEST_F(LmServerRequest, AnyBytes) {
  std::mt19937 random(3);
  std::string good = R"({"prompt": ["a", "b"], "stop": "x", "n": 2, "logprobs": 3})";
  for (int i = 0; i < 20000; i++) {
    std::string body = good;
    for (int k = 0; k <= i % 4; k++) {
      size_t at = random() % body.size();
      if (random() % 3 == 0)
        body.erase(at, random() % 5);
      else
        body[at] = (char)(random() % 3 ? good[random() % good.size()] : random());
      if (body.empty()) break;
    }
    bool ok = parse(body);
    EXPECT_EQ(ok, why.status == 0);
  }
}

class LmServerOutput : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer = lm_tokenizer_bytes(err);
    ASSERT_NE(tokenizer, nullptr) << err;
    request.logprobs = -1;
    o.request = &request;
    o.tokenizer = tokenizer;
  }
  void TearDown() override {
    lm_output_free(&o);
    lm_tokenizer_free(tokenizer);
  }
  void stop(const char *text) {
    request.stop[request.stops++] = {(const uint8_t *)text, (int64_t)strlen(text)};
  }
  // Draws the text's bytes until it stops, and returns what is shown after each, by '|'.
  std::string draw(const std::string &text) {
    std::string shown;
    for (size_t i = 0; i < text.size() && !o.stopped; i++) {
      EXPECT_TRUE(lm_output_add(&o, (uint8_t)text[i], nullptr, 256, true, err)) << err;
      if (lm_output_ready(&o)) shown += take(false) + "|";
    }
    return shown + take(true);
  }
  std::string take(bool ended) {
    json_t *c = lm_output_take(&o, 3, ended);
    json_t *t = json_object_get(c, "text"), *r = json_object_get(c, "finish_reason");
    EXPECT_EQ(json_integer_value(json_object_get(c, "index")), 3);
    EXPECT_EQ(json_is_string(r), ended);
    std::string result(json_string_value(t), json_string_length(t));
    last_reason = ended ? json_string_value(r) : "";
    char *dump = json_dumps(json_object_get(c, "logprobs"), JSON_COMPACT | JSON_ENCODE_ANY);
    last_logprobs = dump;
    free(dump);
    json_decref(c);
    return result;
  }
  lm_tokenizer *tokenizer = nullptr;
  lm_request request = {};
  lm_output o = {};
  std::string last_reason, last_logprobs;
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmServerOutput, PlainText) {
  EXPECT_EQ(draw("abc"), "a|b|c|");
  EXPECT_EQ(last_reason, "length");
  EXPECT_EQ(last_logprobs, "null");
}

TEST_F(LmServerOutput, CharactersAreShownWhole) {
  EXPECT_EQ(draw("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80."),
            "a|\xc3\xa9|\xe2\x82\xac|\xf0\x9f\x98\x80|.|");
}

TEST_F(LmServerOutput, WhatIsNoCharacterIsReplaced) {
  EXPECT_EQ(draw("a\xff\xe2\x82"), "a|\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_F(LmServerOutput, StopStrings) {
  stop("END");
  stop("NDX");
  EXPECT_EQ(draw("aEbENENDXc"), "a|Eb|EN|");
  EXPECT_EQ(last_reason, "stop");
}

TEST_F(LmServerOutput, TheEarliestStopCounts) {
  stop("cd");
  stop("bcd");
  EXPECT_EQ(draw("abcde"), "a|");
}

TEST_F(LmServerOutput, HalfAStopIsShownInTheEnd) {
  stop("xyz");
  EXPECT_EQ(draw("axy"), "a|xy");
  EXPECT_EQ(last_reason, "length");
}

TEST_F(LmServerOutput, StopsInThePromptDoNotCount) {
  stop("ab");
  ASSERT_TRUE(lm_output_echo(&o, {(const uint8_t *)"abca", 4}, err));
  EXPECT_EQ(draw("bab"), "abcab|");
  EXPECT_EQ(last_reason, "stop");
}

TEST_F(LmServerOutput, TheEndTokenEnds) {
  EXPECT_EQ(draw(std::string("ab\0c", 4)), "a|b|");
  EXPECT_EQ(last_reason, "stop");
}

TEST_F(LmServerOutput, UnlessItIsIgnored) {
  request.ignore_eos = true;
  EXPECT_EQ(draw(std::string("ab\0c", 4)), std::string("a|b|\0|c|", 8));
  EXPECT_EQ(last_reason, "length");
}

TEST_F(LmServerOutput, Logprobs) {
  request.logprobs = 2;
  std::vector<float> logits(256, -INFINITY);
  logits['a'] = std::log(0.5f), logits[0xe2] = std::log(0.25f), logits['c'] = std::log(0.25f);
  ASSERT_TRUE(lm_output_add(&o, 'x', nullptr, 256, false, err));
  ASSERT_TRUE(lm_output_add(&o, 'c', logits.data(), 256, true, err));
  ASSERT_TRUE(lm_output_add(&o, 0xe2, logits.data(), 256, true, err));
  ASSERT_TRUE(lm_output_add(&o, 'q', logits.data(), 256, true, err));
  take(true);
  EXPECT_EQ(last_logprobs.substr(0, 62),
            "{\"tokens\":[\"x\",\"c\",\"bytes:\\\\xe2\",\"q\"],\"token_logprobs\":[null,-");
  EXPECT_CONTAINS(last_logprobs, ",-9999.0],\"top_logprobs\":[null,{\"c\":-1.38629");
  EXPECT_CONTAINS(last_logprobs, "\"text_offset\":[0,1,2,3]");
}

TEST(LmLogprobs, SumsAndOrder) {
  std::vector<float> x = {1, 3, 2, 3, -INFINITY};
  EXPECT_NEAR(lm_log_sum_exp(x.data(), 5), std::log(std::exp(1) + 2 * std::exp(3) + std::exp(2)),
              1e-12);
  int32_t best[5];
  ASSERT_EQ(lm_likeliest(x.data(), 5, 3, best), 3);
  EXPECT_EQ(std::vector<int32_t>(best, best + 3), (std::vector<int32_t>{1, 3, 2}));
  EXPECT_EQ(lm_likeliest(x.data(), 2, 5, best), 2);
  EXPECT_EQ(lm_likeliest(x.data(), 5, 0, best), 0);
  x[2] = NAN;
  EXPECT_TRUE(std::isnan(lm_log_sum_exp(x.data(), 5)));
}

TEST(LmUtf8, Pending) {
  auto pending = [](const std::string &s) {
    return lm_utf8_pending((const uint8_t *)s.data(), (int64_t)s.size());
  };
  EXPECT_EQ(pending(""), 0);
  EXPECT_EQ(pending("a\xc3"), 1);
  EXPECT_EQ(pending("\xe2\x82"), 2);
  EXPECT_EQ(pending("\xf0\x9f\x98"), 3);
  EXPECT_EQ(pending("\xc3\xa9"), 0);
  EXPECT_EQ(pending("\xe0\x80"), 0); /* can begin no sequence */
  EXPECT_EQ(pending("\xff"), 0);
  EXPECT_EQ(pending("\x80\x80\x80\x80"), 0);
  EXPECT_EQ(lm_utf8_count((const uint8_t *)"a\xc3\xa9\xff", 4), 3);
}

}  // namespace
