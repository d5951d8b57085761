// Checkpoints of others: folders that flash-linear-attention's own code wrote
// (tests/data/hf/make.py) give the logits that it computed for them, and go out and come back to
// the same bits.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "nn/nn.h"
#include "ops/ops.h"
#include "tensor/io.h"
#include "tests/values_util.h"

namespace {

using rill_test::difference;
using rill_test::values;

const char *const FOLDERS[] = {"gated_deltanet",
                               "gated_deltanet_variant",
                               "gated_deltanet_bf16",
                               "gated_deltanet_f16",
                               "gated_deltanet_sharded",
                               "delta_net",
                               "delta_net_variant",
                               "gla",
                               "gla_variant",
                               "retnet",
                               "mamba2",
                               "mamba2_variant",
                               "transformer",
                               "linear_attn",
                               "rill_rdn",
                               "rill_rla_variant"};

std::string stored(const std::string &name) { return "tests/data/hf/" + name; }

std::string temporary(const std::string &name) {
  const char *folder = getenv("TEST_TMPDIR");
  return std::string(folder ? folder : "/tmp") + "/" + name;
}

std::string read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string &path, const std::string &text) {
  std::ofstream(path, std::ios::binary) << text;
}

class Hf : public testing::Test {
 protected:
  void SetUp() override {
    ctx = rill_context_new(rill_context_opts{.seed = 3, .on_error = RILL_CONTINUE});
    ASSERT_NE(ctx, nullptr);
  }
  void TearDown() override { rill_context_free(ctx); }

  rill_lm *load(const std::string &folder, rill_dtype dtype = RILL_F32) {
    rill_lm *lm = rill_lm_load(ctx, folder.c_str(), dtype);
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    return lm;
  }

  // The error of a folder that cannot be loaded.
  std::string refusal(const std::string &folder) {
    rill_context *other = rill_context_new(rill_context_opts{.on_error = RILL_CONTINUE});
    EXPECT_EQ(rill_lm_load(other, folder.c_str(), RILL_F32), nullptr) << folder;
    std::string message = rill_error(other) ? rill_error(other) : "";
    rill_context_free(other);
    return message;
  }

  void save(const rill_lm *lm, const std::string &folder, rill_lm_save_opts opts) {
    EXPECT_TRUE(rill_lm_save(lm, folder.c_str(), opts)) << rill_error(ctx);
  }

  // A folder whose config.json is that of `name` with one text replaced.
  std::string edited(const std::string &name, const std::string &from, const std::string &to) {
    std::string folder = temporary("edited"), text = read_file(stored(name) + "/config.json");
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    if (at != std::string::npos) text.replace(at, from.size(), to);
    mkdir(folder.c_str(), 0777);
    write_file(folder + "/config.json", text);
    return folder;
  }

  rill_context *ctx = nullptr;
};

void expect_same_parameters(const rill_lm *a, const rill_lm *b) {
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  rill_parameters x = rill_params(a->module), y = rill_params(b->module);
  ASSERT_EQ(x.count, y.count);
  for (int64_t i = 0; i < x.count; i++) {
    EXPECT_STREQ(x.at[i].name, y.at[i].name);
    EXPECT_EQ(rill_hash(x.at[i].value), rill_hash(y.at[i].value)) << x.at[i].name;
  }
}

TEST_F(Hf, LogitsAreThoseOfTheirAuthors) {
  for (const char *name : FOLDERS) {
    SCOPED_TRACE(name);
    rill_lm *lm = load(stored(name));
    ASSERT_NE(lm, nullptr);
    rill_safetensors *file =
        rill_safetensors_open(ctx, (stored(name) + "/logits.safetensors").c_str());
    rill_scope *scope = rill_scope_open_no_grad(ctx);
    rill_tensor *ids = rill_safetensors_get(file, "ids");
    std::vector<double> expected = values(rill_safetensors_get(file, "logits"));
    double whole = difference(values(rill_lm_apply(lm, ids)), expected);
    EXPECT_LE(whole, 1e-4);
    // And token by token, as generation does.
    rill_state *state = rill_state_new(ctx);
    std::vector<double> stepped;
    for (int64_t t = 0; t < rill_size(ids, 1); t++)
      for (double x : values(rill_lm_apply_state(lm, rill_slice(ids, 1, t, t + 1, 1), state)))
        stepped.push_back(x);
    double steps = difference(stepped, expected);
    EXPECT_LE(steps, 1e-4);
    printf("%-24s largest difference of a logit: %.1e, token by token %.1e\n", name, whole, steps);
    rill_state_free(state);
    rill_scope_close(scope);
    rill_safetensors_close(file);
  }
}

// Out under the names it had, and back: every tensor of the files has its old bits.
TEST_F(Hf, GoesOutAsItCame) {
  for (const char *name : FOLDERS) {
    SCOPED_TRACE(name);
    std::string folder = temporary(std::string("out_") + name);
    rill_lm *lm = load(stored(name));
    bool own = std::string(name).rfind("rill_", 0) == 0;
    save(lm, folder, {.naming = own ? RILL_NAMING_HF : RILL_NAMING_FLA});
    expect_same_parameters(lm, load(folder));
    struct stat single;
    if (stat((stored(name) + "/model.safetensors").c_str(), &single) != 0) continue;
    rill_safetensors *before =
        rill_safetensors_open(ctx, (stored(name) + "/model.safetensors").c_str());
    rill_safetensors *after = rill_safetensors_open(ctx, (folder + "/model.safetensors").c_str());
    EXPECT_STREQ(rill_safetensors_metadata(after, "format"), "pt");
    ASSERT_EQ(rill_safetensors_count(before), rill_safetensors_count(after));
    rill_scope *scope = rill_scope_open_no_grad(ctx);
    for (int64_t i = 0; i < rill_safetensors_count(before); i++) {
      const char *tensor = rill_safetensors_at(before, i).name;
      rill_tensor *x = rill_cast(rill_safetensors_get(before, tensor), RILL_F32);
      EXPECT_EQ(rill_hash(x), rill_hash(rill_safetensors_get(after, tensor))) << tensor;
    }
    rill_scope_close(scope);
    rill_safetensors_close(before);
    rill_safetensors_close(after);
  }
}

TEST_F(Hf, EveryModelTravels) {
  for (const char *const *name = rill_lm_presets; *name; name++) {
    if (strncmp(*name, "paper_", 6) == 0) continue;
    SCOPED_TRACE(*name);
    rill_lm_config c;
    rill_lm_preset(*name, &c);
    c.vocab = 11, c.width = 8, c.layers = 2, c.heads = 2, c.hidden = 12, c.std = 0.3;
    rill_module *net = rill_module_new_with(ctx, rill_lm_module_opts(&c, RILL_F32));
    rill_lm *lm = rill_lm_new(net, &c);
    std::string out = temporary(std::string("travel_") + *name);
    for (rill_naming naming : {RILL_NAMING_RILL, RILL_NAMING_HF, RILL_NAMING_HF_RILL}) {
      save(lm, out, {.naming = naming, .shard_bytes = naming == RILL_NAMING_HF ? 600 : 0});
      rill_lm *back = load(out);
      ASSERT_NE(back, nullptr);
      expect_same_parameters(lm, back);
      EXPECT_EQ(back->config.norm_eps, lm->config.norm_eps);
      EXPECT_EQ(back->config.parts.conv, lm->config.parts.conv);
    }
  }
}

TEST_F(Hf, WhoHasAModelThere) {
  struct {
    const char *preset, *type;
  } cases[] = {{"gdn", "gated_deltanet"},
               {"deltanet", "delta_net"},
               {"gla", "gla"},
               {"retnet", "retnet"},
               {"mamba2", "mamba2"},
               {"transformer", "transformer"},
               {"sgla", "rill"},
               {"rla", "rill"},
               {"rdn", "rill"},
               {"linear_attention", "rill"},
               {"paper_gdn", "rill"}};
  for (const auto &c : cases) {
    rill_lm_config config;
    char message[RILL_CONFIG_MESSAGE] = "";
    rill_lm_preset(c.preset, &config);
    char *text = rill_hf_config_print(ctx, &config, RILL_NAMING_HF, message);
    ASSERT_NE(text, nullptr) << message;
    std::string type = std::string("\"model_type\": \"") + c.type + "\"";
    EXPECT_NE(std::string(text).find(type), std::string::npos) << c.preset << "\n" << text;
    rill_lm_config back;
    EXPECT_TRUE(rill_hf_config_parse(text, strlen(text), &back, message)) << message;
    rill_free(ctx, text);
  }
}

TEST_F(Hf, Bf16HalvesTheMatricesOnly) {
  rill_lm *lm = load(stored("gated_deltanet"));
  std::string out = temporary("bf16");
  save(lm, out, {.naming = RILL_NAMING_FLA, .bf16 = true});
  rill_safetensors *file = rill_safetensors_open(ctx, (out + "/model.safetensors").c_str());
  for (int64_t i = 0; i < rill_safetensors_count(file); i++) {
    rill_safetensors_entry e = rill_safetensors_at(file, i);
    EXPECT_EQ(e.dtype, e.shape.rank > 1 ? RILL_BF16 : RILL_F32) << e.name;
  }
  rill_safetensors_close(file);
  ASSERT_NE(load(out), nullptr);
}

TEST_F(Hf, ShardsStayUnderTheirSize) {
  rill_lm *lm = load(stored("mamba2"));
  std::string out = temporary("shards");
  save(lm, out, {.naming = RILL_NAMING_FLA}); /* the single file must not shadow the shards */
  save(lm, out, {.naming = RILL_NAMING_FLA, .shard_bytes = 6000});
  struct stat status;
  EXPECT_NE(stat((out + "/model.safetensors").c_str(), &status), 0);
  std::string index = read_file(out + "/model.safetensors.index.json");
  EXPECT_NE(index.find("backbone.layers.2.mixer.in_proj.weight"), std::string::npos) << index;
  expect_same_parameters(lm, load(out));
  save(lm, out, {.naming = RILL_NAMING_FLA});
  EXPECT_NE(stat((out + "/model.safetensors.index.json").c_str(), &status), 0);
  expect_same_parameters(lm, load(out));
}

TEST_F(Hf, WhatCannotBeRepresentedIsNamed) {
  struct {
    const char *folder, *from, *to, *message;
  } cases[] = {
      {"gated_deltanet", "\"hidden_act\": \"swish\"", "\"hidden_act\": \"gelu\"",
       "\"hidden_act\" must be \"swish\" or \"silu\", not \"gelu\""},
      {"gated_deltanet", "\"attn\": null", "\"attn\": {\"layers\": [1], \"num_heads\": 2}",
       "\"attn\" must be null, not {\"layers\":[1],\"num_heads\":2}"},
      {"gated_deltanet", "\"num_heads\": 2", "\"num_heads\": -2",
       "\"num_heads\" must be an integer from 1 to"},
      {"gated_deltanet", "\"vocab_size\": 48", "\"size\": 48", "the key \"vocab_size\" is missing"},
      {"gated_deltanet", "\"model_type\": \"gated_deltanet\"", "\"model_type\": \"llama\"",
       "model_type \"llama\" is none of \"rill\", \"gated_deltanet\""},
      {"gated_deltanet", "\"model_type\"", "\"type\"", "neither \"model\" nor \"model_type\""},
      {"gated_deltanet", "{", "", "line 2"},
      {"delta_net", "\"qk_activation\": \"silu\"", "\"qk_activation\": \"relu\"",
       "\"qk_activation\" must be \"identity\" or \"silu\" or \"elu\", not \"relu\""},
      {"delta_net", "\"qk_norm\": \"l2\"", "\"qk_norm\": \"sum\"",
       "\"qk_norm\" must be \"l2\", not \"sum\""},
      {"gla", "\"num_kv_heads\": null", "\"num_kv_heads\": 1",
       "num_kv_heads must be null or num_heads (2), not 1"},
      {"gla", "\"clamp_min\": null", "\"clamp_min\": -1.0", "\"clamp_min\" must be null, not -1.0"},
      {"gla", "\"expand_k\": 0.5", "\"expand_k\": 0.6",
       "expand_k 0.6: hidden_size 16 times it is not a multiple of num_heads 2"},
      {"mamba2", "\"n_groups\": 1", "\"n_groups\": 2", "\"n_groups\" must be 1, not 2"},
      {"mamba2", "Infinity", "0.5", "\"dt_limit\" must be"},
      {"transformer", "\"qk_norm\": false", "\"qk_norm\": true", "\"qk_norm\" must be false"},
      {"linear_attn", "\"feature_map\": \"elu\"", "\"feature_map\": \"hedgehog\"",
       "\"feature_map\" must be \"identity\" or \"elu\", not \"hedgehog\""},
      {"gated_deltanet", "\"num_heads\": 2", "\"num_heads\": 2", "model.safetensors"},
  };
  for (const auto &c : cases) {
    std::string message = refusal(edited(c.folder, c.from, c.to));
    EXPECT_NE(message.find(c.message), std::string::npos) << message << "\nnot: " << c.message;
    EXPECT_NE(message.find("edited"), std::string::npos) << message;
  }
  rill_lm *lm = load(stored("gated_deltanet"));
  lm->config.parts.qk_scale = false;
  EXPECT_FALSE(rill_lm_save(lm, temporary("no").c_str(), {.naming = RILL_NAMING_FLA}));
  EXPECT_NE(std::string(rill_error(ctx))
                .find("gated_deltanet has \"qk_scale\": true where this "
                      "model has false"),
            std::string::npos)
      << rill_error(ctx);
}

TEST_F(Hf, WrongTensorsAreNamed) {
  std::string whole = read_file(stored("gated_deltanet") + "/model.safetensors"), renamed = whole;
  renamed.replace(renamed.find("layers.0.attn.A_log"), 19, "layers.0.attn.A_lag");
  struct {
    const char *from, *to, *message;
    const std::string *weights;
  } cases[] = {
      {"\"num_heads\": 2", "\"num_heads\": 2", "'model.layers.0.attn.A_log' is missing", &renamed},
      {"\"use_gate\": true", "\"use_gate\": false",
       "'model.layers.0.attn.g_proj.weight' is not part of the model", &whole},
      {"\"intermediate_size\": 24", "\"intermediate_size\": 25",
       "'model.layers.0.mlp.gate_proj.weight' is f32 [24, 16]; the model needs [25, 16]", &whole},
      {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "layers.1", &whole},
  };
  std::string folder;
  for (const auto &c : cases) {
    folder = edited("gated_deltanet", c.from, c.to);
    write_file(folder + "/model.safetensors", *c.weights);
    std::string message = refusal(folder);
    EXPECT_NE(message.find(c.message), std::string::npos) << message << "\nnot: " << c.message;
  }
  // Sizes that no machine has are refused by the shapes of the file, before memory is asked for.
  for (const char *size : {"\"vocab_size\": 1000000000", "\"vocab_size\": 2"}) {
    folder = edited("gated_deltanet", "\"vocab_size\": 48", size);
    write_file(folder + "/model.safetensors", whole);
    EXPECT_NE(refusal(folder).find("'model.embeddings.weight' is f32 [48, 16]; the model needs ["),
              std::string::npos)
        << refusal(folder);
  }
  // An output layer beside a tied embedding says nothing new.
  folder =
      edited("gated_deltanet", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
  write_file(folder + "/model.safetensors", whole);
  EXPECT_NE(load(folder), nullptr);
  unlink((folder + "/model.safetensors").c_str());
}

// An index may name files of its own folder only.
TEST_F(Hf, HostileIndex) {
  std::string folder = edited("gated_deltanet", "\"num_heads\": 2", "\"num_heads\": 2");
  unlink((folder + "/model.safetensors").c_str());
  struct {
    const char *text, *message;
  } cases[] = {
      {"", "line"},
      {"[]", "there is no object \"weight_map\""},
      {"{\"weight_map\": []}", "there is no object \"weight_map\""},
      {"{\"weight_map\": {\"a\": 1}}", "'' is not the name of a file beside it"},
      {"{\"weight_map\": {\"a\": \"../model.safetensors\"}}", "'../model.safetensors' is not"},
      {"{\"weight_map\": {\"a\": \"..\"}}", "'..' is not"},
      {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "'/etc/passwd' is not"},
      {"{\"weight_map\": {\"a\": \"nothing.safetensors\"}}", "nothing.safetensors"},
      {"{\"weight_map\": {}}", "is missing"},
  };
  for (const auto &c : cases) {
    write_file(folder + "/model.safetensors.index.json", c.text);
    std::string message = refusal(folder);
    EXPECT_NE(message.find(c.message), std::string::npos) << c.text << ": " << message;
  }
  unlink((folder + "/model.safetensors.index.json").c_str());
}

// Any change of one byte of a configuration is read or refused with a message; nothing else.
TEST_F(Hf, DamagedConfigurations) {
  int64_t refused = 0, read = 0;
  for (const char *name : {"gated_deltanet", "mamba2", "linear_attn"}) {
    std::string text = read_file(stored(name) + "/config.json");
    for (size_t i = 0; i < text.rfind('}'); i++) {
      for (char c : {'\0', '"', '{', '9', '-', 'I', '\\', '\xff'}) {
        std::string damaged = text;
        damaged[i] = c;
        rill_lm_config config;
        char message[RILL_CONFIG_MESSAGE] = "";
        bool done = rill_hf_config_parse(damaged.data(), damaged.size(), &config, message);
        if (!done) EXPECT_NE(message[0], '\0') << damaged;
        (done ? read : refused)++;
      }
      rill_lm_config config;
      char message[RILL_CONFIG_MESSAGE] = "";
      EXPECT_FALSE(rill_hf_config_parse(text.data(), i, &config, message));
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(read, 100);
}

}  // namespace
