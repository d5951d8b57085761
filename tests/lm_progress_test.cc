// The step line as scripts know it, and what goes to a file instead of a terminal.
#include "examples/lm/progress.h"

#include "tests/lm_util.h"

namespace {

lm_step step_of(int64_t step, int64_t steps) {
  lm_step s = {};
  s.step = step, s.steps = steps, s.loss = 3.2144, s.norm = 0.917, s.lr = 3e-4;
  s.seconds = 0.0412, s.tokens = 8192;
  return s;
}

std::string format(lm_step s) {
  char line[256];
  lm_step_format(&s, line, sizeof line);
  return line;
}

TEST(LmProgress, StepLine) {
  lm_step s = step_of(12, 500);
  s.eta = 20.1;
  EXPECT_EQ(format(s),
            "step 12/500 | loss 3.214 | norm 0.92 | lr 3.0e-04 | 41.2 ms | 199k tok/s | eta 20s");
  s.mfu = 0.381, s.memory_bytes = 1234000000;
  EXPECT_EQ(format(s),
            "step 12/500 | loss 3.214 | norm 0.92 | lr 3.0e-04 | 41.2 ms | 38.1% MFU | 199k tok/s "
            "| 1.23 GB | eta 20s");
  s.seconds = 12.34, s.tokens = 0;
  EXPECT_CONTAINS(format(s), "| 12.3 s |");
}

std::string count(double x) {
  char t[32];
  lm_count_format(x, t, sizeof t);
  return t;
}
std::string time_of(double x) {
  char t[32];
  lm_time_format(x, t, sizeof t);
  return t;
}

TEST(LmProgress, Numbers) {
  EXPECT_EQ(count(0), "0");
  EXPECT_EQ(count(950), "950");
  EXPECT_EQ(count(999.6), "1.00k");
  EXPECT_EQ(count(9996), "10.0k");
  EXPECT_EQ(count(198835), "199k");
  EXPECT_EQ(count(3.2e6), "3.20M");
  EXPECT_EQ(count(1.547e9), "1.55B");
  EXPECT_EQ(count(2e16), "20000T");
  EXPECT_EQ(time_of(0), "0s");
  EXPECT_EQ(time_of(59.6), "1m00s");
  EXPECT_EQ(time_of(185), "3m05s");
  EXPECT_EQ(time_of(7800), "2h10m");
  EXPECT_EQ(time_of(356400), "4d03h");
  EXPECT_EQ(time_of(-1), "0s");
}

/* What a run of so many steps prints into a file. */
std::string run(bool quiet, int64_t every, int64_t steps) {
  lm::Folder f;
  FILE *out = fopen(f.path("out").c_str(), "w");
  lm_progress p = lm_progress_new(out, quiet, every);
  EXPECT_FALSE(p.terminal);
  lm_progress_fact(&p, "device", "cpu, %d threads", 2);
  for (int64_t i = 1; i <= steps; i++) {
    lm_step s = step_of(i, steps);
    lm_progress_step(&p, &s);
  }
  lm_progress_note(&p, "saved");
  lm_progress_say(&p, "done");
  lm_progress_clear(&p);
  fclose(out);
  return lm::read_file(f.path("out"));
}

TEST(LmProgress, PlainLinesWhereThereIsNoTerminal) {
  std::string text = run(false, 2, 5);
  EXPECT_EQ(text.substr(0, 26), "device    cpu, 2 threads\ns");
  for (const char *line :
       {"step 1/5 |", "step 2/5 |", "step 4/5 |", "step 5/5 |", "\nsaved\ndone\n"})
    EXPECT_CONTAINS(text, line);
  EXPECT_FALSE(lm::contains(text, "step 3/5"));
  EXPECT_FALSE(lm::contains(text, "\033"));
  EXPECT_FALSE(lm::contains(text, "\r"));
  EXPECT_CONTAINS(text, "eta 0s");
}

TEST(LmProgress, Quiet) { EXPECT_EQ(run(true, 1, 5), "done\n"); }

TEST(LmProgress, TheBarIsTakenAwayBeforeALine) {
  lm::Folder f;
  FILE *out = fopen(f.path("out").c_str(), "w");
  lm_progress p = lm_progress_new(out, false, 100);
  p.terminal = true;
  lm_step s = step_of(250, 501);
  lm_progress_step(&p, &s);
  EXPECT_TRUE(p.bar);
  lm_progress_note(&p, "saved");
  EXPECT_FALSE(p.bar);
  fclose(out);
  std::string text = lm::read_file(f.path("out"));
  EXPECT_CONTAINS(text, "[#####-------] step 250/501 | loss 3.214");
  EXPECT_EQ(text.substr(text.size() - 10), "\r\033[Ksaved\n");
}

}  // namespace
