// Optimizers against their formulas, schedules, clipping, skipped steps, states.
#include "optim/optim.h"
#include "tests/device_util.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/schedule.h"

namespace {

class Optim : public testing::Test {
 protected:
  void SetUp() override {
    ctx = rill_context_new(rill_context_opts{
        .seed = 5, .on_error = RILL_CONTINUE, .device = rill_test::test_opts().device});
    net = rill_module_new(ctx);
  }
  void TearDown() override { rill_context_free(ctx); }
  void expect_error(const std::string &text) {
    ASSERT_NE(rill_error(ctx), nullptr) << "no error; expected: " << text;
    EXPECT_NE(std::string(rill_error(ctx)).find(text), std::string::npos) << rill_error(ctx);
    rill_error_clear(ctx);
  }

 public:
  // A parameter of n elements, w[i] = 1 + i / n.
  rill_tensor *parameter(const char *name, rill_dtype dtype, int64_t n) {
    rill_tensor *w = rill_param_as(net, name, dtype, RILL_SHAPE(n, 1), rill_init_constant(0));
    rill_assign(w, rill_reshape(rill_affine(rill_arange(ctx, RILL_F64, n), 1.0 / double(n), 1),
                                RILL_SHAPE(n, 1)));
    return w;
  }
  // Gives w the gradient c * w, by the loss c/2 |w|^2.
  void pull(rill_tensor *w, double c) {
    rill_backward(rill_scale(rill_sum(rill_square(w), RILL_ALL_AXES, false), c / 2));
  }
  std::vector<double> values(rill_tensor *x) {
    std::vector<double> v(size_t(rill_count(x)));
    rill_read_f64(x, v.data(), int64_t(v.size()));
    return v;
  }
  rill_context *ctx = nullptr;
  rill_module *net = nullptr;
};

// ---- AdamW ----

void adamw_reference(std::vector<double> &w, int steps, double c, double lr, double decay,
                     double b1, double b2, double eps) {
  std::vector<double> m(w.size()), v(w.size());
  for (int t = 1; t <= steps; t++)
    for (size_t i = 0; i < w.size(); i++) {
      double g = c * w[i];
      m[i] = b1 * m[i] + (1 - b1) * g;
      v[i] = b2 * v[i] + (1 - b2) * g * g;
      double mh = m[i] / (1 - std::pow(b1, t)), vh = v[i] / (1 - std::pow(b2, t));
      w[i] = w[i] * (1 - lr * decay) - lr * mh / (std::sqrt(vh) + eps);
    }
}

TEST_F(Optim, AdamWIsItsFormula) {
  struct {
    rill_dtype dtype;
    double tolerance;
  } cases[] = {{RILL_F64, 1e-14}, {RILL_F32, 2e-6}};
  for (auto [dtype, tolerance] : cases) {
    net = rill_module_new(ctx);
    rill_tensor *w = parameter("w", dtype, 50001);
    std::vector<double> expected = values(w);
    rill_optim *opt = rill_adamw_new(
        rill_params(net),
        rill_adamw_opts{.lr = 0.01, .weight_decay = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-6});
    for (int step = 0; step < 20; step++) {
      pull(w, 3);
      ASSERT_TRUE(rill_optim_step(opt)) << rill_error(ctx);
    }
    adamw_reference(expected, 20, 3, 0.01, 0.1, 0.8, 0.9, 1e-6);
    std::vector<double> got = values(w);
    for (size_t i = 0; i < got.size(); i++) ASSERT_NEAR(got[i], expected[i], tolerance) << i;
    EXPECT_EQ(rill_optim_status(opt).steps, 20);
    EXPECT_EQ(rill_grad(w), nullptr);  // a step forgets the gradients
  }
}

TEST_F(Optim, DecaySparesNormsAndBiases) {
  rill_tensor *w = rill_param(net, "w", RILL_SHAPE(2, 2), rill_init_constant(1));
  rill_tensor *b = rill_param(net, "b", RILL_SHAPE(2), rill_init_constant(1));
  rill_optim *opt =
      rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 0.1, .weight_decay = 0.5});
  rill_backward(rill_scale(
      rill_add(rill_sum(w, RILL_ALL_AXES, false), rill_sum(b, RILL_ALL_AXES, false)), 0));
  EXPECT_TRUE(rill_optim_step(opt));
  EXPECT_NEAR(values(w)[0], 0.95, 1e-7);
  EXPECT_EQ(values(b)[0], 1);
}

// bf16 parameters move although each update is below their resolution: the master copy is f32.
TEST_F(Optim, MasterWeightsMove) {
  rill_tensor *w = rill_param_as(net, "w", RILL_BF16, RILL_SHAPE(300, 1), rill_init_constant(1));
  rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 6e-4});
  for (int step = 0; step < 100; step++) {
    rill_backward(rill_sum(w, RILL_ALL_AXES, false));
    ASSERT_TRUE(rill_optim_step(opt)) << rill_error(ctx);
  }
  EXPECT_NEAR(values(w)[0], 1 - 100 * 6e-4, 0.004);
  EXPECT_NEAR(values(w)[299], 1 - 100 * 6e-4, 0.004);
}

TEST_F(Optim, ParametersWithoutGradientStay) {
  rill_tensor *a = parameter("a", RILL_F32, 4), *b = parameter("b", RILL_F32, 4);
  rill_optim *opt =
      rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 0.1, .weight_decay = 0.5});
  std::vector<double> before = values(b);
  pull(a, 1);
  EXPECT_TRUE(rill_optim_step(opt));
  EXPECT_EQ(values(b), before);
  EXPECT_TRUE(rill_optim_step(opt));  // no gradient at all
}

TEST_F(Optim, SgdIsItsFormula) {
  for (bool nesterov : {false, true}) {
    net = rill_module_new(ctx);
    rill_tensor *w = parameter("w", RILL_F64, 1000);
    std::vector<double> expected = values(w), u(expected.size());
    rill_optim *opt = rill_sgd_new(
        rill_params(net),
        rill_sgd_opts{.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = nesterov});
    for (int step = 0; step < 10; step++) {
      for (size_t i = 0; i < u.size(); i++) {
        double g = 2 * expected[i];
        u[i] = 0.9 * u[i] + g;
        expected[i] = expected[i] * (1 - 0.05 * 0.01) - 0.05 * (nesterov ? g + 0.9 * u[i] : u[i]);
      }
      pull(w, 2);
      ASSERT_TRUE(rill_optim_step(opt));
    }
    std::vector<double> got = values(w);
    for (size_t i = 0; i < got.size(); i++) ASSERT_NEAR(got[i], expected[i], 1e-14) << i;
  }
}

TEST_F(Optim, ThreadsDoNotMatter) {
  std::vector<uint64_t> hashes;
  for (int threads : {1, 2, 3, 7}) {
    rill_context_set_threads(ctx, threads);
    net = rill_module_new(ctx);
    rill_tensor *w = parameter("w", RILL_F32, 100003);
    rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 0.01});
    for (int step = 0; step < 3; step++) {
      pull(w, 5);
      rill_clip_grad_norm(rill_params(net), 1);
      rill_optim_step(opt);
    }
    hashes.push_back(rill_hash(w));
  }
  for (uint64_t h : hashes) EXPECT_EQ(h, hashes[0]);
}

TEST_F(Optim, RatesCanBeSet) {
  rill_tensor *w = parameter("w", RILL_F64, 3);
  rill_optim *opt = rill_sgd_new(rill_params(net), rill_sgd_opts{.lr = 1});
  rill_optim_set_lr(opt, 0.5);
  EXPECT_EQ(rill_optim_lr(opt), 0.5);
  pull(w, 1);
  rill_optim_step(opt);
  EXPECT_DOUBLE_EQ(values(w)[0], 0.5);
  rill_optim_set_lr(opt, NAN);
  expect_error("rill_optim_set_lr: lr must be from 0 to inf, not nan");
  EXPECT_EQ(rill_optim_lr(opt), 0.5);
}

TEST_F(Optim, OptionsAreChecked) {
  parameter("w", RILL_F32, 3);
  rill_parameters p = rill_params(net);
  EXPECT_EQ(rill_adamw_new(p, rill_adamw_opts{.lr = -1}), nullptr);
  expect_error("rill_adamw_new: lr must be from 0");
  EXPECT_EQ(rill_adamw_new(p, rill_adamw_opts{.lr = NAN}), nullptr);
  expect_error("not nan");
  EXPECT_EQ(rill_adamw_new(p, rill_adamw_opts{.beta1 = 1}), nullptr);
  expect_error("beta1");
  EXPECT_EQ(rill_adamw_new(p, rill_adamw_opts{.beta2 = 1.5}), nullptr);
  expect_error("beta2");
  EXPECT_EQ(rill_adamw_new(p, rill_adamw_opts{.eps = -1e-8}), nullptr);
  expect_error("eps");
  EXPECT_EQ(rill_sgd_new(p, rill_sgd_opts{.momentum = 2}), nullptr);
  expect_error("momentum");
  rill_parameter twice[2] = {p.at[0], p.at[0]};
  EXPECT_EQ(rill_adamw_new(rill_parameters{ctx, 2, twice}, rill_adamw_opts{}), nullptr);
  expect_error("given the parameter 'w' twice");
  EXPECT_FALSE(rill_optim_step(nullptr));
  rill_optim_zero_grad(nullptr);
  EXPECT_EQ(rill_optim_state(nullptr).count, 0);
}

// ---- clipping ----

TEST_F(Optim, ClippingScalesToTheNorm) {
  for (rill_dtype dtype : {RILL_F64, RILL_F32, RILL_BF16}) {
    net = rill_module_new(ctx);
    rill_tensor *a = parameter("a", dtype, 40000), *b = parameter("b", dtype, 77);
    pull(a, 2), pull(b, 2);
    double sum = 0;
    for (rill_tensor *w : {a, b})
      for (double g : values(rill_grad(w))) sum += g * g;
    double norm = std::sqrt(sum), tolerance = dtype == RILL_BF16 ? 1e-2 : 1e-6;
    std::vector<double> before = values(rill_grad(b));
    EXPECT_NEAR(rill_clip_grad_norm(rill_params(net), 0), norm, 1e-9 * norm);
    EXPECT_NEAR(rill_clip_grad_norm(rill_params(net), 2 * norm), norm, 1e-9 * norm);
    EXPECT_EQ(values(rill_grad(b)), before);  // neither of these scales
    EXPECT_NEAR(rill_clip_grad_norm(rill_params(net), 1), norm, 1e-9 * norm);
    EXPECT_NEAR(rill_clip_grad_norm(rill_params(net), 0), 1, tolerance);
    EXPECT_NEAR(values(rill_grad(b))[5], before[5] / norm, tolerance);
  }
  EXPECT_TRUE(std::isnan(rill_clip_grad_norm(rill_params(net), -1)));
  expect_error("max_norm must be >= 0");
}

TEST_F(Optim, NonFiniteGradientsAreSkipped) {
  rill_tensor *a = parameter("a", RILL_F32, 5), *b = parameter("b", RILL_F32, 5),
              *c = parameter("c", RILL_F32, 5);
  rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{.weight_decay = 0.1});
  pull(a, 1), pull(b, 1), pull(c, 1);
  ASSERT_TRUE(rill_optim_step(opt));
  std::vector<uint64_t> before;
  rill_parameters state = rill_optim_state(opt);
  for (int64_t i = 0; i < state.count; i++) before.push_back(rill_hash(state.at[i].value));
  before.push_back(rill_hash(a));
  for (double bad : {double(NAN), std::numeric_limits<double>::infinity()}) {
    pull(a, 1), pull(b, bad), pull(c, bad);
    const char *name = nullptr;
    EXPECT_FALSE(std::isfinite(rill_clip_grad_norm_named(rill_params(net), 1, &name)));
    EXPECT_STREQ(name, "b");
    EXPECT_FALSE(rill_optim_step(opt));
    EXPECT_STREQ(rill_optim_status(opt).bad, "b");
    EXPECT_EQ(rill_grad(a), nullptr);
  }
  EXPECT_EQ(rill_optim_status(opt).skipped, 2);
  EXPECT_EQ(rill_optim_status(opt).skipped_in_row, 2);
  EXPECT_EQ(rill_optim_status(opt).steps, 1);
  state = rill_optim_state(opt);
  for (int64_t i = 0; i < state.count; i++)
    EXPECT_EQ(before[size_t(i)], rill_hash(state.at[i].value)) << state.at[i].name;
  EXPECT_EQ(before.back(), rill_hash(a));
  EXPECT_EQ(rill_error(ctx), nullptr);
  pull(a, 1);
  EXPECT_TRUE(rill_optim_step(opt));
  EXPECT_EQ(rill_optim_status(opt).skipped_in_row, 0);
  EXPECT_EQ(rill_optim_status(opt).skipped, 2);
}

// ---- states ----

TEST_F(Optim, StateContinuesExactly) {
  std::string path = testing::TempDir() + "/optim_test.safetensors";
  for (rill_dtype dtype : {RILL_F32, RILL_BF16}) {
    net = rill_module_new(ctx);
    rill_tensor *w = parameter("w", dtype, 33);
    rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 0.01});
    auto steps = [](Optim *test, rill_tensor *x, rill_optim *o, int n) {
      for (int i = 0; i < n; i++) test->pull(x, 1), rill_optim_step(o);
    };
    steps(this, w, opt, 5);
    rill_parameters state = rill_optim_state(opt);
    EXPECT_EQ(state.count, dtype == RILL_BF16 ? 4 : 3);
    EXPECT_STREQ(state.at[0].name, "adamw.steps");
    EXPECT_STREQ(state.at[1].name, "adamw.m.w");
    ASSERT_TRUE(rill_safetensors_save(ctx, path.c_str(), state, 0, nullptr)) << rill_error(ctx);
    std::vector<double> kept = values(w);
    steps(this, w, opt, 5);

    rill_module *second = rill_module_new(ctx);
    rill_tensor *x = rill_param_as(second, "w", dtype, RILL_SHAPE(33, 1), rill_init_constant(0));
    rill_write(x, nullptr, 0);
    rill_error_clear(ctx);
    rill_assign(x, rill_from(ctx, RILL_F64, RILL_SHAPE(33, 1), kept.data()));
    rill_optim *again = rill_adamw_new(rill_params(second), rill_adamw_opts{.lr = 0.01});
    rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
    ASSERT_TRUE(rill_safetensors_load(file, rill_optim_state(again), true)) << rill_error(ctx);
    rill_safetensors_close(file);
    ASSERT_TRUE(rill_optim_restore(again));
    EXPECT_EQ(rill_optim_status(again).steps, 5);
    steps(this, x, again, 5);
    EXPECT_EQ(rill_hash(x), rill_hash(w)) << rill_dtype_name(dtype);
  }
  remove(path.c_str());
}

// ---- schedules ----

TEST(Schedule, Values) {
  rill_schedule s = {RILL_SCHEDULE_CONSTANT, 1.0, 0.1, 10, 110, 20};
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 0), 0.1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 4), 0.5);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 9), 1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 1000), 1);
  s.kind = RILL_SCHEDULE_LINEAR;
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 10), 1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 60), 0.55);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 110), 0.1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 5000), 0.1);
  s.kind = RILL_SCHEDULE_COSINE;
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 10), 1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 60), 0.55);
  EXPECT_NEAR(rill_schedule_at(&s, 35), 0.1 + 0.9 * 0.5 * (1 + std::sqrt(0.5)), 1e-15);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 110), 0.1);
  s.kind = RILL_SCHEDULE_WSD;
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 10), 1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 90), 1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 100), 0.55);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 110), 0.1);
  s.decay = 0;  // a fifth of 110
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 88), 1);
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 99), 0.55);
  s.warmup = 0;
  EXPECT_DOUBLE_EQ(rill_schedule_at(&s, 0), 1);
}

TEST(Schedule, NeverLeavesItsRange) {
  for (int kind = 0; kind < 4; kind++)
    for (int64_t warmup : {0, 1, 7, 50})
      for (int64_t total : {0, 1, 7, 60})
        for (int64_t step = 0; step < 100; step++) {
          rill_schedule s = {rill_schedule_kind(kind), 2, 0.5, warmup, total, 0};
          double lr = rill_schedule_at(&s, step);
          EXPECT_TRUE(lr > 0 && lr <= 2) << kind << " " << warmup << " " << total << " " << step;
        }
}

TEST(Schedule, Names) {
  for (const char *name : {"constant", "linear", "cosine", "wsd"}) {
    rill_schedule_kind kind;
    ASSERT_TRUE(rill_schedule_find(name, &kind));
    EXPECT_STREQ(rill_schedule_name(kind), name);
  }
  rill_schedule_kind kind;
  EXPECT_FALSE(rill_schedule_find("cosin", &kind));
}

}  // namespace
