// Whole models of every kind: parameter counts, gradients, decoding token by token, training.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/optim.h"
#include "tests/values_util.h"

namespace {

using rill_test::difference;
using rill_test::values;

const char *const KINDS[] = {"transformer", "linear_attention", "retnet", "mamba2", "sgla",
                             "gla",         "deltanet",         "gdn",    "rla",    "rdn"};

class Model : public testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    ctx = rill_context_new(rill_context_opts{.seed = 7, .on_error = RILL_CONTINUE, .threads = 1});
    ASSERT_NE(ctx, nullptr);
  }
  void TearDown() override {
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    rill_context_free(ctx);
  }

  rill_lm_config tiny() {
    rill_lm_config c;
    EXPECT_TRUE(rill_lm_preset(GetParam(), &c));
    c.vocab = 11;
    c.width = 8;
    c.layers = 2;
    c.heads = 2;
    c.hidden = 12;
    c.std = 0.3;
    return c;
  }
  rill_lm *make(const rill_lm_config &c, rill_dtype dtype) {
    net = rill_module_new_with(ctx, rill_lm_module_opts(&c, dtype));
    return rill_lm_new(net, &c);
  }
  rill_tensor *tokens(int64_t B, int64_t T) {
    return rill_randint(ctx, RILL_I32, RILL_SHAPE(B, T), 0, 11);
  }

  rill_context *ctx = nullptr;
  rill_module *net = nullptr;
};

struct Problem {
  rill_lm *lm;
  rill_tensor *ids, *targets;
};

void loss_function(void *user, int, rill_tensor *const *, int, rill_tensor **out) {
  auto *p = static_cast<Problem *>(user);
  out[0] = rill_lm_loss(p->lm, p->ids, p->targets);
}

// Every parameter of a two-layer model against finite differences, in f64.
TEST_P(Model, GradientsAreRight) {
  Problem p = {make(tiny(), RILL_F64), tokens(2, 9), tokens(2, 9)};
  ASSERT_NE(p.lm, nullptr) << rill_error(ctx);
  rill_parameters params = rill_params(net);
  std::vector<rill_tensor *> in;
  for (int64_t i = 0; i < params.count; i++) in.push_back(params.at[i].value);
  rill_gradcheck_opts opts = {};
  opts.samples = 40;
  opts.step = 2e-6;  // the norms of small rows are strongly curved
  rill_gradcheck_report report =
      rill_gradcheck(loss_function, &p, static_cast<int>(in.size()), in.data(), 1, opts);
  if (!report.passed) rill_gradcheck_print(stdout, &report, GetParam());
  EXPECT_TRUE(report.passed) << report.message << " " << report.max_error;
  if (report.entries > 0) RecordProperty("worst", params.at[report.entry[0].input].name);
  EXPECT_GT(report.checked, 100);
}

TEST_P(Model, EveryParameterGetsAGradient) {
  rill_lm *lm = make(tiny(), RILL_F32);
  rill_backward(rill_lm_loss(lm, tokens(2, 9), tokens(2, 9)));
  rill_parameters params = rill_params(net);
  for (int64_t i = 0; i < params.count; i++) {
    rill_tensor *g = rill_grad(params.at[i].value);
    ASSERT_NE(g, nullptr) << params.at[i].name;
    double norm = 0;
    for (double x : values(g)) norm += x * x;
    EXPECT_GT(norm, 0) << params.at[i].name;
    EXPECT_TRUE(std::isfinite(norm)) << params.at[i].name;
  }
}

// Reading a text whole, in pieces, and token by token gives the same logits.
TEST_P(Model, PiecesEqualTheWhole) {
  rill_lm *lm = make(tiny(), RILL_F64);
  rill_tensor *ids = tokens(2, 70);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  std::vector<double> whole = values(rill_lm_apply(lm, ids));
  for (int64_t piece : {1, 3, 64}) {
    rill_state *state = rill_state_new(ctx);
    std::vector<rill_tensor *> part;
    for (int64_t t = 0; t < 70; t += piece)
      part.push_back(rill_lm_apply_state(
          lm, rill_slice(ids, 1, t, t + piece < 70 ? t + piece : 70, 1), state));
    rill_tensor *all = rill_concat(static_cast<int>(part.size()), part.data(), 1);
    EXPECT_LE(difference(whole, values(all)), 1e-10) << "pieces of " << piece;
    EXPECT_EQ(rill_state_position(state), 70);
    rill_state_free(state);
  }
  rill_scope_close(scope);
}

// Changing a token leaves the logits before it as they were.
TEST_P(Model, IsCausal) {
  rill_lm *lm = make(tiny(), RILL_F64);
  std::vector<int32_t> id(40);
  for (size_t i = 0; i < id.size(); i++) id[i] = static_cast<int32_t>(i * 7 % 11);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  std::vector<double> before =
      values(rill_lm_apply(lm, rill_from(ctx, RILL_I32, RILL_SHAPE(1, 40), id.data())));
  id[25] = (id[25] + 1) % 11;
  std::vector<double> after =
      values(rill_lm_apply(lm, rill_from(ctx, RILL_I32, RILL_SHAPE(1, 40), id.data())));
  for (size_t i = 0; i < 25 * 11; i++) ASSERT_EQ(before[i], after[i]) << i;
  double change = 0;
  for (size_t i = 25 * 11; i < before.size(); i++) change += std::fabs(before[i] - after[i]);
  EXPECT_GT(change, 0);
  rill_scope_close(scope);
}

TEST_P(Model, RecomputeGivesTheSameGradients) {
  rill_lm *lm = make(tiny(), RILL_F64);
  rill_tensor *ids = tokens(2, 9), *targets = tokens(2, 9);
  rill_parameters params = rill_params(net);
  std::vector<std::vector<double>> kept;
  rill_backward(rill_lm_loss(lm, ids, targets));
  for (int64_t i = 0; i < params.count; i++) kept.push_back(values(rill_grad(params.at[i].value)));
  rill_params_zero_grad(params);
  for (int64_t blocks : {int64_t{-1}, int64_t{1}}) {
    rill_params_zero_grad(params);
    lm->recompute = blocks;
    rill_backward(rill_lm_loss(lm, ids, targets));
    for (int64_t i = 0; i < params.count; i++) {
      ASSERT_NE(rill_grad(params.at[i].value), nullptr) << params.at[i].name;
      EXPECT_LE(difference(kept[static_cast<size_t>(i)], values(rill_grad(params.at[i].value))),
                1e-14)
          << params.at[i].name;
    }
  }
}

// A few dozen steps on one batch bring the loss far down, in f32 and in bf16.
TEST_P(Model, Learns) {
  for (rill_dtype dtype : {RILL_F32, RILL_BF16}) {
    rill_lm_config c = tiny();
    c.width = 32;
    c.hidden = 64;
    c.std = 0.1;
    rill_lm *lm = make(c, dtype);
    rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 1e-2});
    rill_tensor *ids = tokens(2, 24), *targets = tokens(2, 24);
    rill_scope *turn = rill_scope_open(ctx);
    double first = 0, last = 0;
    for (int step = 0; step < 60 && rill_scope_reset(turn); step++) {
      rill_tensor *loss = rill_lm_loss(lm, ids, targets);
      last = rill_item(loss);
      if (step == 0) first = last;
      rill_backward(loss);
      rill_clip_grad_norm(rill_params(net), 1.0);
      EXPECT_TRUE(rill_optim_step(opt));
    }
    rill_scope_close(turn);
    EXPECT_LT(last, 0.5 * first) << rill_dtype_name(dtype);
  }
}

// A state of constant size, except for the Transformer's.
TEST_P(Model, StateSize) {
  rill_lm *lm = make(tiny(), RILL_F32);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_state *state = rill_state_new(ctx);
  rill_lm_next(lm, tokens(1, 10), state);
  int64_t early = rill_state_bytes(state);
  rill_memory before = rill_memory_used(ctx);
  for (int i = 0; i < 300; i++) {
    rill_scope *turn = rill_scope_open(ctx);
    rill_lm_next(lm, tokens(1, 1), state);
    rill_scope_close(turn);
  }
  EXPECT_GT(early, 0);
  if (std::string(GetParam()) == "transformer") {
    EXPECT_GT(rill_state_bytes(state), early);
  } else {
    EXPECT_EQ(rill_state_bytes(state), early);
    EXPECT_EQ(rill_memory_used(ctx).live_bytes, before.live_bytes);
    EXPECT_EQ(rill_memory_used(ctx).live_tensors, before.live_tensors);
  }
  rill_state_free(state);
  rill_scope_close(scope);
}

// Texts that join a batch, leave it and split in it get the logits that they get alone.
TEST_P(Model, RowsOfAStateComeAndGo) {
  rill_lm_config c = tiny();
  rill_lm *lm = make(c, RILL_F64);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  bool same_length = rill_lm_uses_position(&lm->config);
  EXPECT_EQ(same_length,
            std::string(GetParam()) == "transformer" || std::string(GetParam()) == "retnet");
  rill_state *batch = rill_state_new(ctx);
  std::vector<rill_state *> alone;
  auto next =
      [&](const std::vector<size_t> &texts) { /* one token for each row, both ways */
                                              auto T = static_cast<int64_t>(texts.size());
                                              rill_tensor *ids = tokens(T, 1);
                                              std::vector<double> together = values(
                                                                      rill_lm_next(lm, ids, batch)),
                                                                  apart;
                                              for (int64_t i = 0; i < T; i++) {
                                                rill_tensor *id = rill_slice(ids, 0, i, i + 1, 1);
                                                for (double x : values(rill_lm_next(
                                                         lm, id,
                                                         alone[texts[static_cast<size_t>(i)]])))
                                                  apart.push_back(x);
                                              }
                                              EXPECT_LE(difference(together, apart), 1e-12);
      };
  for (int64_t i = 0; i < 3; i++) {
    alone.push_back(rill_state_new(ctx));
    rill_lm_next(lm, tokens(1, same_length ? 5 : 5 + 4 * i), alone.back());
    EXPECT_TRUE(rill_state_append(batch, alone.back()));
  }
  next({0, 1, 2});
  EXPECT_TRUE(rill_state_select(batch, 2, std::vector<int64_t>{2, 0}.data()));
  next({2, 0});
  alone.push_back(rill_state_new(ctx)); /* text 3 begins as text 0 */
  EXPECT_TRUE(rill_state_append(alone.back(), alone[0]));
  EXPECT_EQ(rill_state_position(alone.back()), rill_state_position(alone[0]));
  EXPECT_TRUE(rill_state_select(batch, 3, std::vector<int64_t>{1, 1, 0}.data()));
  next({0, 3, 2});
  next({0, 3, 2});
  EXPECT_EQ(rill_error(ctx), nullptr);

  EXPECT_FALSE(rill_state_select(batch, 1, std::vector<int64_t>{3}.data()));
  EXPECT_NE(rill_error(ctx), nullptr);
  rill_error_clear(ctx);
  rill_state *other = rill_state_new(ctx);
  rill_state_set(other, "elsewhere", rill_zeros(ctx, RILL_F64, RILL_SHAPE(1, 2)));
  EXPECT_FALSE(rill_state_append(batch, other));
  ASSERT_NE(rill_error(ctx), nullptr);
  EXPECT_NE(std::string(rill_error(ctx)).find("different models"), std::string::npos);
  rill_error_clear(ctx);
  rill_state_free(other);
  rill_state_free(batch);
  for (rill_state *state : alone) rill_state_free(state);
  rill_scope_close(scope);
}

TEST_P(Model, CountWithoutMaking) {
  rill_lm_config c = tiny();
  char message[RILL_CONFIG_MESSAGE] = "";
  make(c, RILL_F32);
  EXPECT_EQ(rill_lm_count(&c, message), rill_params_count(rill_params(net))) << message;
}

INSTANTIATE_TEST_SUITE_P(AllKinds, Model, testing::ValuesIn(KINDS),
                         [](const auto &info) { return std::string(info.param); });

// ---- the paper's models ----

double billions(const char *name) {
  rill_lm_config c;
  char message[RILL_CONFIG_MESSAGE] = "";
  EXPECT_TRUE(rill_lm_preset(name, &c)) << name;
  int64_t count = rill_lm_count(&c, message);
  EXPECT_GT(count, 0) << name << ": " << message;
  return static_cast<double>(count) / 1e9;
}

TEST(Paper, ParameterCounts) {  // table 6
  EXPECT_NEAR(billions("paper_transformer"), 1.51, 0.005);
  for (const char *name : {"paper_rla", "paper_rdn", "paper_sgla", "paper_gdn", "paper_mamba2",
                           "paper_retnet", "paper_linear_attention", "paper_deltanet"})
    EXPECT_NEAR(billions(name), 1.55, 0.005) << name;
  EXPECT_EQ(std::floor(billions("paper_transformer") * 100), 151);
  EXPECT_EQ(std::floor(billions("paper_rla") * 100), 155);
  EXPECT_EQ(std::floor(billions("paper_rdn") * 100), 155);
}

TEST(Paper, InitialDeviation) {
  rill_lm_config c;
  ASSERT_TRUE(rill_lm_preset("paper_rdn", &c));
  EXPECT_EQ(c.std, 0.006);
  EXPECT_EQ(rill_lm_module_opts(&c, RILL_F32).std, 0.006);
  EXPECT_EQ(c.parts.conv, 0);
  EXPECT_TRUE(c.parts.qk_norm && c.parts.gate);
}

// ---- ablations: one changed field each ----

TEST(Ablations, AllRun) {
  rill_context *ctx = rill_context_new(rill_context_opts{.seed = 3, .on_error = RILL_CONTINUE});
  for (const char *base : {"rla", "rdn"})
    for (int which = 0; which < 7; which++) {
      rill_lm_config c;
      ASSERT_TRUE(rill_lm_preset(base, &c));
      c.vocab = 11, c.width = 8, c.layers = 1, c.heads = 2, c.hidden = 12;
      rill_rule &r = c.parts.rule;
      if (which == 0) r.residual = RILL_RESIDUAL_STATELESS, r.clip = RILL_CLIP_NONE;
      if (which == 1) r.gamma = RILL_GAMMA_TIED;
      if (which == 2) r.output = RILL_OUTPUT_SUM;
      if (which == 3) r.clip = RILL_CLIP_NONE;
      if (which == 4) r.clip = RILL_CLIP_TANH;
      if (which == 5) c.parts.qk_norm = false, c.parts.feature = RILL_FEATURE_NONE;
      if (which == 6) c.parts.conv = 3, c.parts.gate = false, c.parts.norm = RILL_OUTPUT_NORM_NONE;
      rill_module *net = rill_module_new(ctx);
      rill_lm *lm = rill_lm_new(net, &c);
      ASSERT_NE(lm, nullptr) << rill_error(ctx);
      rill_tensor *ids = rill_randint(ctx, RILL_I32, RILL_SHAPE(1, 9), 0, 11);
      rill_tensor *loss = rill_lm_loss(lm, ids, ids);
      rill_backward(loss);
      EXPECT_EQ(rill_error(ctx), nullptr) << base << which << rill_error(ctx);
      EXPECT_TRUE(std::isfinite(rill_item(loss))) << base << which;
      bool has_gamma = rill_params_find(rill_params(net), "block.0.mixer.gamma_proj.weight");
      EXPECT_EQ(has_gamma, which != 1) << base << which;
    }
  EXPECT_EQ(rill_context_free(ctx), 0);
}

}  // namespace
