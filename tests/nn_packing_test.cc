// Texts packed into one row: what each gives is what it gives alone.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nn/nn.h"
#include "ops/ops.h"

namespace {

const char *const KINDS[] = {"transformer", "linear_attention", "retnet", "mamba2", "sgla",
                             "gla",         "deltanet",         "gdn",    "rla",    "rdn"};
const std::vector<int64_t> OFFSETS = {0, 3, 4, 4, 21, 30}; /* one of them empty */

class Packing : public testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    ctx = rill_context_new(rill_context_opts{.seed = 7, .on_error = RILL_CONTINUE, .threads = 1});
    rill_lm_config c;
    ASSERT_TRUE(rill_lm_preset(GetParam(), &c));
    c.vocab = 11, c.width = 8, c.layers = 2, c.heads = 2, c.hidden = 12, c.std = 0.3;
    net = rill_module_new_with(ctx, rill_lm_module_opts(&c, RILL_F64));
    lm = rill_lm_new(net, &c);
    ASSERT_NE(lm, nullptr) << rill_error(ctx);
    ids = rill_randint(ctx, RILL_I32, RILL_SHAPE(1, 30), 0, 11);
    targets = rill_randint(ctx, RILL_I32, RILL_SHAPE(1, 30), 0, 11);
  }
  void TearDown() override {
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    rill_context_free(ctx);
  }
  rill_state *pack(const std::vector<int64_t> &offsets) {
    rill_state *state = rill_state_new(ctx);
    EXPECT_TRUE(rill_state_pack(state, (int64_t)offsets.size() - 1, offsets.data()));
    return state;
  }
  std::vector<double> values(rill_tensor *x) {
    std::vector<double> v(static_cast<size_t>(rill_count(x)));
    EXPECT_TRUE(rill_read_f64(x, v.data(), static_cast<int64_t>(v.size())));
    return v;
  }
  // All gradients one after the other; they are zero again after that.
  std::vector<double> gradients() {
    std::vector<double> all;
    rill_parameters params = rill_params(net);
    for (int64_t i = 0; i < params.count; i++) {
      if (rill_tensor *g = rill_grad(params.at[i].value)) {
        std::vector<double> v = values(g);
        all.insert(all.end(), v.begin(), v.end());
      }
    }
    rill_params_zero_grad(params);
    return all;
  }
  // The loss and gradients of the texts one by one.
  double apart() {
    double sum = 0;
    for (size_t i = 0; i + 1 < OFFSETS.size(); i++) {
      int64_t begin = OFFSETS[i], end = OFFSETS[i + 1];
      if (begin == end) continue;
      rill_tensor *loss = rill_scale(rill_lm_loss(lm, rill_slice(ids, 1, begin, end, 1),
                                                  rill_slice(targets, 1, begin, end, 1)),
                                     (double)(end - begin) / 30);
      rill_backward(loss);
      sum += rill_item(loss);
    }
    return sum;
  }

  rill_context *ctx = nullptr;
  rill_module *net = nullptr;
  rill_lm *lm = nullptr;
  rill_tensor *ids = nullptr, *targets = nullptr;
};

TEST_P(Packing, LossAndGradientsAreThoseOfTheTextsApart) {
  double want = apart();
  std::vector<double> want_gradients = gradients();
  for (int64_t recompute : {0, 1, -1}) {
    lm->recompute = recompute;
    rill_state *state = pack(OFFSETS);
    rill_tensor *loss = rill_lm_loss_state(lm, ids, targets, state);
    EXPECT_NEAR(rill_item(loss), want, 1e-12);
    rill_backward(loss);
    std::vector<double> got = gradients();
    ASSERT_EQ(got.size(), want_gradients.size());
    for (size_t i = 0; i < got.size(); i++) ASSERT_NEAR(got[i], want_gradients[i], 1e-11) << i;
    EXPECT_EQ(rill_state_position(state), 0);
    rill_state_free(state);
  }
}

TEST_P(Packing, ATextSeesNothingOfTheOthers) {
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_state *state = pack(OFFSETS);
  std::vector<double> before = values(rill_lm_apply_state(lm, ids, state));
  rill_tensor *others = rill_copy(ids);
  rill_assign(rill_slice(others, 1, 0, 4, 1), rill_full(ctx, RILL_I32, RILL_SHAPE(1, 4), 5));
  rill_assign(rill_slice(others, 1, 21, 30, 1), rill_full(ctx, RILL_I32, RILL_SHAPE(1, 9), 6));
  std::vector<double> after = values(rill_lm_apply_state(lm, others, state));
  for (size_t i = 4 * 11; i < 21 * 11; i++) ASSERT_EQ(before[i], after[i]) << i;
  rill_state_free(state);
  rill_scope_close(scope);
}

INSTANTIATE_TEST_SUITE_P(All, Packing, testing::ValuesIn(KINDS),
                         [](const auto &info) { return std::string(info.param); });

TEST(PackingErrors, SayWhatIsWrong) {
  auto says = [](std::vector<int64_t> offsets, rill_shape shape) {
    rill_context *ctx = rill_context_new(rill_context_opts{.on_error = RILL_CONTINUE});
    rill_lm_config c;
    rill_lm_preset("gdn", &c);
    c.vocab = 11, c.width = 8, c.layers = 1, c.heads = 2;
    rill_module *net = rill_module_new_with(ctx, rill_lm_module_opts(&c, RILL_F32));
    rill_lm *lm = rill_lm_new(net, &c);
    rill_state *state = rill_state_new(ctx);
    if (rill_state_pack(state, (int64_t)offsets.size() - 1, offsets.data()))
      rill_lm_apply_state(lm, rill_zeros(ctx, RILL_I32, shape), state);
    std::string message = rill_error(ctx) ? rill_error(ctx) : "";
    rill_context_free(ctx);
    return message;
  };
  EXPECT_NE(says({0, 4}, RILL_SHAPE(1, 5)).find("ids of shape [1, 4], not [1, 5]"),
            std::string::npos);
  EXPECT_NE(says({0, 4}, RILL_SHAPE(2, 4)).find("ids of shape [1, 4], not [2, 4]"),
            std::string::npos);
  for (auto &bad : std::vector<std::vector<int64_t>>{{0}, {1, 4}, {0, 3, 2, 4}, {0, -1}})
    EXPECT_NE(says(bad, RILL_SHAPE(1, 4)).find("rill_state_pack: there must be a sequence"),
              std::string::npos);
  EXPECT_EQ(says({0, 4}, RILL_SHAPE(1, 4)), "");
}

}  // namespace
