// Questions from JSON lines, and what a model makes of them: as if each choice were read by itself.
#include "examples/lm/judge.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "examples/lm/logprobs.h"
#include "ops/ops.h"
#include "tests/lm_util.h"

namespace {

class LmQuestions : public testing::Test {
 protected:
  bool parse(const std::string &line) {
    lm_question_free(&q);
    return lm_question_parse(&q, line.data(), (int64_t)line.size(), err);
  }
  static std::string text(lm_text t) { return std::string((const char *)t.bytes, (size_t)t.count); }
  void TearDown() override { lm_question_free(&q); }
  lm_question q = {};
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmQuestions, PlainForms) {
  ASSERT_TRUE(parse(R"({"context": "2 + 2 =", "choices": [" 3", " 4"], "answer": 1, "id": 7})"));
  EXPECT_EQ(q.kind, LM_ASKS_CHOICE);
  EXPECT_EQ(q.choices, 2);
  EXPECT_EQ(q.answer, 1);
  EXPECT_EQ(text(q.choice[1].context) + "|" + text(q.choice[1].text), "2 + 2 =| 4");
  ASSERT_TRUE(parse(R"({"context": "a", "choices": ["b"]})"));
  EXPECT_EQ(q.kind, LM_ASKS_TEXT);
  ASSERT_TRUE(parse(R"({"text": "all of it"})"));
  EXPECT_EQ(q.kind, LM_ASKS_WHOLE);
  EXPECT_EQ(text(q.choice[0].text), "all of it");
  EXPECT_EQ(q.choice[0].context.count, 0);
}

TEST_F(LmQuestions, SamplesOfTheHarness) {
  ASSERT_TRUE(parse(R"({"doc_id": 0, "doc": {"text": "ignored"}, "target": "1", "arguments": {
      "gen_args_0": {"arg_0": "c", "arg_1": " x"}, "gen_args_1": {"arg_0": "d", "arg_1": " y"}},
      "resps": [[["-1.5", "False"]]], "filter": "none", "acc": 1.0})"))
      << err;
  EXPECT_EQ(q.kind, LM_ASKS_CHOICE);
  EXPECT_EQ(q.answer, 1);
  EXPECT_EQ(text(q.choice[1].context) + text(q.choice[1].text), "d y");
  ASSERT_TRUE(parse(R"({"target": 0, "arguments": [["c", " x"], ["c", " y"]]})")) << err;
  EXPECT_EQ(q.choices, 2);
  ASSERT_TRUE(parse(R"({"target": "0", "arguments": [["c", " x"], ["c", " y"], ["", " x"],
      ["", " y"]]})"))
      << err;
  EXPECT_EQ(q.choices, 2); /* those without context are for mutual information */
  ASSERT_TRUE(parse(R"({"target": " x", "arguments": {"gen_args_0": {"arg_0": "c",
      "arg_1": " x"}}})"))
      << err;
  EXPECT_EQ(q.kind, LM_ASKS_TEXT);
  ASSERT_TRUE(parse(R"({"target": "t", "arguments": {"gen_args_0": {"arg_0": "t"}}})")) << err;
  EXPECT_EQ(q.kind, LM_ASKS_WHOLE);
  EXPECT_EQ(text(q.choice[0].text), "t");
}

TEST_F(LmQuestions, Refusals) {
  const struct {
    const char *line, *message;
  } bad[] = {
      {"", "not JSON"},
      {"[]", "expected {"},
      {"{}", "expected {"},
      {R"({"text": 3})", "\"text\" must be a string"},
      {R"({"context": "a", "choices": ["b", "c"]})", "\"answer\" must be"},
      {R"({"context": "a", "choices": ["b", "c"], "answer": 2})", "there are 2 choices"},
      {R"({"context": "a", "choices": ["b", 1], "answer": 0})", "choice 1 is not a string"},
      {R"({"context": "a", "choices": []})", "expected {"},
      {R"({"arguments": {}})", "\"arguments\" is empty"},
      {R"({"arguments": {"x": 1}})", "no gen_args_0"},
      {R"({"arguments": {"gen_args_0": {"arg_0": "c", "arg_1": {"until": []}}}})", "not texts"},
      {R"({"target": "[0, 1]", "arguments": [["c", "x"], ["c", "y"]]})", "several right ones"},
      {R"({"target": -1, "arguments": [["c", "x"], ["c", "y"]]})", "\"target\" is -1"},
  };
  for (const auto &b : bad) {
    EXPECT_FALSE(parse(b.line)) << b.line;
    EXPECT_CONTAINS(err, b.message);
  }
}

TEST_F(LmQuestions, AnyBytes) {
  std::mt19937 random(4);
  std::string good = R"({"target": "1", "arguments": {"gen_args_0": {"arg_0": "c", "arg_1": " x"},
      "gen_args_1": {"arg_0": "d", "arg_1": " y"}}, "text": "", "context": "a", "choices": ["b"]})";
  for (int i = 0; i < 20000; i++) {
    std::string line = good;
    for (int k = 0; k <= i % 3 && !line.empty(); k++)
      line[random() % line.size()] = random() % 2 ? good[random() % good.size()] : (char)random();
    parse(line);
  }
}

TEST_F(LmQuestions, FilesAndLines) {
  lm::Folder folder;
  lm_questions list;
  std::string path = folder.write("q", "{\"text\": \"a\"}\r\n \n{\"text\": \"b\"}");
  ASSERT_TRUE(lm_questions_read(&list, path.c_str(), err)) << err;
  ASSERT_EQ(list.count, 2);
  EXPECT_EQ(list.at[1].line, 3);
  lm_questions_free(&list);
  path = folder.write("q", "{\"text\": \"a\"}\n\n{\"text\": \"b\"");
  EXPECT_FALSE(lm_questions_read(&list, path.c_str(), err));
  EXPECT_CONTAINS(err, "/q:3: not JSON");
  lm_questions_free(&list);
  path = folder.write("q", "\n");
  EXPECT_FALSE(lm_questions_read(&list, path.c_str(), err));
  EXPECT_CONTAINS(err, "holds no questions");
  lm_questions_free(&list);
}

// ---- with a model ----

class LmJudge : public testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(lm_context_open(&ctx, "cpu", 1, 5, err)) << err;
    rill_lm_config c;
    ASSERT_TRUE(rill_lm_preset(GetParam(), &c));
    c.vocab = 256, c.width = 16, c.layers = 2, c.heads = 2, c.hidden = 16, c.std = 0.4;
    ASSERT_TRUE(lm_model_new(&model, ctx, &c, RILL_F32)) << rill_error(ctx);
    model.tokenizer = lm_tokenizer_bytes(err);
  }
  void TearDown() override {
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    lm_questions_free(&list);
    lm_tokenizer_free(model.tokenizer);
    rill_context_free(ctx);
  }
  void add(const std::string &line) {
    list.at = (lm_question *)lm_resize(list.at, ++list.count, sizeof *list.at, err);
    ASSERT_TRUE(lm_question_parse(&list.at[list.count - 1], line.data(), (int64_t)line.size(), err))
        << err;
  }
  // The whole text in one piece, without a state.
  lm_likelihood alone(std::string context, const std::string &text) {
    if (context.empty()) context = std::string(1, '\0');
    std::string all = context + text;
    std::vector<int32_t> ids;
    for (char b : all) ids.push_back((uint8_t)b);
    auto T = (int64_t)ids.size();
    rill_scope *scope = rill_scope_open_no_grad(ctx);
    std::vector<float> logits((size_t)T * 256);
    EXPECT_TRUE(
        rill_read(rill_lm_apply(model.lm, rill_from(ctx, RILL_I32, RILL_SHAPE(1, T), ids.data())),
                  logits.data(), logits.size() * sizeof(float)));
    rill_scope_close(scope);
    lm_likelihood l = {0, (int64_t)text.size(), true};
    for (size_t i = context.size(); i < all.size(); i++) {
      const float *at = &logits[(i - 1) * 256];
      int32_t best;
      lm_likeliest(at, 256, 1, &best);
      l.nats += (double)at[ids[i]] - lm_log_sum_exp(at, 256);
      l.greedy = l.greedy && best == ids[i];
    }
    return l;
  }
  rill_context *ctx = nullptr;
  lm_model model = {};
  lm_questions list = {};
  char err[LM_ERROR_SIZE] = "";
};

TEST_P(LmJudge, EachChoiceAsIfAlone) {
  std::string longer = lm::prose(300), other = lm::prose(120, 2);
  add(R"({"context": "The brook ", "choices": ["runs", "is", "a rather longer text"], "answer": 0})");
  add(R"({"context": ")" + longer + R"(", "choices": ["x", ""], "answer": 1})");
  add(R"({"text": ")" + other + R"("})");
  add(R"({"context": "", "choices": ["from nothing", "or not"], "answer": 1})");
  add(R"({"text": ")" + longer + R"("})");
  add(R"({"context": "Same length.", "choices": ["one"]})");
  add(R"({"target": 1, "arguments": [["A", " b"], ["Another", " b"], ["Another", " c"]]})");
  std::vector<lm_likelihood> want;
  for (int64_t i = 0; i < list.count; i++)
    for (int64_t k = 0; k < list.at[i].choices; k++) {
      const lm_choice &c = list.at[i].choice[k];
      want.push_back(alone(std::string((const char *)c.context.bytes, (size_t)c.context.count),
                           std::string((const char *)c.text.bytes, (size_t)c.text.count)));
    }
  want[0] = alone("The brook", " runs"), want[1] = alone("The brook", " is");
  want[2] = alone("The brook", " a rather longer text"); /* the space counts to the choice */
  for (int64_t rows : {1, 3, 32}) {
    std::vector<lm_likelihood> got(want.size());
    ASSERT_TRUE(lm_judge(&model, &list, rows, got.data(), err)) << err;
    for (size_t i = 0; i < want.size(); i++) {
      EXPECT_NEAR(got[i].nats, want[i].nats, 1e-3 + 1e-5 * std::fabs(want[i].nats)) << i;
      EXPECT_EQ(got[i].greedy, want[i].greedy) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, LmJudge, testing::Values("rdn", "retnet", "transformer"),
                         [](const auto &info) { return std::string(info.param); });

TEST(LmJudgeScore, Definitions) {
  lm_questions list = {};
  char err[LM_ERROR_SIZE];
  std::vector<std::string> lines = {
      R"({"context": "c", "choices": [" aaaa", " b"], "answer": 0})", /* acc no, acc_norm yes */
      R"({"context": "c", "choices": [" x", " y"], "answer": 1})",    /* both */
      R"({"context": "c", "choices": ["t"]})", R"({"context": "c", "choices": ["u"]})",
      R"({"text": "two words"})"};
  for (const std::string &line : lines) {
    list.at = (lm_question *)lm_resize(list.at, ++list.count, sizeof *list.at, err);
    ASSERT_TRUE(
        lm_question_parse(&list.at[list.count - 1], line.data(), (int64_t)line.size(), err));
  }
  lm_likelihood l[] = {{-4, 5, false}, {-3, 2, false}, {-2, 2, false}, {-1, 2, true},
                       {-1, 1, true},  {-3, 1, false}, {-9, 9, false}};
  lm_score s = lm_judge_score(&list, l);
  EXPECT_EQ(s.choice, 2);
  EXPECT_EQ(s.acc, 0.5);
  EXPECT_EQ(s.acc_norm, 1);
  EXPECT_EQ(s.acc_error, 0.5);
  EXPECT_EQ(s.greedy, 0.5);
  EXPECT_DOUBLE_EQ(s.perplexity, std::exp(2));
  EXPECT_DOUBLE_EQ(s.byte_perplexity, std::exp(1));
  EXPECT_DOUBLE_EQ(s.bits_per_byte, 1 / std::log(2));
  EXPECT_DOUBLE_EQ(s.word_perplexity, std::exp(4.5));
  lm_questions_free(&list);
}

}  // namespace
