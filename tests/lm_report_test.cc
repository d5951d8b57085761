// The report: whole, self-contained, and safe with any text.
#include "examples/lm/report.h"

#include <cmath>
#include <vector>

#include "examples/lm/chart.h"
#include "examples/lm/html.h"
#include "tests/lm_util.h"

namespace {

std::string escaped(const std::string &bytes) {
  char *text = nullptr;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  lm_html_bytes(out, bytes.data(), bytes.size());
  fclose(out);
  std::string result(text, size);
  free(text);
  return result;
}

TEST(LmHtml, AnyBytes) {
  EXPECT_EQ(escaped("a<b>&\"c\"\n\t"), "a&lt;b&gt;&amp;&quot;c&quot;\n\t");
  EXPECT_EQ(escaped(std::string("\0\x1b\x7f", 3)), "&#x2400;&#x241b;&#x2421;");
  EXPECT_EQ(escaped("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  const std::string bad = "&#xfffd;";
  EXPECT_EQ(escaped("\xc3"), bad);           /* cut short */
  EXPECT_EQ(escaped("\xc0\xaf"), bad + bad); /* longer than need be */
  EXPECT_EQ(escaped("\xe0\x80\xaf"), bad + bad + bad);
  EXPECT_EQ(escaped("\xed\xa0\x80"), bad + bad + bad); /* half of a pair */
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), bad + bad + bad + bad);
  EXPECT_EQ(escaped("\xff<"), bad + "&lt;");
}

TEST(LmChart, Ticks) {
  EXPECT_DOUBLE_EQ(lm_chart_tick(0, 1000, 8), 100);
  EXPECT_DOUBLE_EQ(lm_chart_tick(0, 1500, 8), 200);
  EXPECT_DOUBLE_EQ(lm_chart_tick(2.0, 4.2, 6), 0.5);
  EXPECT_DOUBLE_EQ(lm_chart_tick(0, 0.006, 6), 0.001);
  EXPECT_DOUBLE_EQ(lm_chart_tick(1, 1, 6), 1);
  EXPECT_DOUBLE_EQ(lm_chart_tick(0, NAN, 6), 1);
}

class LmReport : public testing::Test {
 protected:
  void run(int64_t steps) {
    for (int64_t i = 1; i <= steps; i++) {
      lm_record r = {};
      r.step = i, r.loss = 1.6 + 4 * std::exp(-(double)i / 60) + 0.1 * std::sin(7.0 * (double)i);
      r.validation = i % 50 == 0 ? r.loss + 0.05 : NAN;
      records.push_back(r);
    }
    report.record = records.data(), report.records = (int64_t)records.size();
  }
  std::string write() {
    std::string path = folder.path("report.html");
    EXPECT_TRUE(lm_report_write(path.c_str(), &report, err)) << err;
    return lm::read_file(path);
  }
  LmReport() {
    report.title = "rdn, 3.2M parameters";
    report.bits_per_byte = report.trigram_bits_per_byte = NAN;
  }
  lm::Folder folder;
  std::vector<lm_record> records;
  lm_report report = {};
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmReport, HoldsEverything) {
  run(1000);
  report.summary = "500 steps <on> a CPU";
  report.bits_per_byte = 2.31, report.trigram_bits_per_byte = 2.9;
  const lm_fact facts[] = {{"parameters", "3.2M"}}, settings[] = {{"lr", "3e-4"}, {"data", "a&b"}};
  report.fact = facts, report.facts = 1, report.setting = settings, report.settings = 2;
  report.prompt = "The ", report.prompt_bytes = 4;
  report.sample = "<script>alert(1)</script>\xff", report.sample_bytes = 26;
  std::string page = write();
  for (const char *part :
       {"<title>rdn, 3.2M parameters</title>", "&lt;on&gt;", "2.310", "2.900", "trigram", "<svg",
        "class=\"raw\"", "class=\"train\"", "class=\"validation\"", "a&amp;b", "</html>\n",
        "<span class=\"prompt\">The </span>&lt;script&gt;alert(1)&lt;/script&gt;&#xfffd;"})
    EXPECT_CONTAINS(page, part);
  for (const char *part : {"http", "src=", "<script", "@import", "url(//", "nan", "inf"})
    EXPECT_FALSE(lm::contains(page, part)) << part;
}

TEST_F(LmReport, AMillionStepsStaySmall) {
  run(300000);
  std::string page = write();
  EXPECT_TRUE(page.size() < 700000) << page.size();
}

TEST_F(LmReport, RunsWithLittleToShow) {
  std::string page = write();
  EXPECT_FALSE(lm::contains(page, "<svg"));
  run(1);
  EXPECT_CONTAINS(write(), "<svg");
  records[0].loss = NAN;
  EXPECT_FALSE(lm::contains(write(), "<svg"));
  records.clear();
  run(20);
  for (size_t i = 5; i < 20; i++) records[i].loss = i % 2 ? NAN : INFINITY;
  page = write();
  EXPECT_CONTAINS(page, "<svg");
  EXPECT_FALSE(lm::contains(page, "nan"));
}

TEST_F(LmReport, Refusal) {
  EXPECT_FALSE(lm_report_write(folder.path("none/x.html").c_str(), &report, err));
  EXPECT_CONTAINS(err, "cannot write");
}

}  // namespace
