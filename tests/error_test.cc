// The sticky error: what is recorded, what it says, and that everything after it is harmless.
#include "tests/tensor_util.h"

namespace {

class Error : public rill_test::WithContext {};

TEST_F(Error, FirstOneIsKept) {
  EXPECT_EQ(rill_error(ctx), nullptr);
  EXPECT_EQ(rill_error_status(ctx), RILL_OK);
  rill_fail(ctx, RILL_ERROR_FILE, "first %d", 1);
  rill_fail(ctx, RILL_ERROR_MEMORY, "second");
  EXPECT_STREQ(rill_error(ctx), "first 1");
  EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_FILE);
  rill_error_clear(ctx);
  EXPECT_EQ(rill_error(ctx), nullptr);
  rill_fail(ctx, RILL_OK, "a failure cannot be OK");
  EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_STATE);
  rill_error_clear(ctx);
}

// The message names the op, what is wrong, the operands, and where in the model it happened.
TEST_F(Error, NamesOpOperandsAndPath) {
  rill_enter(ctx, "block.3");
  rill_enter(ctx, "block.3.mixer.q_proj");
  rill_tensor *a = rill_zeros(ctx, RILL_F32, RILL_SHAPE(8, 256));
  rill_matmul(a, rill_zeros(ctx, RILL_F32, RILL_SHAPE(128, 64)));
  std::string message = rill_error(ctx);
  EXPECT_EQ(message.find("block.3.mixer.q_proj: matmul: "), 0u) << message;
  for (const char *part : {"256", "128", "a f32 [8, 256]", "b f32 [128, 64]"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
  rill_error_clear(ctx);
  rill_leave(ctx);
  rill_leave(ctx);
  rill_leave(ctx); /* one too many is ignored */
  rill_fail(ctx, RILL_ERROR_STATE, "plain");
  EXPECT_STREQ(rill_error(ctx), "plain");
  rill_error_clear(ctx);
}

// After an error ops return the void tensor, which every function takes and ignores.
TEST_F(Error, EverythingAfterItIsHarmless) {
  rill_tensor *x = rill_require_grad(vector({1, 2}));
  rill_tensor *bad = rill_add(x, vector({1, 2, 3}));
  EXPECT_TRUE(rill_is_void(bad));
  int64_t tensors = live();
  rill_tensor *y = rill_exp(rill_matmul(bad, x));
  EXPECT_TRUE(rill_is_void(y));
  EXPECT_TRUE(rill_is_void(rill_square(x)));
  EXPECT_TRUE(rill_is_void(vector({1})));
  EXPECT_TRUE(rill_is_void(rill_copy(y)));
  EXPECT_TRUE(rill_is_void(rill_detach(y)));
  EXPECT_TRUE(rill_is_void(rill_hoist(y)));
  EXPECT_TRUE(rill_is_void(rill_keep(y)));
  EXPECT_TRUE(rill_is_void(rill_require_grad(y)));
  EXPECT_EQ(rill_count(y), 0);
  EXPECT_EQ(rill_rank(y), 0);
  EXPECT_EQ(rill_size(y, 0), 0);
  EXPECT_EQ(rill_grad(y), nullptr);
  EXPECT_FALSE(rill_fill(y, 1));
  EXPECT_FALSE(rill_assign(y, x));
  EXPECT_FALSE(rill_assign(x, y));
  EXPECT_EQ(rill_hash(y), 0u);
  rill_zero_grad(y);
  rill_backward(y);
  rill_tensor *parts[2];
  rill_split(y, 0, 2, nullptr, parts);
  EXPECT_TRUE(rill_is_void(parts[0]) && rill_is_void(parts[1]));
  EXPECT_EQ(live(), tensors);
  expect_error(RILL_ERROR_ARGUMENT, "add: ");
  EXPECT_EQ(read(rill_square(x)), (std::vector<double>{1, 4})) << "usable again";
}

TEST_F(Error, ContextFreeTellsOfIt) {
  rill_context_opts opts = {};
  opts.on_error = RILL_CONTINUE;
  rill_context *good = rill_context_new(opts), *bad = rill_context_new(opts);
  rill_fail(bad, RILL_ERROR_NUMBER, "nan");
  EXPECT_EQ(rill_context_free(good), 0);
  EXPECT_EQ(rill_context_free(bad), 1);
  EXPECT_EQ(rill_context_free(nullptr), 0);
}

TEST_F(Error, AbortPrintsAndExits) {
  EXPECT_EXIT(
      {
        rill_context *c = rill_context_new(rill_context_opts{});
        rill_reshape(rill_zeros(c, RILL_F32, RILL_SHAPE(3)), RILL_SHAPE(4));
      },
      testing::ExitedWithCode(1), "rill: reshape: ");
}

TEST_F(Error, MissingDeviceIsRecorded) {
  rill_context_opts opts = {};
  opts.on_error = RILL_CONTINUE;
  opts.device = static_cast<rill_device_kind>(9);
  rill_context *c = rill_context_new(opts);
  ASSERT_NE(rill_error(c), nullptr);
  EXPECT_EQ(rill_error_status(c), RILL_ERROR_DEVICE);
  EXPECT_EQ(rill_context_free(c), 1);
}

TEST_F(Error, LongMessagesAreCut) {
  std::string text(5000, 'x');
  rill_fail(ctx, RILL_ERROR_STATE, "%s", text.c_str());
  EXPECT_EQ(std::strlen(rill_error(ctx)), 1023u);
  rill_error_clear(ctx);
}

}  // namespace
