// The log: exact, cut at a resume, and forgiving only about what a killed run leaves behind.
#include "examples/lm/runlog.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/lm_util.h"

namespace {

lm_record record(int64_t step) {
  lm_record r = {};
  r.step = step, r.loss = 3.0 / (double)step, r.norm = 0.1, r.lr = 1e-3, r.seconds = 0.5;
  r.tokens = 4096, r.validation = step % 3 == 0 ? 1.0 / 3 : NAN, r.skipped = step == 4;
  return r;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

class LmRunlog : public testing::Test {
 protected:
  LmRunlog() : path(folder.path("log.jsonl")) {}
  void write(int64_t resume, int64_t from, int64_t to) {
    lm_runlog log;
    ASSERT_TRUE(lm_runlog_open(&log, path.c_str(), resume, err)) << err;
    for (int64_t i = from; i <= to; i++) {
      lm_record r = record(i);
      ASSERT_TRUE(lm_runlog_write(&log, &r, err)) << err;
    }
    ASSERT_TRUE(lm_runlog_close(&log, err)) << err;
  }
  bool read() {
    lm_record *list = nullptr;
    int64_t n = 0;
    records.clear();
    if (!lm_runlog_read(path.c_str(), &list, &n, err)) return false;
    records.assign(list, list + n);
    free(list);
    return true;
  }
  lm::Folder folder;
  std::string path;
  std::vector<lm_record> records;
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmRunlog, ReadsBackTheSameBits) {
  write(0, 1, 10);
  ASSERT_TRUE(read()) << err;
  ASSERT_EQ(records.size(), 10u);
  for (const lm_record &r : records) {
    lm_record want = record(r.step);
    EXPECT_TRUE(r.loss == want.loss && r.norm == want.norm && r.lr == want.lr &&
                r.seconds == want.seconds && r.tokens == want.tokens && r.skipped == want.skipped &&
                same(r.validation, want.validation));
  }
  EXPECT_EQ(lm::read_file(path).substr(0, 50),
            "{\"step\": 1, \"loss\": 3, \"norm\": 0.10000000000000001");
}

TEST_F(LmRunlog, NumbersThatAreNotFiniteAreNull) {
  lm_runlog log;
  ASSERT_TRUE(lm_runlog_open(&log, path.c_str(), 0, err));
  lm_record r = record(1);
  r.loss = NAN, r.norm = INFINITY;
  ASSERT_TRUE(lm_runlog_write(&log, &r, err));
  ASSERT_TRUE(lm_runlog_close(&log, err));
  EXPECT_CONTAINS(lm::read_file(path), "\"loss\": null, \"norm\": null");
  ASSERT_TRUE(read()) << err;
  EXPECT_TRUE(std::isnan(records[0].loss));
}

TEST_F(LmRunlog, ResumingCutsWhatComesAfter) {
  write(0, 1, 10);
  std::string whole = lm::read_file(path);
  write(6, 7, 10);
  EXPECT_EQ(lm::read_file(path), whole);
  std::ofstream(path, std::ios::app) << "{\"step\": 11, \"lo"; /* killed while writing */
  ASSERT_TRUE(read()) << err;
  EXPECT_EQ(records.size(), 10u);
  write(10, 11, 11);
  ASSERT_TRUE(read()) << err;
  EXPECT_EQ(records.size(), 11u);
  write(0, 1, 2);
  ASSERT_TRUE(read());
  EXPECT_EQ(records.size(), 2u);
}

TEST_F(LmRunlog, ALostLogDoesNotStopARun) {
  write(5, 6, 7);
  ASSERT_TRUE(read()) << err;
  EXPECT_EQ(records.size(), 2u);
  write(20, 21, 21);
  ASSERT_TRUE(read()) << err;
  EXPECT_EQ(records.size(), 3u);
}

TEST_F(LmRunlog, StepsGoUp) {
  lm_runlog log;
  ASSERT_TRUE(lm_runlog_open(&log, path.c_str(), 0, err));
  lm_record r = record(3);
  ASSERT_TRUE(lm_runlog_write(&log, &r, err));
  EXPECT_FALSE(lm_runlog_write(&log, &r, err));
  EXPECT_CONTAINS(err, "the log is at step 3, and a line of step 3 came");
  EXPECT_TRUE(lm_runlog_close(&log, err));
}

TEST_F(LmRunlog, BadLinesAreNumbered) {
  const char *good = "{\"step\": 1, \"tokens\": 2}\n";
  for (const char *bad :
       {"nonsense\n", "[]\n", "\n", "{\"step\": 2}\n", "{\"step\": 1, \"tokens\": 2}\n",
        "{\"step\": 2, \"tokens\": 2, \"loss\": \"x\"}\n",
        "{\"step\": 2, \"step\": 3, \"tokens\": 2}\n", "{\"step\": -2, \"tokens\": 1}\n"}) {
    folder.write("log.jsonl", std::string(good) + bad);
    EXPECT_FALSE(read()) << bad;
    EXPECT_CONTAINS(err, "log.jsonl:2: ");
    lm_runlog log;
    EXPECT_FALSE(lm_runlog_open(&log, path.c_str(), 1, err)) << bad;
    EXPECT_CONTAINS(err, "move it away");
  }
}

TEST_F(LmRunlog, PlacesThatCannotBeWritten) {
  lm_runlog log;
  EXPECT_FALSE(lm_runlog_open(&log, folder.path("none/log").c_str(), 0, err));
  EXPECT_CONTAINS(err, "cannot write");
  EXPECT_FALSE(read());
  EXPECT_CONTAINS(err, "No such file");
  if (access("/dev/full", W_OK) == 0) {
    ASSERT_TRUE(lm_runlog_open(&log, "/dev/full", 0, err));
    lm_record r = record(1);
    EXPECT_FALSE(lm_runlog_write(&log, &r, err));
    EXPECT_CONTAINS(err, "No space left");
    lm_runlog_close(&log, err);
  }
}

}  // namespace
