// Options: every kind from every source, and the message for everything that can be wrong.
#include "examples/lm/args.h"

#include <cmath>
#include <vector>

#include "tests/lm_util.h"

namespace {

struct Values {
  bool resume, compile;
  int64_t steps, seq;
  double lr, decay;
  const char *data, *schedule;
};

class LmArgs : public testing::Test {
 protected:
  LmArgs() { args.program = "pretrain", args.summary = "Trains.", args.option = table; }
  ~LmArgs() override { lm_args_free(&args); }

  bool parse(std::vector<std::string> words) {
    lm_args_free(&args);
    kept = std::move(words);
    kept.insert(kept.begin(), "pretrain");
    pointers.clear();
    for (std::string &w : kept) pointers.push_back(w.data());
    return lm_args_parse(&args, (int)kept.size(), pointers.data(), err);
  }
  std::string error(std::vector<std::string> words) {
    EXPECT_FALSE(parse(std::move(words)));
    return err;
  }
  std::string config_error(const std::string &json) {
    return error({"--config", folder.write("c.json", json)});
  }

  Values v = {};
  lm_option table[9] = {
      {"data", LM_STRING, &v.data, nullptr, "Text", "a file or a folder", 0, 0, nullptr},
      {"steps", LM_INT, &v.steps, "1000", "Training", "updates to make", 1, 1e9, nullptr},
      {"seq", LM_INT, &v.seq, "256", nullptr, "bytes in a window", 0, 0, nullptr},
      {"lr", LM_FLOAT, &v.lr, "3e-4", nullptr, "peak learning rate", 0, 1, nullptr},
      {"weight-decay", LM_FLOAT, &v.decay, "0.1", nullptr, "pull to 0", 0, INFINITY, nullptr},
      {"schedule", LM_CHOICE, &v.schedule, "cosine", nullptr, "rate", 0, 0, "cosine|linear"},
      {"resume", LM_FLAG, &v.resume, nullptr, "Run", "go on", 0, 0, nullptr},
      {"compile", LM_FLAG, &v.compile, "true", nullptr, "on by default", 0, 0, nullptr},
      {}};
  lm_args args = {};
  char err[LM_ERROR_SIZE] = "";
  std::vector<std::string> kept;
  std::vector<char *> pointers;
  lm::Folder folder;
};

TEST_F(LmArgs, Defaults) {
  ASSERT_TRUE(parse({})) << err;
  EXPECT_EQ(v.data, nullptr);
  EXPECT_EQ(v.steps, 1000);
  EXPECT_EQ(v.lr, 3e-4);
  EXPECT_STREQ(v.schedule, "cosine");
  EXPECT_FALSE(v.resume);
  EXPECT_TRUE(v.compile);
}

TEST_F(LmArgs, EveryWayToWriteOne) {
  ASSERT_TRUE(parse({"--steps", "20", "--lr=1e-3", "--data", "-", "--resume", "--no-compile",
                     "--schedule=linear", "--weight_decay", "0", "--seq=4e3"}))
      << err;
  EXPECT_EQ(v.steps, 20);
  EXPECT_EQ(v.lr, 1e-3);
  EXPECT_STREQ(v.data, "-");
  EXPECT_TRUE(v.resume);
  EXPECT_FALSE(v.compile);
  EXPECT_STREQ(v.schedule, "linear");
  EXPECT_EQ(v.decay, 0);
  EXPECT_EQ(v.seq, 4000);
  ASSERT_TRUE(parse({"--resume=true", "--resume=false", "--seq", "-5", "--data=--x"})) << err;
  EXPECT_FALSE(v.resume) << "the last one counts";
  EXPECT_EQ(v.seq, -5);
  EXPECT_STREQ(v.data, "--x");
}

TEST_F(LmArgs, UnknownOptionsNameTheNearest) {
  EXPECT_EQ(error({"--stpes", "3"}), "unknown option '--stpes'; did you mean '--steps'?");
  EXPECT_EQ(error({"--learning-rate=1"}), "unknown option '--learning-rate'; --help lists all");
  EXPECT_CONTAINS(error({"--confg=x"}), "did you mean '--config'?");
  EXPECT_CONTAINS(error({"--no-steps"}), "unknown option '--no-steps'");
  EXPECT_CONTAINS(error({"-lr", "1"}), "unknown option '-lr': options begin with two dashes");
  EXPECT_CONTAINS(error({"file"}), "'file' is no option");
}

TEST_F(LmArgs, WrongValuesNameOptionExpectedAndActual) {
  EXPECT_EQ(error({"--steps", "ten"}),
            "--steps: expected a whole number from 1 to 1000000000, got 'ten'");
  EXPECT_EQ(error({"--steps=0"}), "--steps: expected a whole number from 1 to 1000000000, got '0'");
  EXPECT_CONTAINS(error({"--steps=1.5"}), "got '1.5'");
  EXPECT_CONTAINS(error({"--steps="}), "got ''");
  EXPECT_CONTAINS(error({"--seq=99999999999999999999"}), "--seq: expected a whole number, got");
  EXPECT_EQ(error({"--lr=2"}), "--lr: expected a number from 0 to 1, got '2'");
  EXPECT_CONTAINS(error({"--lr=nan"}), "--lr: expected");
  EXPECT_EQ(error({"--weight-decay=-1"}),
            "--weight-decay: expected a number of at least 0, got '-1'");
  EXPECT_EQ(error({"--schedule=cos"}), "--schedule: expected one of cosine|linear, got 'cos'");
  EXPECT_CONTAINS(error({"--schedule="}), "got ''");
  EXPECT_EQ(error({"--resume=yes"}), "--resume: expected true or false, got 'yes'");
  EXPECT_EQ(error({"--data"}), "--data needs a value");
  EXPECT_CONTAINS(error({"--data", "--resume"}), "'--resume' looks like an option");
}

TEST_F(LmArgs, ConfigFileAndTheCommandLineAboveIt) {
  std::string file = folder.write(
      "c.json", R"({"steps": 7, "lr": 0.5, "data": "x.txt", "resume": true, "weight_decay": 1})");
  ASSERT_TRUE(parse({"--steps=9", "--config", file})) << err;
  EXPECT_EQ(v.steps, 9);
  EXPECT_EQ(v.lr, 0.5);
  EXPECT_STREQ(v.data, "x.txt");
  EXPECT_TRUE(v.resume);
  EXPECT_EQ(v.decay, 1);
  EXPECT_EQ(lm_args_source(&args, "steps"), LM_FROM_COMMAND);
  EXPECT_EQ(lm_args_source(&args, "weight-decay"), LM_FROM_CONFIG);
  EXPECT_EQ(lm_args_source(&args, "seq"), LM_FROM_DEFAULT);
}

TEST_F(LmArgs, BadConfigFiles) {
  EXPECT_CONTAINS(config_error(R"({"setps": 7})"),
                  "c.json: unknown key 'setps'; did you mean 'steps'?");
  EXPECT_CONTAINS(config_error(R"({"steps": 7, "steps": 8})"), "duplicate");
  EXPECT_CONTAINS(config_error(R"({"weight-decay": 1, "weight_decay": 1})"), "given twice");
  EXPECT_CONTAINS(config_error(R"({"steps": "7"})"),
                  "steps: expected a whole number from 1 to 1000000000, got a string");
  EXPECT_CONTAINS(config_error(R"({"steps": 0})"), "got '0'");
  EXPECT_CONTAINS(config_error(R"({"steps": null})"), "got null");
  EXPECT_CONTAINS(config_error(R"({"lr": [1]})"), "got an array");
  EXPECT_CONTAINS(config_error(R"({"data": 3})"), "data: expected a text, got 3");
  EXPECT_CONTAINS(config_error(R"({"resume": 1})"), "expected true or false, got 1");
  EXPECT_CONTAINS(config_error("[1]"), "expected a JSON object");
  EXPECT_CONTAINS(config_error("{\n\"steps\" 7}"), "c.json:2:");
  EXPECT_CONTAINS(config_error(""), "c.json:1:");
  EXPECT_CONTAINS(config_error("{\"config\": \"x\"}"), "unknown key");
  EXPECT_CONTAINS(error({"--config", folder.path("none.json")}), "No such file");
  EXPECT_CONTAINS(error({"--config"}), "--config needs a value");
}

TEST_F(LmArgs, SavedOptionsReadBack) {
  ASSERT_TRUE(parse({"--lr=0.1", "--steps=12", "--resume", "--schedule=linear"})) << err;
  std::string file = folder.path("saved.json");
  ASSERT_TRUE(lm_args_save(&args, file.c_str(), err)) << err;
  Values before = v;
  ASSERT_TRUE(parse({"--config", file})) << err;
  EXPECT_EQ(v.lr, before.lr);
  EXPECT_EQ(v.steps, 12);
  EXPECT_TRUE(v.resume);
  EXPECT_STREQ(v.schedule, "linear");
  EXPECT_EQ(v.data, nullptr);
}

TEST_F(LmArgs, Values) {
  ASSERT_TRUE(parse({"--lr=0.1"})) << err;
  char text[64];
  lm_args_value(&table[3], text, sizeof text);
  EXPECT_STREQ(text, "0.1");
  lm_args_value(&table[0], text, sizeof text);
  EXPECT_STREQ(text, "");
  lm_args_value(&table[7], text, sizeof text);
  EXPECT_STREQ(text, "true");
}

TEST_F(LmArgs, Operands) {
  args.operands = "FILE...";
  ASSERT_TRUE(parse({"a", "--steps", "3", "b", "--", "--c"})) << err;
  ASSERT_EQ(args.operand_count, 3);
  EXPECT_STREQ(args.operand[1], "b");
  EXPECT_STREQ(args.operand[2], "--c");
}

TEST_F(LmArgs, Help) {
  ASSERT_TRUE(parse({"--bad-option", "--help"})) << "help comes before errors";
  EXPECT_TRUE(args.help);
  char *text = nullptr;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  lm_args_help(&args, out);
  fclose(out);
  EXPECT_CONTAINS(text, "usage: pretrain [options]\n");
  EXPECT_CONTAINS(text, "\nTraining:\n  --steps N         updates to make [1000]\n");
  EXPECT_CONTAINS(text, "--schedule WORD   rate: cosine|linear [cosine]\n");
  EXPECT_CONTAINS(text, "--compile         on by default [true]\n");
  EXPECT_CONTAINS(text, "--config TEXT");
  free(text);
}

TEST(LmNearest, ByEdits) {
  const char *const known[] = {"rdn", "rla", "retnet", "transformer", nullptr};
  EXPECT_STREQ(lm_nearest("trasnformer", known), "transformer");
  EXPECT_STREQ(lm_nearest("rdm", known), "rdn");
  EXPECT_EQ(lm_nearest("llama", known), nullptr);
  EXPECT_EQ(lm_nearest(std::string(500, 'x').c_str(), known), nullptr);
}

}  // namespace
