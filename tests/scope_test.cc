// Scopes: who owns a tensor, when it goes, and what outlives what.
#include <cmath>

#include "tests/tensor_util.h"

namespace {

class Scope : public rill_test::WithContext {};

TEST_F(Scope, ClosingReleases) {
  int64_t before = live();
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *x = vector({1, 2, 3});
  rill_add(rill_square(x), x);
  EXPECT_GT(live(), before);
  EXPECT_GT(rill_memory_used(ctx).live_bytes, 0);
  rill_scope_close(scope);
  EXPECT_EQ(live(), before);
  EXPECT_EQ(rill_memory_used(ctx).live_bytes, 0);
  rill_scope_close(nullptr);
}

TEST_F(Scope, ClosingClosesInnerOnes) {
  rill_scope *outer = rill_scope_open(ctx);
  for (int i = 0; i < 10; i++) {
    rill_scope_open(ctx);
    vector({1});
  }
  rill_scope_close(outer);
  EXPECT_EQ(live(), 0);
}

TEST_F(Scope, ResetKeepsItOpen) {
  rill_scope *turn = rill_scope_open(ctx);
  int64_t bytes = -1;
  for (int i = 0; i < 100; i++) {
    ASSERT_TRUE(rill_scope_reset(turn));
    rill_square(vector({1, 2}));
    if (bytes < 0) bytes = rill_memory_used(ctx).live_bytes;
    EXPECT_EQ(rill_memory_used(ctx).live_bytes, bytes);
  }
  EXPECT_EQ(rill_memory_used(ctx).peak_bytes, bytes);
  rill_fail(ctx, RILL_ERROR_STATE, "stop");
  EXPECT_FALSE(rill_scope_reset(turn));
  EXPECT_FALSE(rill_scope_reset(nullptr));
}

TEST_F(Scope, HoistMovesOneScopeOut) {
  rill_scope *outer = rill_scope_open(ctx), *inner = rill_scope_open(ctx);
  rill_tensor *x = vector({1, 2}), *y = rill_square(x);
  EXPECT_EQ(rill_hoist(y), y);
  rill_scope_close(inner);
  EXPECT_EQ(live(), 1);
  EXPECT_EQ(read(y), (std::vector<double>{1, 4}));
  rill_scope *other = rill_scope_open(ctx);
  EXPECT_EQ(rill_hoist(y), y) << "a tensor from elsewhere stays where it is";
  rill_scope_close(other);
  EXPECT_EQ(read(y), (std::vector<double>{1, 4}));
  rill_scope_close(outer);
  EXPECT_EQ(live(), 0);
}

TEST_F(Scope, KeepAndDrop) {
  rill_scope *outer = rill_scope_open(ctx);
  rill_scope_open(ctx);
  rill_tensor *x = rill_keep(vector({5}));
  rill_scope_close(outer);
  EXPECT_EQ(rill_item(x), 5);
  EXPECT_EQ(rill_keep(x), x);
  rill_drop(x);
  EXPECT_EQ(live(), 0);
  rill_drop(nullptr);
}

// A view holds the memory, not the tensor it was made from.
TEST_F(Scope, ViewsHoldTheirMemory) {
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *row = rill_hoist(rill_slice(vector({1, 2, 3, 4}), 0, 1, 3, 1));
  rill_scope_close(scope);
  EXPECT_EQ(read(row), (std::vector<double>{2, 3}));
  EXPECT_EQ(rill_memory_used(ctx).live_bytes, 32);
}

// The graph holds what backward needs, whatever scopes close in between.
TEST_F(Scope, GraphsOutliveTheirScopes) {
  rill_tensor *x = rill_require_grad(vector({1, 2, 3}));
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *y = rill_hoist(rill_sum(rill_exp(rill_square(x)), RILL_ALL_AXES, false));
  rill_scope_close(scope);
  rill_backward(y);
  std::vector<double> g = read(rill_grad(x));
  for (int i = 0; i < 3; i++) EXPECT_NEAR(g[i], 2 * (i + 1) * std::exp((i + 1) * (i + 1)), 1e-9);
  expect_no_error();
}

// Half a million nodes in a row: releasing them must not recurse.
TEST_F(Scope, LongGraphsAreReleased) {
  rill_tensor *x = rill_require_grad(vector({1}));
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *y = x;
  for (int i = 0; i < 500000; i++) {
    rill_scope *turn = rill_scope_open(ctx);
    y = rill_hoist(rill_neg(y));
    rill_scope_close(turn);
  }
  rill_scope_close(scope);
  EXPECT_EQ(live(), 1);
}

TEST_F(Scope, NoGradIsInheritedByInnerScopes) {
  rill_tensor *x = rill_require_grad(vector({1}));
  EXPECT_TRUE(rill_grad_enabled(ctx));
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_scope_open(ctx);
  EXPECT_FALSE(rill_grad_enabled(ctx));
  EXPECT_FALSE(rill_requires_grad(rill_square(x)));
  rill_scope_close(scope);
  EXPECT_TRUE(rill_requires_grad(rill_square(x)));
}

// 20,000 turns of a small training loop leave nothing behind and take nothing more.
TEST_F(Scope, Soak) {
  rill_tensor *w = rill_require_grad(vector({0.5, -0.5}));
  rill_scope *turn = rill_scope_open(ctx);
  int64_t blocks = 0, bytes = 0;
  for (int i = 0; i < 20000 && rill_scope_reset(turn); i++) {
    rill_zero_grad(w);
    rill_backward(rill_sum(rill_square(rill_tanh(w)), RILL_ALL_AXES, false));
    if (i == 1000) blocks = allocator.live, bytes = allocator.bytes;
  }
  EXPECT_EQ(allocator.live, blocks);
  EXPECT_EQ(allocator.bytes, bytes);
  expect_no_error();
}

#ifdef RILL_DEBUG
TEST_F(Scope, UseAfterCloseIsTold) {
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *x = rill_square(vector({1}));
  rill_scope_close(scope);
  EXPECT_DEATH(rill_print(x), "made by square.* was used after its scope was closed");
}
#endif

TEST_F(Scope, OwnedMemory) {
  char *a = static_cast<char *>(rill_owned_alloc(ctx, 100)),
       *b = static_cast<char *>(rill_owned_alloc(ctx, 7));
  for (int i = 0; i < 100; i++) EXPECT_EQ(a[i], 0);
  rill_owned_free(ctx, a);
  rill_owned_free(ctx, nullptr);
  EXPECT_EQ(b[6], 0);
}

}  // namespace
