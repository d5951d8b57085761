// recall's parts: settings as text, results as lines, training and testing, the pages.
#include "examples/lm/recall.h"

#include <jansson.h>

#include <cmath>
#include <random>
#include <vector>

#include "examples/lm/chart.h"
#include "examples/lm/heatmap.h"
#include "examples/lm/recall_batch.h"
#include "examples/lm/recall_report.h"
#include "ops/ops.h"
#include "tests/lm_util.h"

namespace {

const lm_task *task(const char *name) {
  char err[LM_ERROR_SIZE];
  return lm_task_find(name, err);
}

lm_task_shape like() {
  lm_task_shape s = {};
  s.rewrites = s.depth = -1;
  return s;
}

// ---- settings ----

TEST(LmRecallSettings, AreRead) {
  char err[LM_ERROR_SIZE] = "";
  lm_recall_setting *list;
  int64_t count;
  lm_task_shape s = like();
  ASSERT_TRUE(
      lm_recall_settings(task("mqar"), &s, "--train", "64:4:2.5,128,1e3:7", &list, &count, err))
      << err;
  ASSERT_EQ(count, 3);
  EXPECT_TRUE(list[0].shape.length == 64 && list[0].shape.pairs == 4 && list[0].weight == 2.5);
  EXPECT_TRUE(list[1].shape.length == 128 && list[1].shape.pairs == 8 && list[1].weight == 1);
  EXPECT_TRUE(list[2].shape.length == 1000 && list[2].shape.pairs == 7);
  free(list);
}

TEST(LmRecallSettings, WrongOnesAreRefused) {
  for (const char *text : {"", ",", "64,", ",64", "64:4:1:1", "64:", "64x", "64:4,x", "-64", "64.5",
                           "0", "nan", "inf", "64:4:-1", "64;4", "1e99", "64 :4"}) {
    char err[LM_ERROR_SIZE] = "";
    lm_recall_setting *list;
    int64_t count;
    lm_task_shape s = like();
    EXPECT_FALSE(lm_recall_settings(task("mqar"), &s, "--train", text, &list, &count, err)) << text;
    EXPECT_CONTAINS(err, "--train: expected LENGTH:PAIRS:WEIGHT");
    EXPECT_EQ(list, nullptr);
  }
  char err[LM_ERROR_SIZE] = "";
  lm_recall_setting *list;
  int64_t count;
  lm_task_shape s = like();
  EXPECT_FALSE(lm_recall_settings(task("mqar"), &s, "--test", "64:4,64:99", &list, &count, err));
  EXPECT_STREQ(err, "--test: mqar: pairs must be from 0 to 64 here, not 99");
}

TEST(LmRecallSettings, AnyText) {
  std::mt19937 random(3);
  const char letter[] = "0123456789:,.eE-+xn ";
  for (int i = 0; i < 20000; i++) {
    char err[LM_ERROR_SIZE] = "";
    std::string text;
    for (unsigned n = random() % 12; n > 0; n--) text += letter[random() % (sizeof letter - 1)];
    lm_recall_setting *list;
    int64_t count;
    lm_task_shape s = like();
    bool done = lm_recall_settings(task("copy"), &s, "x", text.c_str(), &list, &count, err);
    EXPECT_EQ(done, list != nullptr && count > 0 && err[0] == '\0') << text;
    free(list);
  }
}

// ---- results ----

lm_recall_line result(const char *model, int64_t state, double lr, int64_t seed, double accuracy) {
  lm_recall_line l = {};
  snprintf(l.task, sizeof l.task, "mqar");
  snprintf(l.model, sizeof l.model, "%s", model);
  l.length = 128, l.pairs = 8, l.vocab = 8192, l.depth = -1, l.width = 64, l.layers = 2;
  l.heads = 2, l.conv = 4, l.parameters = 568000, l.state = state, l.steps = 100, l.batch = 16;
  l.seed = seed, l.lr = lr, l.seconds = 12.5, l.accuracy = accuracy, l.whole = accuracy / 2;
  l.nats = 0.25, l.examples = 500;
  return l;
}

bool parse(const std::string &text, std::vector<lm_recall_line> *out, char *err) {
  lm_recall_line *list = nullptr;
  int64_t count = 0;
  bool done = lm_recall_lines_parse("r.jsonl", text.data(), text.size(), &list, &count, err);
  if (done) out->assign(list, list + count);
  free(list);
  return done;
}

TEST(LmRecallLine, ReadsBackWhatWasWritten) {
  char err[LM_ERROR_SIZE] = "";
  lm_bytes text = {};
  lm_recall_line a = result("rdn", 8192, 0.01, 3, 0.984375);
  ASSERT_TRUE(lm_recall_line_print(&a, &text, err) && lm_recall_line_print(&a, &text, err)) << err;
  std::string lines((const char *)text.data, (size_t)text.count);
  free(text.data);
  std::vector<lm_recall_line> back;
  ASSERT_TRUE(parse(lines + "{\"task\": \"mq", &back, err)) << err;
  ASSERT_EQ(back.size(), 2u);
  for (const lm_recall_line &b : back) {
    EXPECT_STREQ(b.task, a.task);
    EXPECT_STREQ(b.model, a.model);
    EXPECT_TRUE(b.length == a.length && b.pairs == a.pairs && b.state == a.state &&
                b.seed == a.seed && b.lr == a.lr && b.accuracy == a.accuracy && b.depth == -1 &&
                b.seconds == a.seconds && b.examples == a.examples && b.vocab == a.vocab);
  }
  a.nats = NAN;
  EXPECT_FALSE(lm_recall_line_print(&a, &text, err));
  EXPECT_CONTAINS(err, "nats is not finite");
}

TEST(LmRecallLine, OthersAreRefusedByNumber) {
  const std::string good = "{\"task\":\"copy\",\"model\":\"gdn\",\"accuracy\":1}\n";
  std::vector<lm_recall_line> back;
  char err[LM_ERROR_SIZE] = "";
  EXPECT_TRUE(parse(good + "{\"task\":\"copy\",\"model\":\"gdn\",\"accuracy\":0.5,\"new\":[]}\n",
                    &back, err));
  for (const char *bad :
       {"\n", "[]\n", "{}\n", "nonsense\n", "{\"task\":\"copy\",\"model\":\"gdn\"}\n",
        "{\"task\":1,\"model\":\"gdn\",\"accuracy\":1}\n",
        "{\"task\":\"copy\",\"model\":\"gdn\",\"accuracy\":\"1\"}\n",
        "{\"task\":\"copy\",\"model\":\"gdn\",\"accuracy\":1,\"state\":1.5}\n"}) {
    EXPECT_FALSE(parse(good + bad, &back, err)) << bad;
    EXPECT_CONTAINS(err, "r.jsonl:2: no result of recall");
  }
}

TEST(LmRecallLine, AnyBytes) {
  std::mt19937 random(5);
  const std::string good =
      "{\"task\":\"copy\",\"model\":\"gdn\",\"accuracy\":1,\"lr\":1e-2,\"state\":77}\n";
  for (int i = 0; i < 20000; i++) {
    std::string text = good + good;
    for (unsigned n = random() % 4; n > 0; n--) text[random() % text.size()] = (char)random();
    text.resize(random() % (text.size() + 1));
    std::vector<lm_recall_line> back;
    char err[LM_ERROR_SIZE] = "";
    if (!parse(text, &back, err)) EXPECT_CONTAINS(err, "r.jsonl:");
  }
}

// ---- pages ----

size_t count_of(const std::string &text, const std::string &part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) n++;
  return n;
}

TEST(LmRecallPlot, BestRateAndMeanOverSeeds) {
  lm::Folder folder;
  std::vector<lm_recall_line> all = {
      result("rdn", 8192, 0.01, 1, 0.9), result("gdn", 4096, 0.01, 1, 0.25),
      result("rdn", 8192, 0.01, 2, 1.0), result("rdn", 8192, 0.001, 1, 0.5),
      result("rdn", 65536, 0.01, 1, 0.99)};
  all.push_back(result("rdn", 8192, 0.01, 1, 0.125));
  all.back().pairs = 16;
  std::string path = folder.path("plot.html");
  char err[LM_ERROR_SIZE] = "";
  ASSERT_TRUE(lm_recall_plot_write(path.c_str(), all.data(), (int64_t)all.size(), err)) << err;
  std::string page = lm::read_file(path);
  EXPECT_EQ(count_of(page, "<section>"), 2u);
  EXPECT_EQ(count_of(page, "<polyline"), 3u);
  EXPECT_EQ(count_of(page, "<circle"), 4u);
  EXPECT_CONTAINS(page, "<td>8192</td><td>568000</td><td>0.9500</td><td>0.01</td><td>2</td>");
  EXPECT_CONTAINS(page, "<td>65536</td><td>568000</td><td>0.9900</td><td>0.01</td><td>1</td>");
  EXPECT_CONTAINS(page, "mqar, length 128, 16 pairs");
  EXPECT_CONTAINS(page, "both are counted");
  EXPECT_FALSE(lm_recall_plot_write(folder.path("no/plot.html").c_str(), all.data(), 1, err));
}

TEST(LmRecallReport, HeatMapOfDepthAndLength) {
  lm::Folder folder;
  std::vector<lm_recall_line> all;
  for (int64_t length : {128, 64, 256})
    for (double depth : {0.0, 1.0}) {
      all.push_back(result("rla", 8192, 0.01, 1, 0.5));
      all.back().length = length, all.back().depth = depth;
      all.back().whole = depth * 0.25 + (double)length / 1024;
    }
  lm_record record = {};
  record.step = 1, record.loss = 3, record.validation = NAN;
  std::string path = folder.path("report.html");
  char err[LM_ERROR_SIZE] = "";
  ASSERT_TRUE(lm_recall_report_write(path.c_str(), all.data(), 6, &record, 1, err)) << err;
  std::string page = lm::read_file(path);
  EXPECT_EQ(count_of(page, "<rect class=\"cell\""), 6u);
  EXPECT_CONTAINS(page, ">50%</text>");  // length 256, depth 1
  EXPECT_CONTAINS(page, "<h2>Loss</h2>");
  char text[2000] = "";
  FILE *out = fmemopen(text, sizeof text, "w");
  lm_recall_grid_print(out, all.data(), 6);
  fclose(out);
  EXPECT_STREQ(text,
               "   depth      64     128     256\n"
               "    0.00    6.2%   12.5%   25.0%\n"
               "    1.00   31.2%   37.5%   50.0%\n");
}

TEST(LmChart, PowersOfTwo) {
  lm_point point[] = {{1024, 0.5}, {16384, 1}};
  lm_line line = {};
  line.style = "c0", line.name = "a", line.point = point, line.count = 2;
  lm_chart chart = {};
  chart.title = "t", chart.x_label = "x", chart.y_label = "y";
  chart.x_low = 1024, chart.x_high = 16384, chart.x_log = true, chart.y_high = 1;
  chart.line = &line, chart.lines = 1, chart.level = NAN;
  std::string text(20000, '\0');
  FILE *out = fmemopen(text.data(), text.size(), "w");
  lm_chart_write(out, &chart);
  fclose(out);
  for (const char *tick : {">1024<", ">2048<", ">4096<", ">8192<", ">16384<"})
    EXPECT_CONTAINS(text, tick);
  EXPECT_CONTAINS(text, "points=\"58.0,184.0 884.0,14.0 \"");  // the frame's corners
}

// ---- training and testing ----

struct Model {
  explicit Model(const char *name, int64_t vocab, int64_t width = 16) {
    ctx = rill_context_new({});
    rill_lm_preset(name, &config);
    config.vocab = vocab, config.width = width, config.layers = 2, config.heads = 2;
    config.mlp = false, config.tied = true;
    EXPECT_TRUE(lm_model_new(&model, ctx, &config, RILL_F32));
  }
  ~Model() { EXPECT_EQ(rill_context_free(ctx), 0); }
  rill_context *ctx;
  rill_lm_config config = {};
  lm_model model = {};
};

// The score is that of the logits of the whole example.
TEST(LmRecall, TestAgreesWithAllLogits) {
  char err[LM_ERROR_SIZE] = "";
  Model m("rdn", 32);
  lm_task_shape s = like();
  s.length = 32, s.pairs = 4, s.vocab = 32;
  ASSERT_TRUE(lm_task_resolve(task("mqar"), &s, err)) << err;
  lm_recall_score score;
  ASSERT_TRUE(lm_recall_test(&m.model, task("mqar"), &s, 7, 10, 4, &score, err)) << err;
  std::vector<int32_t> x(320), y(320);
  for (int64_t i = 0; i < 10; i++)
    lm_task_example(task("mqar"), &s, 7, LM_SPLIT_TEST, i, &x[(size_t)i * 32], &y[(size_t)i * 32]);
  rill_scope *scope = rill_scope_open_no_grad(m.ctx);
  rill_tensor *ids = rill_from(m.ctx, RILL_I32, RILL_SHAPE(10, 32), x.data());
  rill_tensor *targets = rill_from(m.ctx, RILL_I32, RILL_SHAPE(10, 32), y.data());
  EXPECT_NEAR(rill_item(rill_lm_loss(m.model.lm, ids, targets)), score.nats, 1e-5);
  std::vector<int64_t> best(320);
  rill_read(rill_argmax(rill_lm_apply(m.model.lm, ids), 2, false), best.data(), 320 * 8);
  rill_scope_close(scope);
  double right = 0;
  for (size_t t = 0; t < 320; t++) right += y[t] != LM_NOT_COUNTED && best[t] == y[t];
  EXPECT_NEAR(score.accuracy, right / 40, 1e-12);
  EXPECT_EQ(score.examples, 10);
}

TEST(LmRecall, AModelWithAnotherVocabularyIsRefused) {
  char err[LM_ERROR_SIZE] = "";
  Model m("gdn", 6);
  lm_task_shape s = like();
  ASSERT_TRUE(lm_task_resolve(task("copy"), &s, err));
  lm_recall_score score;
  EXPECT_FALSE(lm_recall_test(&m.model, task("copy"), &s, 0, 4, 4, &score, err));
  EXPECT_STREQ(err, "the task has 18 different tokens, the model knows 6");
}

// Sentences in pieces: what counts is the answer and nothing else, whatever the tokenizer joins.
TEST(LmRecall, TextInTheModelsOwnTokens) {
  char err[LM_ERROR_SIZE] = "";
  std::string text = lm::prose(20000) + " special magic number for is: 1 2 3 4 5 6 7 8 9 0 ";
  lm_tokenizer *pieces =
      lm_tokenizer_train("bpe", 320, {(const uint8_t *)text.data(), (int64_t)text.size()}, err);
  ASSERT_TRUE(pieces) << err;
  lm_task_shape s = like();
  s.length = 400;
  ASSERT_TRUE(lm_task_resolve(task("needle_text"), &s, err)) << err;
  lm_recall_batch b;
  ASSERT_TRUE(lm_recall_batch_new(&b, task("needle_text"), &s, pieces, 3, err)) << err;
  const int64_t index[3] = {5, 6, 7};
  ASSERT_TRUE(lm_recall_batch_fill(&b, 1, LM_SPLIT_TEST, index, 3, err)) << err;
  EXPECT_LT(b.length, 400);
  int64_t row = 0;
  for (int64_t i = 0; i < 3; i++) {
    std::vector<int32_t> x(400), y(400);
    lm_task_example(task("needle_text"), &s, 1, LM_SPLIT_TEST, index[i], x.data(), y.data());
    std::string want, answer, got, counted;
    for (int32_t byte : x) want += (char)byte;
    want += (char)y[399];
    answer = want.substr(want.size() - 7);
    int64_t end = 0;  // behind the last token that counts
    for (int64_t t = 0; t < b.length; t++)
      if (b.target[i * b.length + t] != LM_NOT_COUNTED) end = t + 1;
    auto piece = [&](int32_t token) {
      lm_text bytes = lm_tokenizer_text(pieces, token);
      return std::string((const char *)bytes.bytes, (size_t)bytes.count);
    };
    for (int64_t t = 0; t < end; t++) {
      got += piece(b.input[i * b.length + t]);
      int32_t token = b.target[i * b.length + t];
      if (token == LM_NOT_COUNTED) continue;
      counted += piece(token);
      EXPECT_TRUE(row < b.rows && b.row[row] == i * b.length + t && b.answer[row] == token);
      row++;
    }
    got += piece(b.target[i * b.length + end - 1]);
    EXPECT_EQ(got, want);
    EXPECT_TRUE(counted.size() >= 7 && counted.size() < 7 + 16) << counted;
    EXPECT_EQ(counted.substr(counted.size() - 7), answer);
  }
  EXPECT_EQ(row, b.rows);
  lm_recall_batch_free(&b);
  Model m("gdn", 320);
  m.model.tokenizer = pieces;
  lm_recall_score score;
  ASSERT_TRUE(lm_recall_test(&m.model, task("needle_text"), &s, 0, 5, 3, &score, err)) << err;
  EXPECT_TRUE(score.examples == 5 && score.nats > 1 && score.whole <= score.accuracy);
  lm_tokenizer_free(pieces);
}

// What is counted is what the library carries.
TEST(LmRecall, StateIsWhatTheModelCarries) {
  for (const char *const *name = rill_lm_presets; *name && strncmp(*name, "paper", 5); name++) {
    Model m(*name, 32);
    const int64_t length = 12;
    std::vector<int32_t> x(length, 3);
    rill_state *state = rill_state_new(m.ctx);
    rill_scope *scope = rill_scope_open_no_grad(m.ctx);
    rill_lm_apply_state(m.model.lm, rill_from(m.ctx, RILL_I32, RILL_SHAPE(1, length), x.data()),
                        state);
    rill_scope_close(scope);
    rill_parameters all = rill_state_tensors(state);
    int64_t count = 0;
    for (int64_t i = 0; i < all.count; i++) {
      if (!lm::contains(all.at[i].name, "conv")) count += rill_count(all.at[i].value);
    }
    int64_t counted = lm_recall_state(&m.model.lm->config, length);
    if (m.model.lm->config.parts.rule.name)
      EXPECT_EQ(count, counted) << *name;
    else
      EXPECT_GE(count, counted);  // a cache has room for more tokens
    rill_state_free(state);
  }
}

// A small MQAR is learnt in seconds, the same way twice, and the log and the checkpoint are there.
TEST(LmRecall, Learns) {
  double accuracy[2];
  for (double &result_of : accuracy) {
    lm::Folder folder;
    char err[LM_ERROR_SIZE] = "";
    Model m("deltanet", 32, 32);
    lm_recall_setting setting = {};
    setting.shape = like();
    setting.shape.length = 16, setting.shape.pairs = 2, setting.shape.vocab = 32;
    setting.weight = 1;
    ASSERT_TRUE(lm_task_resolve(task("mqar"), &setting.shape, err)) << err;
    rill_adamw_opts adamw = {};
    adamw.lr = 1e-2;
    rill_optim *opt = rill_adamw_new(rill_params(m.model.net), adamw);
    std::string out = folder.path();
    lm_recall_opts opts = {};
    opts.task = task("mqar"), opts.setting = &setting, opts.settings = 1, opts.steps = 300;
    opts.batch = 32, opts.schedule.peak = 1e-2, opts.clip = 1, opts.test_every = 50;
    opts.test_examples = 50, opts.until = 0.95, opts.seed = 1, opts.out = out.c_str();
    opts.save = true;
    lm_progress progress = lm_progress_new(stderr, true, 0);
    lm_recall_result trained;
    ASSERT_TRUE(lm_recall_train(&m.model, opt, &opts, &progress, &trained, err)) << err;
    lm_recall_score score;
    ASSERT_TRUE(lm_recall_test(&m.model, opts.task, &setting.shape, 0, 200, 50, &score, err));
    EXPECT_GT(score.accuracy, 0.9);
    EXPECT_TRUE(trained.steps % 50 == 0);
    lm_record *record = nullptr;
    int64_t records = 0;
    ASSERT_TRUE(lm_runlog_read(folder.path("log.jsonl").c_str(), &record, &records, err)) << err;
    EXPECT_EQ(records, trained.steps);
    free(record);
    lm_model again;
    rill_context *ctx = rill_context_new({});
    ASSERT_TRUE(lm_model_load(&again, ctx, out.c_str()));
    lm_recall_score loaded;
    ASSERT_TRUE(lm_recall_test(&again, opts.task, &setting.shape, 0, 200, 50, &loaded, err));
    EXPECT_EQ(loaded.nats, score.nats);
    rill_context_free(ctx);
    result_of = score.nats;
  }
  EXPECT_EQ(accuracy[0], accuracy[1]);
}

}  // namespace
