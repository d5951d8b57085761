// The tape: leaves, accumulation, broadcasting, graphs that are used twice, recomputation.
#include <cmath>

#include "tests/tensor_util.h"

namespace {

class Autograd : public rill_test::WithContext {
 protected:
  rill_tensor *leaf(std::vector<double> x) { return rill_require_grad(vector(x)); }
  static rill_tensor *total(rill_tensor *x) { return rill_sum(x, RILL_ALL_AXES, false); }
};

using Values = std::vector<double>;

TEST_F(Autograd, ChainAndFanOut) {
  rill_tensor *x = leaf({1, 2});
  rill_tensor *y = rill_square(x); /* used twice */
  rill_backward(total(rill_add(rill_mul(y, x), y)));
  EXPECT_EQ(read(rill_grad(x)), (Values{3 + 2, 12 + 4}));
}

TEST_F(Autograd, GradientsAddUpUntilZeroed) {
  rill_tensor *x = leaf({3});
  EXPECT_EQ(rill_grad(x), nullptr);
  for (int i = 0; i < 3; i++) rill_backward(total(rill_square(x)));
  EXPECT_EQ(rill_item(rill_grad(x)), 18);
  rill_zero_grad(x);
  EXPECT_EQ(rill_grad(x), nullptr);
  rill_backward(total(x));
  EXPECT_EQ(rill_item(rill_grad(x)), 1);
}

TEST_F(Autograd, BroadcastIsSummedBack) {
  rill_tensor *a = leaf({1, 2, 3}),
              *b = rill_require_grad(rill_reshape(vector({1, 2}), RILL_SHAPE(2, 1)));
  EXPECT_EQ(rill_error(ctx), nullptr);
  rill_backward(total(rill_mul(a, b)));
  EXPECT_EQ(read(rill_grad(a)), (Values{3, 3, 3}));
  EXPECT_EQ(read(rill_grad(b)), (Values{6, 6}));
  EXPECT_EQ(rill_rank(rill_grad(b)), 2);
}

// The leaf's gradient has memory of its own: it is no view of someone else's.
TEST_F(Autograd, GradientsShareNoMemory) {
  rill_tensor *x = leaf({1, 2}), *y = leaf({3, 4});
  rill_backward(total(rill_add(x, y)));
  rill_fill(rill_grad(x), 100);
  EXPECT_EQ(read(rill_grad(y)), (Values{1, 1}));
}

// An op whose definition hands its operand back gives a tensor of its own: the operand gets no
// graph.
TEST_F(Autograd, ComposeMayHandAnOperandBack) {
  rill_op same = {};
  same.name = "same";
  same.in[0] = "x";
  same.out[0] = "y";
  same.infer = [](rill_infer *q) {
    return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
  };
  same.compose = [](rill_compose *c) { c->out[0] = c->in[0]; };
  same.vjp = [](rill_vjp *g) { rill_vjp_give(g, 0, rill_scale(g->grad[0], 3)); };
  rill_tensor *x = leaf({1, 2});
  rill_tensor *y = rill_apply(&same, 1, &x, nullptr);
  EXPECT_NE(y, x);
  EXPECT_TRUE(rill_requires_grad(y));
  rill_backward(total(y));
  EXPECT_EQ(read(rill_grad(x)), (Values{3, 3}));
  EXPECT_EQ(rill_error(ctx), nullptr);
}

TEST_F(Autograd, SecondBackwardIsAnError) {
  rill_tensor *x = leaf({1});
  rill_tensor *y = total(rill_square(x));
  rill_backward(y);
  rill_backward(y);
  expect_error(RILL_ERROR_STATE, "was released by an earlier backward");
}

TEST_F(Autograd, Refusals) {
  rill_tensor *x = leaf({1, 2});
  rill_backward(x);
  expect_error(RILL_ERROR_ARGUMENT, "rill_backward: loss f64 [2] must be one floating number");
  rill_backward(total(vector({1})));
  expect_error(RILL_ERROR_STATE, "does not depend on a leaf that requires a gradient");
  rill_tensor *y = rill_square(x), *g = vector({1});
  rill_backward_from(1, &y, &g);
  expect_error(RILL_ERROR_ARGUMENT, "rill_backward_from: a gradient f64 [1]");
  rill_require_grad(rill_arange(ctx, RILL_I32, 2));
  expect_error(RILL_ERROR_ARGUMENT, "rill_require_grad: x is i32");
  rill_require_grad(y);
  expect_error(RILL_ERROR_STATE, "rill_require_grad: x was computed by square");
}

// A saved tensor that was overwritten would give a wrong gradient without a word.
TEST_F(Autograd, OverwrittenSavedTensorsAreFound) {
  rill_tensor *x = leaf({1}), *w = vector({2});
  rill_tensor *y = total(rill_mul(x, w));
  rill_fill(w, 3);
  rill_backward(y);
  expect_error(RILL_ERROR_STATE, "was overwritten after it was used");
  rill_tensor *z = total(rill_add(x, w)); /* needs no values */
  rill_fill(w, 4);
  rill_backward(z);
  expect_no_error();
}

TEST_F(Autograd, SeveralOutputs) {
  rill_tensor *x = leaf({1, 2, 3, 4}), *part[2];
  rill_split(x, 0, 2, nullptr, part);
  rill_tensor *y[2] = {rill_square(part[0]), part[1]}, *g[2] = {vector({10, 100}), nullptr};
  rill_backward_from(2, y, g);
  EXPECT_EQ(read(rill_grad(x)), (Values{20, 400, 1, 1}));
}

TEST_F(Autograd, DetachStopsIt) {
  rill_tensor *x = leaf({3});
  rill_backward(total(rill_mul(x, rill_detach(rill_square(x)))));
  EXPECT_EQ(rill_item(rill_grad(x)), 9);
}

// Memory falls while backward runs; nothing of the graph is left.
TEST_F(Autograd, BackwardReleasesTheGraph) {
  rill_tensor *x = leaf({1, 2});
  int64_t before = live();
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *y = x;
  for (int i = 0; i < 50; i++) y = rill_tanh(y);
  y = rill_hoist(total(y));
  rill_scope_close(scope);
  rill_backward(y);
  EXPECT_EQ(live(), before + 2) << "the loss and the gradient";
}

// ---- recompute ----

struct Layer {
  rill_tensor *w;
  int calls;
  double dropout;
};

void layer(void *user, int, rill_tensor *const *in, int, rill_tensor **out) {
  Layer *l = static_cast<Layer *>(user);
  l->calls++;
  out[0] = rill_tanh(rill_mul(rill_dropout(rill_square(in[0]), l->dropout), l->w));
}

Values gradients_of(rill_context *ctx, Layer *l, rill_tensor *x, bool recompute) {
  rill_zero_grad(x);
  rill_zero_grad(l->w);
  rill_random_set(ctx, {5, 0});
  rill_tensor *y = x;
  for (int i = 0; i < 3; i++) {
    rill_tensor *in = y;
    if (recompute) {
      rill_recompute(layer, l, 1, &in, 1, &y);
    } else {
      layer(l, 1, &in, 1, &y);
    }
  }
  rill_backward(rill_sum(rill_mul(y, y), RILL_ALL_AXES, false));
  Values g(16);
  rill_read_f64(rill_grad(x), g.data(), 8);
  rill_read_f64(rill_grad(l->w), g.data() + 8, 8);
  return g;
}

// The same gradients, to the bit, for inputs and for parameters that f captures; the same random
// numbers; the stream goes on as if f had run once.
TEST_F(Autograd, RecomputeChangesNothing) {
  Layer l{leaf({1, -2, 3, -4, 5, 6, 7, 8}), 0, 0.3};
  rill_tensor *x = leaf({.1, .2, .3, .4, .5, .6, .7, .8});
  Values plain = gradients_of(ctx, &l, x, false);
  uint64_t counter = rill_random_get(ctx).counter;
  EXPECT_EQ(l.calls, 3);
  EXPECT_EQ(gradients_of(ctx, &l, x, true), plain);
  EXPECT_EQ(l.calls, 9);
  EXPECT_EQ(rill_random_get(ctx).counter, counter);
  expect_no_error();
}

TEST_F(Autograd, RecomputeKeepsOnlyInputs) {
  Layer l{leaf({1, 1, 1, 1, 1, 1, 1, 1}), 0, 0};
  rill_tensor *x = leaf({1, 2, 3, 4, 5, 6, 7, 8}), *y;
  int64_t before = live();
  rill_recompute(layer, &l, 1, &x, 1, &y);
  EXPECT_EQ(live(), before + 1);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_recompute(layer, &l, 1, &x, 1, &y);
  EXPECT_FALSE(rill_requires_grad(y));
  rill_scope_close(scope);
}

TEST_F(Autograd, RecomputePassesThrough) {
  auto f = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = in[0];
    out[1] = rill_square(in[1]);
    out[2] = rill_argmax(in[1], 0, false);
  };
  rill_tensor *in[3] = {leaf({1, 2}), leaf({3, 4}), nullptr}, *out[3];
  rill_recompute(f, nullptr, 3, in, 3, out);
  EXPECT_NE(out[0], in[0]);
  EXPECT_FALSE(rill_requires_grad(out[2]));
  rill_backward_from(2, out, nullptr);
  EXPECT_EQ(read(rill_grad(in[0])), (Values{1, 1}));
  EXPECT_EQ(read(rill_grad(in[1])), (Values{6, 8}));
  expect_no_error();
}

TEST_F(Autograd, RecomputeInRecompute) {
  auto outer = [](void *user, int n, rill_tensor *const *in, int m, rill_tensor **out) {
    rill_recompute(layer, user, n, in, m, out);
  };
  Layer l{leaf({2}), 0, 0};
  rill_tensor *x = leaf({0.5}), *y;
  rill_recompute(outer, &l, 1, &x, 1, &y);
  rill_backward(total(y));
  double t = std::tanh(0.5);
  EXPECT_NEAR(rill_item(rill_grad(x)), (1 - t * t) * 2, 1e-14);
  EXPECT_NEAR(rill_item(rill_grad(l.w)), (1 - t * t) * 0.25, 1e-14);
  expect_no_error();
}

TEST_F(Autograd, RecomputeReportsFailures) {
  auto forgets = [](void *, int, rill_tensor *const *, int, rill_tensor **) {};
  auto fails = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_matmul(in[0], in[0]);
  };
  rill_tensor *x = leaf({1, 2}), *y;
  int64_t before = live();
  rill_recompute(forgets, nullptr, 1, &x, 1, &y);
  EXPECT_TRUE(rill_is_void(y));
  expect_error(RILL_ERROR_STATE, "rill_recompute: the function did not set output 0");
  rill_recompute(fails, nullptr, 1, &x, 1, &y);
  EXPECT_TRUE(rill_is_void(y));
  expect_error(RILL_ERROR_ARGUMENT, "matmul");
  EXPECT_EQ(live(), before);
}

}  // namespace
