// Runs side by side: read from what is left of them, drawn on one page.
#include "examples/lm/compare.h"

#include <cmath>
#include <random>
#include <vector>

#include "examples/lm/curve.h"
#include "tests/lm_util.h"

namespace {

class LmCompare : public testing::Test {
 protected:
  std::string log(int steps, double level) {
    std::string text;
    for (int i = 1; i <= steps; i++) {
      char line[256];
      int n =
          snprintf(line, sizeof line,
                   "{\"step\": %d, \"loss\": %.6f, \"norm\": 1, \"lr\": 0.001, \"seconds\": 0.5, "
                   "\"tokens\": 100%s",
                   i, level + 3 * std::exp(-i / 20.0), i % 20 ? "}\n" : "");
      if (i % 20 == 0)
        snprintf(line + n, sizeof line - (size_t)n, ", \"validation\": %.6f}\n",
                 level + 0.5 + (i == 40 ? -0.25 : 0));
      text += line;
    }
    return text;
  }
  std::string page(std::vector<std::string> names) {
    std::vector<lm_run> runs(names.size());
    for (size_t i = 0; i < names.size(); i++)
      EXPECT_TRUE(lm_run_open(&runs[i], names[i].c_str(), err)) << err;
    std::string path = folder.path("page.html");
    EXPECT_TRUE(lm_compare_write(path.c_str(), runs.data(), (int)runs.size(), err)) << err;
    for (lm_run &run : runs) lm_run_close(&run);
    return lm::read_file(path);
  }
  lm::Folder folder;
  lm_run run;
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmCompare, Results) {
  folder.write("run/log.jsonl", log(100, 1));
  std::string path = folder.path("run");
  ASSERT_TRUE(lm_run_open(&run, path.c_str(), err)) << err;
  lm_run_result r = lm_run_end(&run);
  EXPECT_EQ(r.steps, 100);
  EXPECT_EQ(r.tokens, 10000);
  EXPECT_DOUBLE_EQ(r.seconds, 50);
  EXPECT_NEAR(r.loss, 1 + 3 * std::exp(-99 / 20.0), 1e-3);
  EXPECT_DOUBLE_EQ(r.last, 1.5);
  EXPECT_DOUBLE_EQ(r.best, 1.25);
  EXPECT_EQ(r.best_step, 40);
  char *text = nullptr;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  lm_compare_print(out, &run, 1);
  fclose(out);
  EXPECT_CONTAINS(text, "100    10.0k      50s     1.02");
  EXPECT_CONTAINS(text, "1.5000     1.2500         40");
  free(text);
  lm_run_close(&run);
}

TEST_F(LmCompare, APageOfThreeRuns) {
  folder.write("a/log.jsonl", log(100, 1));
  folder.write("a/settings.json", R"({"lr": 0.001, "model": "rdn", "out": "a", "seed": 1})");
  folder.write("b<i>/log.jsonl", log(60, 2));
  folder.write("b<i>/settings.json", R"({"lr": 0.002, "model": "rdn", "out": "b", "width": 8})");
  std::string alone = folder.write("alone.jsonl", log(30, 1.5));
  std::string text = page({folder.path("a"), folder.path("b<i>"), alone});
  EXPECT_CONTAINS(text, "3 runs");
  for (const char *part : {"Loss by step", "Loss by tokens", "seconds of training", "Results",
                           "Settings that differ", "class=\"c0\"", "class=\"c1 dashed\"",
                           "class=\"c2\"", "<td>lr</td><td>0.001</td><td>0.002</td><td>-</td>",
                           "<td>width</td><td>-</td><td>8</td><td>-</td>", "b&lt;i&gt;"})
    EXPECT_CONTAINS(text, part);
  EXPECT_FALSE(lm::contains(text, "b<i>"));
  EXPECT_FALSE(lm::contains(text, "<td>out</td>"));
  EXPECT_FALSE(lm::contains(text, "nan"));
  std::string two = page({folder.path("a"), folder.path("b<i>")});
  EXPECT_FALSE(lm::contains(two, "<td>model</td>")); /* they do not differ in it */
  EXPECT_CONTAINS(page({folder.path("a")}), "<td>model</td><td>rdn</td>");
}

TEST_F(LmCompare, DamagedLines) {
  std::string text = log(100, 1);
  size_t third = text.find("{\"step\": 3,");
  text.replace(third, 4, "\xff\xfe{}");
  text.insert(text.find("{\"step\": 50,"), std::string("\0\n\n", 3));
  text += "{\"step\": 101, \"lo"; /* being written */
  folder.write("run/log.jsonl", text);
  folder.write("run/settings.json", "{\"lr\": ");
  ASSERT_TRUE(lm_run_open(&run, folder.path("run").c_str(), err)) << err;
  EXPECT_EQ(run.records, 99);
  EXPECT_EQ(run.damage.lines, 3);
  EXPECT_EQ(run.damage.first, 3);
  EXPECT_EQ(run.settings, nullptr);
  lm_run_close(&run);
  EXPECT_CONTAINS(page({folder.path("run")}), "3 damaged lines were left out; line 3: ");
}

TEST_F(LmCompare, WhatIsNoRun) {
  EXPECT_FALSE(lm_run_open(&run, folder.path("none").c_str(), err));
  EXPECT_CONTAINS(err, "No such file");
  lm_run_close(&run);
  EXPECT_FALSE(lm_run_open(&run, folder.path().c_str(), err));
  EXPECT_CONTAINS(err, "log.jsonl");
  lm_run_close(&run);
  EXPECT_FALSE(lm_run_open(&run, folder.write("text", "some\ntext\n").c_str(), err));
  EXPECT_CONTAINS(err, "is not the log of a run: line 1: not a JSON object");
  lm_run_close(&run);
  EXPECT_FALSE(lm_run_open(&run, folder.write("empty", "").c_str(), err));
  EXPECT_CONTAINS(err, "holds no steps yet");
  lm_run_close(&run);
}

TEST_F(LmCompare, AnyBytes) {
  std::mt19937 random(5);
  std::string good = log(20, 1);
  for (int i = 0; i < 2000; i++) {
    std::string text = good;
    for (int k = 0; k <= i % 5; k++) text[random() % text.size()] = (char)random();
    lm_record *records = nullptr;
    int64_t count = 0;
    lm_runlog_damage damage;
    ASSERT_TRUE(
        lm_runlog_salvage(text.data(), (int64_t)text.size(), &records, &count, &damage, err));
    EXPECT_GE(count, 0);
    for (int64_t j = 1; j < count; j++) EXPECT_GT(records[j].step, records[j - 1].step);
    free(records);
  }
}

TEST(LmCurve, AxesAndMeans) {
  std::vector<lm_record> r(5000);
  for (size_t i = 0; i < r.size(); i++) {
    r[i].step = (int64_t)i + 1, r[i].loss = i == 7 ? NAN : 2, r[i].tokens = 10;
    r[i].seconds = 0.25, r[i].validation = i % 1000 == 0 ? 3 : NAN;
  }
  std::vector<double> x(r.size());
  lm_curve_x(r.data(), 5000, LM_BY_TOKENS, x.data());
  EXPECT_EQ(x[4999], 50000);
  lm_curve_x(r.data(), 5000, LM_BY_SECONDS, x.data());
  EXPECT_EQ(x[4999], 1250);
  std::vector<lm_point> point(5000);
  int64_t n = lm_curve_mean(r.data(), 5000, x.data(), 0.5, point.data());
  EXPECT_LE(n, LM_CURVE_POINTS);
  EXPECT_EQ(point[0].y, 1);
  EXPECT_EQ(point[(size_t)n - 1].x, 1250);
  EXPECT_EQ(lm_curve_validation(r.data(), 5000, x.data(), 1, point.data()), 5);
  double low = NAN, high = NAN;
  lm_curve_frame(point.data(), 5, 0, &low, &high);
  EXPECT_EQ(low, 3);
  EXPECT_EQ(high, 3);
}

}  // namespace
