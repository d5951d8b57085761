// Configurations: presets, JSON there and back, refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "nn/nn.h"
#include "tensor/io.h"

namespace {

std::string refusal(const std::string &text) {
  rill_lm_config c;
  rill_lm_training t;
  char message[RILL_CONFIG_MESSAGE] = "";
  EXPECT_FALSE(rill_lm_config_parse(text.data(), text.size(), &c, &t, message)) << text;
  return message;
}

std::string with(const std::string &extra, const std::string &model = "rdn") {
  return "{\"model\": \"" + model +
         "\", \"vocab\": 256, \"width\": 64, \"layers\": 2, \"heads\": 4" + extra + "}";
}

std::string print(const rill_lm_config &c, const rill_lm_training *t) {
  rill_context *ctx = rill_context_new(rill_context_opts{.on_error = RILL_CONTINUE});
  char *text = rill_lm_config_print(ctx, &c, t);
  std::string s = text ? text : "";
  rill_free(ctx, text);
  rill_context_free(ctx);
  return s;
}

TEST(Config, EveryPresetGoesThereAndBack) {
  for (const char *const *name = rill_lm_presets; *name; name++) {
    rill_lm_config a, b;
    rill_lm_training t = {}, u;
    t.lr = 3e-4, t.min_lr = 3e-5, t.batch_tokens = 4000000, t.weight_decay = 0.1;
    char message[RILL_CONFIG_MESSAGE] = "";
    ASSERT_TRUE(rill_lm_preset(*name, &a)) << *name;
    std::string text = print(a, &t);
    ASSERT_TRUE(rill_lm_config_parse(text.data(), text.size(), &b, &u, message))
        << *name << ": " << message << "\n"
        << text;
    EXPECT_EQ(print(b, &u), text);
    ASSERT_TRUE(rill_lm_resolve(&a, message)) << *name << ": " << message;
    text = print(a, nullptr);
    ASSERT_TRUE(rill_lm_config_parse(text.data(), text.size(), &b, nullptr, message)) << message;
    EXPECT_EQ(print(b, nullptr), text);
    EXPECT_EQ(u.lr, 3e-4);
    EXPECT_EQ(u.batch_tokens, 4000000);
  }
}

TEST(Config, NumbersSurvive) {
  rill_lm_config c, d;
  char message[RILL_CONFIG_MESSAGE];
  rill_lm_preset("rla", &c);
  c.std = 0.1 + 0.2, c.parts.clip = 1e300, c.norm_eps = 1.0 / 3;
  std::string text = print(c, nullptr);
  ASSERT_TRUE(rill_lm_config_parse(text.data(), text.size(), &d, nullptr, message)) << message;
  EXPECT_EQ(d.std, c.std);
  EXPECT_EQ(d.parts.clip, c.parts.clip);
  EXPECT_EQ(d.norm_eps, c.norm_eps);
}

TEST(Config, FieldsChangeThePreset) {
  rill_lm_config c;
  char message[RILL_CONFIG_MESSAGE] = "";
  std::string text = with(
      ", \"residual\": \"stateless\", \"clip\": \"tanh\", \"clip_at\": 2, "
      "\"gamma\": \"tied\", \"output\": \"sum\", \"qk_norm\": false, "
      "\"conv\": 4, \"gate\": false");
  ASSERT_TRUE(rill_lm_config_parse(text.data(), text.size(), &c, nullptr, message)) << message;
  EXPECT_EQ(c.parts.rule.residual, RILL_RESIDUAL_STATELESS);
  EXPECT_EQ(c.parts.rule.clip, RILL_CLIP_TANH);
  EXPECT_EQ(c.parts.clip, 2);
  EXPECT_EQ(c.parts.rule.gamma, RILL_GAMMA_TIED);
  EXPECT_EQ(c.parts.rule.output, RILL_OUTPUT_SUM);
  EXPECT_EQ(c.parts.rule.write, RILL_WRITE_DELTA);  // still rdn
  EXPECT_FALSE(c.parts.qk_norm);
  EXPECT_EQ(c.parts.conv, 4);
  EXPECT_FALSE(c.parts.gate);
  EXPECT_EQ(c.width, 64);
}

TEST(Config, PaperPresetsNeedOnlyTheirName) {
  rill_lm_config c;
  char message[RILL_CONFIG_MESSAGE] = "";
  std::string text = "{\"model\": \"paper_rdn\"}";
  ASSERT_TRUE(rill_lm_config_parse(text.data(), text.size(), &c, nullptr, message)) << message;
  EXPECT_EQ(c.width, 2048);
}

TEST(Config, Refusals) {
  struct {
    std::string text, message;
  } cases[] = {
      {"", "line 1"},
      {"[]", "must be a JSON object"},
      {"{}", "the key \"model\" is missing"},
      {"{\"model\": 3}", "\"model\" must be a string"},
      {"{\"model\": \"rnd\"}", "there is no model \"rnd\"; the nearest is \"rdn\""},
      {"{\"model\": \"rdn\"}", "the key \"vocab\" is missing"},
      {"{\"model\": \"rdn\", \"vocab\": 5, \"width\": 8, \"layers\": 1}",
       "the key \"heads\" is missing"},
      {with(", \"widht\": 3"), "unknown key \"widht\"; the nearest is \"width\""},
      {with(", \"qknorm\": true"), "unknown key \"qknorm\"; the nearest is \"qk_norm\""},
      {with(", \"hidden\": 3, \"hidden\": 4"), "duplicate object key"},
      {with(", \"hidden\": \"3\""), "\"hidden\" must be an integer from 0"},
      {with(", \"hidden\": 3.5"), "\"hidden\" must be an integer from 0"},
      {with(", \"hidden\": -3"), "\"hidden\" must be an integer from 0"},
      {with(", \"hidden\": 99999999999999999999"), "line 1"},
      {with(", \"std\": -1"), "\"std\" must be a number from 0 to 100"},
      {with(", \"std\": true"), "\"std\" must be a number from 0 to 100"},
      {with(", \"gate\": 1"), "\"gate\" must be true or false"},
      {with(", \"residual\": \"fited\""),
       "\"residual\" must be one of \"none\", \"stateless\", \"fitted\", not \"fited\""},
      {with(", \"clip\": 1"), "\"clip\" must be one of"},
      {with(", \"beta_max\": 3"), "\"beta_max\" must be a number from 0 to 2"},
      {with(", \"conv\": 4", "transformer"), "\"conv\" does not apply to softmax attention"},
      {with(", \"groups\": 2"), "\"groups\" does not apply to recurrent models"},
      {with(", \"groups\": 3", "transformer"), "groups must be a divisor of heads, not 3"},
      {with(", \"key_size\": 7", "transformer"), "key_size must be even"},
      {with(", \"key_size\": 7", "retnet"), "key_size must be even"},
      {with(", \"key_groups\": 3"), "key_groups must be a divisor of heads"},
      {"{\"model\": \"rdn\", \"vocab\": 5, \"width\": 10, \"layers\": 1, \"heads\": 4}",
       "width must be a multiple of heads"},
      {"{\"model\": \"rdn\", \"vocab\": 0, \"width\": 10, \"layers\": 1, \"heads\": 4}",
       "\"vocab\" must be an integer from 1"},
      {with(", \"training\": 3"), "\"training\" must be an object"},
      {with(", \"training\": {\"rl\": 3}"),
       "unknown key \"rl\" in \"training\"; the nearest is \"lr\""},
      {with(", \"training\": {\"lr\": -3}"), "\"lr\" must be a number"},
      {with(", \"training\": {\"lr\": 1, \"lr\": 2}"), "duplicate object key"},
      {with("") + "x", "end of file expected"},
  };
  for (const auto &c : cases) {
    std::string message = refusal(c.text);
    EXPECT_NE(message.find(c.message), std::string::npos) << c.text << "\n  " << message;
  }
}

TEST(Config, FieldsOfStructsAreChecked) {
  auto refused = [](void (*change)(rill_lm_config *)) {
    rill_lm_config c;
    char message[RILL_CONFIG_MESSAGE] = "";
    rill_lm_preset("rdn", &c);
    change(&c);
    EXPECT_FALSE(rill_lm_resolve(&c, message));
    EXPECT_EQ(rill_lm_count(&c, message), -1);
    return std::string(message);
  };
  EXPECT_EQ(refused([](rill_lm_config *c) { c->std = NAN; }),
            "rill_lm_new: std must be >= 0, not nan");
  EXPECT_EQ(refused([](rill_lm_config *c) { c->parts.clip = -1; }),
            "rill_lm_new: clip_at must be >= 0, not -1");
  EXPECT_EQ(refused([](rill_lm_config *c) { c->width = 0; }),
            "rill_lm_new: width must be > 0, not 0");
  EXPECT_EQ(refused([](rill_lm_config *c) { c->hidden = -4; }),
            "rill_lm_new: hidden must be >= 0, not -4");
  EXPECT_EQ(refused([](rill_lm_config *c) { c->parts.groups = 3; }),
            "rill_lm_new: key_groups must be a divisor of heads, not 3");
}

TEST(Config, UnknownPreset) {
  rill_lm_config c;
  EXPECT_FALSE(rill_lm_preset("nothing", &c));
}

TEST(Config, Files) {
  std::string folder = testing::TempDir(), path = folder + "/config_test.json";
  rill_context *ctx = rill_context_new(rill_context_opts{.on_error = RILL_CONTINUE});
  rill_lm_config c, d;
  rill_lm_preset("gdn", &c);
  EXPECT_TRUE(rill_lm_config_save(ctx, path.c_str(), &c, nullptr));
  EXPECT_TRUE(rill_lm_config_load(ctx, path.c_str(), &d, nullptr));
  EXPECT_EQ(print(c, nullptr), print(d, nullptr));
  EXPECT_EQ(rill_error(ctx), nullptr);
  std::ofstream(path) << "{\"model\": \"gdm\"}";
  EXPECT_FALSE(rill_lm_config_load(ctx, path.c_str(), &d, nullptr));
  EXPECT_NE(std::string(rill_error(ctx)).find(path + ": there is no model"), std::string::npos)
      << rill_error(ctx);
  rill_error_clear(ctx);
  EXPECT_FALSE(rill_lm_config_load(ctx, folder.c_str(), &d, nullptr));
  EXPECT_NE(rill_error(ctx), nullptr);
  rill_error_clear(ctx);
  EXPECT_FALSE(rill_lm_config_load(ctx, "", &d, nullptr));
  EXPECT_NE(rill_error(ctx), nullptr);
  remove(path.c_str());
  rill_context_free(ctx);
}

// Each recurrent preset has the parts of its own paper.
TEST(Config, PartsOfEachPaper) {
  auto parts = [](const char *name) {
    rill_lm_config c;
    EXPECT_TRUE(rill_lm_preset(name, &c)) << name;
    return c.parts;
  };
  EXPECT_TRUE(parts("retnet").rotary);
  EXPECT_EQ(parts("retnet").norm, RILL_OUTPUT_NORM_RMS);
  EXPECT_EQ(parts("retnet").rule.decay, RILL_DECAY_HEAD);
  EXPECT_TRUE(parts("mamba2").skip && parts("mamba2").step_gate && parts("mamba2").gate_first);
  EXPECT_EQ(parts("mamba2").conv, 4);
  EXPECT_EQ(parts("mamba2").groups, 1);
  EXPECT_EQ(parts("gla").rule.decay, RILL_DECAY_CHANNEL);
  EXPECT_EQ(parts("gla").rank, 16);
  EXPECT_EQ(parts("deltanet").conv, 4);
  EXPECT_FALSE(parts("deltanet").gate);
  EXPECT_TRUE(parts("gdn").gate && parts("gdn").qk_norm);
  EXPECT_TRUE(parts("linear_attention").normaliser);
  EXPECT_EQ(parts("rdn").conv, 0);
  EXPECT_EQ(parts("paper_gdn").conv, 0);  // like for like
}

}  // namespace
