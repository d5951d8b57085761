// Captured functions do what plain calls do, bit for bit, and what they must not do is an error. On
// a CPU the rules alone are tested; on a GPU (RILL_TEST_DEVICE=cuda) the recordings too.
#include "tensor/capture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/optim.h"
#include "tests/device_util.h"

namespace {

// A capture of a lambda.
struct Captured {
  std::function<void()> function;
  rill_capture *capture;

  Captured(rill_context *ctx, std::function<void()> f) : function(std::move(f)) {
    capture = rill_capture_new(
        ctx, [](void *user) { static_cast<Captured *>(user)->function(); }, this);
  }
  ~Captured() { rill_capture_free(capture); }
  Captured(const Captured &) = delete;
  Captured &operator=(const Captured &) = delete;
};

class Capture : public testing::Test {
 protected:
  rill_context *ctx = rill_context_new(rill_test::test_opts());

  ~Capture() override { rill_context_free(ctx); }
  std::vector<float> values(rill_tensor *x) {
    std::vector<float> v(size_t(rill_count(x)));
    rill_read(x, v.data(), v.size() * sizeof(float));
    return v;
  }
  rill_tensor *kept(std::vector<float> v) {
    return rill_keep(rill_from(ctx, RILL_F32, RILL_SHAPE(int64_t(v.size())), v.data()));
  }
};

TEST_F(Capture, EveryReplayWorksOnWhatIsThere) {
  rill_tensor *x = kept({1, 2, 3}), *y = kept({0, 0, 0}), *total = kept({0});
  int calls = 0;
  int64_t before = rill_memory_used(ctx).live_bytes;
  {
    Captured c(ctx, [&] {
      calls++;
      rill_assign(y, rill_exp(rill_scale(x, 2)));
      rill_assign(total, rill_add(total, rill_sum(x, 0, true)));
    });
    float sum = 0;
    for (float i = 1; i < 7; i++) {
      std::vector<float> v = {i, i / 2, -i};
      ASSERT_TRUE(rill_write(x, v.data(), sizeof(float) * 3));
      ASSERT_TRUE(rill_replay(c.capture)) << rill_error(ctx);
      sum += i / 2;
      EXPECT_EQ(values(total)[0], sum);
      for (size_t j = 0; j < 3; j++)
        EXPECT_NEAR(values(y)[j], std::exp(2 * v[j]), 1e-4 * std::exp(2 * v[j]));
    }
    EXPECT_EQ(calls, rill_test::on_gpu(ctx) ? 2 : 6);
  }
  EXPECT_EQ(rill_memory_used(ctx).live_bytes, before);
  EXPECT_FALSE(rill_replay(nullptr));
  rill_capture_free(nullptr);
}

// Each mistake is made from the second call on, where it counts.
TEST_F(Capture, MistakesAreErrorsThatSaySo) {
  rill_tensor *x = kept({1, 2, 3}), *y = kept({0, 0, 0}), *other = nullptr;
  rill_module *net = rill_module_new(ctx);
  rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{});
  rill_state *state = rill_state_new(ctx);
  float host[3];
  struct Mistake {
    std::function<void()> make;
    const char *message;
  } mistakes[] = {
      {[&] { rill_item(rill_sum(x, 0, false)); }, "must not wait for the device"},
      {[&] { rill_read(x, host, sizeof host); }, "rill_read: a captured function must not wait"},
      {[&] { rill_synchronize(ctx); }, "rill_synchronize: a captured function must not wait"},
      {[&] { rill_from(ctx, RILL_F32, RILL_SHAPE(3), host); }, "must not bring host values"},
      {[&] { rill_write(x, host, sizeof host); }, "must not bring host values"},
      {[&] { rill_optim_set_lr(opt, 0.5); }, "rill_write: a captured function must not bring host"},
      {[&] { rill_randn(ctx, RILL_F32, RILL_SHAPE(3)); }, "must not draw random numbers"},
      {[&] { rill_dropout(x, 0.5); }, "must not draw random numbers"},
      {[&] { rill_state_position(state); }, "must not depend on how many tokens were read"},
      {[&] { other = rill_keep(rill_scale(x, 3)); }, "left behind 12 bytes"},
      {[&] { rill_drop(y); }, "released 12 bytes"},
  };
  for (const Mistake &m : mistakes) {
    int calls = 0;
    Captured c(ctx, [&] {
      rill_assign(x, rill_scale(x, 2));
      if (calls++ > 0) m.make();
    });
    EXPECT_TRUE(rill_replay(c.capture)) << rill_error(ctx);
    EXPECT_FALSE(rill_replay(c.capture)) << m.message;
    ASSERT_NE(rill_error(ctx), nullptr) << m.message;
    EXPECT_NE(std::string(rill_error(ctx)).find(m.message), std::string::npos) << rill_error(ctx);
    EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_STATE);
    rill_error_clear(ctx);
    EXPECT_FALSE(rill_capturing(ctx));
  }
  rill_drop(other);
  // Nothing is broken: the next one works.
  float one[3] = {1, 1, 1};
  rill_write(x, one, sizeof one);
  Captured inner(ctx, [&] { rill_assign(x, rill_scale(x, 2)); });
  for (int i = 0; i < 4; i++) ASSERT_TRUE(rill_replay(inner.capture)) << rill_error(ctx);
  EXPECT_EQ(values(x)[1], 16);
  Captured outer(ctx, [&] { rill_replay(inner.capture); });
  EXPECT_TRUE(rill_replay(outer.capture));
  EXPECT_FALSE(rill_replay(outer.capture));
  EXPECT_NE(std::string(rill_error(ctx)).find("must not replay another"), std::string::npos);
}

// ---- training ----

rill_lm_config small(const char *model) {
  rill_lm_config config;
  EXPECT_TRUE(rill_lm_preset(model, &config)) << model;
  config.vocab = 256;
  config.layers = 2;
  config.width = 128;
  config.heads = 2;
  config.hidden = 192;
  return config;
}

struct Outcome {
  std::vector<float> losses;
  std::vector<uint64_t> hashes;
  rill_optim_report report;
};

// Eight updates of two micro-batches; the gradient of the fourth is not finite.
Outcome train(const char *model, rill_dtype dtype, bool captured) {
  enum { STEPS = 8, PARTS = 2, B = 2, T = 100 };
  rill_context *ctx = rill_context_new(rill_test::test_opts());
  rill_lm_config config = small(model);
  rill_module *net = rill_module_new_with(ctx, rill_lm_module_opts(&config, dtype));
  rill_lm *lm = rill_lm_new(net, &config);
  rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{.weight_decay = 0.1});
  auto keep = [&](rill_dtype d, rill_shape s) { return rill_keep(rill_zeros(ctx, d, s)); };
  rill_tensor *ids[PARTS], *loss[PARTS], *factor = keep(RILL_F32, RILL_SCALAR);
  for (int i = 0; i < PARTS; i++)
    ids[i] = keep(RILL_I32, RILL_SHAPE(B, T)), loss[i] = keep(RILL_F32, RILL_SCALAR);
  auto update = [&] {
    for (int i = 0; i < PARTS; i++) {
      rill_scope *scope = rill_scope_open(ctx);
      rill_tensor *x = rill_lm_loss(lm, ids[i], ids[1 - i]);
      rill_backward(rill_mul(x, factor));
      rill_assign(loss[i], x);
      rill_scope_close(scope);
    }
    rill_optim_step_clipped(opt, 0.5);
  };
  Outcome run;
  auto c = std::make_unique<Captured>(ctx, update);
  for (int step = 0; step < STEPS; step++) {
    for (rill_tensor *x : ids) {
      std::vector<int32_t> tokens;
      for (int i = 0; i < B * T; i++) tokens.push_back((step * 31 + i * i + i / 3) % 256);
      rill_write(x, tokens.data(), tokens.size() * sizeof(int32_t));
    }
    rill_fill(factor, step == 3 ? INFINITY : 0.5);
    rill_optim_set_lr(opt, 1e-3 * (step + 1));
    if (captured)
      rill_replay(c->capture);
    else
      update();
    for (rill_tensor *x : loss) run.losses.push_back(float(rill_item(x)));
  }
  rill_parameters params = rill_params(net), state = rill_optim_state(opt);
  for (int64_t i = 0; i < params.count; i++) run.hashes.push_back(rill_hash(params.at[i].value));
  for (int64_t i = 0; i < state.count; i++) run.hashes.push_back(rill_hash(state.at[i].value));
  run.report = rill_optim_status(opt);
  EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
  c.reset();
  rill_context_free(ctx);
  return run;
}

TEST(CaptureTraining, HasTheSameBits) {
  for (const char *model : {"rdn", "gdn", "rla", "transformer"})
    for (rill_dtype dtype : {RILL_F32, RILL_BF16}) {
      Outcome plain = train(model, dtype, false), captured = train(model, dtype, true);
      EXPECT_EQ(plain.losses, captured.losses) << model << rill_dtype_name(dtype);
      EXPECT_EQ(plain.hashes, captured.hashes) << model << rill_dtype_name(dtype);
      EXPECT_LT(plain.losses.back(), plain.losses.front()) << model;
      for (const rill_optim_report &r : {plain.report, captured.report}) {
        EXPECT_EQ(r.steps, 7);
        EXPECT_EQ(r.skipped, 1);
        EXPECT_EQ(r.skipped_in_row, 0);
        EXPECT_EQ(r.bad, nullptr);
      }
      EXPECT_EQ(plain.report.grad_norm, captured.report.grad_norm);
    }
}

// ---- decoding ----

TEST_F(Capture, DecodersHaveTheLogitsOfSingleCalls) {
  for (const char *model : {"rdn", "gdn", "rla", "mamba2", "gla", "retnet", "transformer"}) {
    rill_lm_config config = small(model);
    rill_dtype dtype = rill_test::on_gpu(ctx) ? RILL_BF16 : RILL_F32;
    rill_module *net = rill_module_new_with(ctx, rill_lm_module_opts(&config, dtype));
    rill_lm *lm = rill_lm_new(net, &config);
    rill_state *single = rill_state_new(ctx), *alone = rill_state_new(ctx);
    rill_scope *scope = rill_scope_open_no_grad(ctx);
    int32_t prompt[10] = {5, 6, 7, 8, 9, 1, 2, 3, 4, 5};
    for (rill_state *s : {single, alone})
      rill_lm_next(lm, rill_from(ctx, RILL_I32, RILL_SHAPE(2, 5), prompt), s);
    rill_decoder *d = rill_decoder_new(lm, single, 2);
    for (int32_t i = 0; i < 70; i++) { /* over the growth of a softmax cache */
      int32_t tokens[2] = {(i * 7) % 256, (i * 11) % 256};
      rill_tensor *x = rill_decoder_next(d, tokens);
      rill_tensor *y = rill_lm_next(lm, rill_from(ctx, RILL_I32, RILL_SHAPE(2, 1), tokens), alone);
      ASSERT_NE(x, nullptr) << rill_error(ctx);
      ASSERT_EQ(rill_hash(x), rill_hash(rill_cast(y, RILL_F32))) << model << " " << i;
    }
    EXPECT_EQ(rill_state_position(single), 75);
    rill_decoder_free(d);
    rill_scope_close(scope);
    rill_state_free(single);
    rill_state_free(alone);
  }
  EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
  EXPECT_EQ(rill_decoder_new(nullptr, nullptr, 1), nullptr);
  EXPECT_EQ(rill_decoder_next(nullptr, nullptr), nullptr);
  rill_decoder_free(nullptr);
}

// An index out of range in a replay is told at the next wait.
TEST_F(Capture, WrongIndicesAreStillFound) {
  rill_tensor *table = rill_keep(rill_zeros(ctx, RILL_F32, RILL_SHAPE(4, 3)));
  rill_tensor *ids = rill_keep(rill_zeros(ctx, RILL_I32, RILL_SHAPE(2)));
  rill_tensor *y = rill_keep(rill_zeros(ctx, RILL_F32, RILL_SHAPE(2, 3)));
  Captured c(ctx, [&] { rill_assign(y, rill_embedding_lookup(table, ids)); });
  for (int i = 0; i < 3; i++) ASSERT_TRUE(rill_replay(c.capture)) << rill_error(ctx);
  int32_t wrong[2] = {3, 4};
  rill_write(ids, wrong, sizeof wrong);
  rill_replay(c.capture);
  values(y);
  ASSERT_NE(rill_error(ctx), nullptr);
  for (const char *part : {"index_select", "index 4 at position 1 is outside [0, 4)"})
    EXPECT_NE(std::string(rill_error(ctx)).find(part), std::string::npos) << rill_error(ctx);
  EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_ARGUMENT);
}

}  // namespace
