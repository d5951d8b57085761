// The public functions that are written in other ops, and so have no entry in the table of ops:
// what they compute, their gradients, what they refuse.
#include <cmath>

#include "tests/tensor_util.h"

namespace {

using Values = std::vector<double>;

class Public : public rill_test::WithContext {
 protected:
  void SetUp() override {
    WithContext::SetUp();
    m = rill_from(ctx, RILL_F64, RILL_SHAPE(2, 3), Values{1, 5, 3, 6, 2, 4}.data());
  }
  using Function = rill_tensor *(*)(rill_tensor *);
  // The gradient of f at m.
  void expect_gradient(Function f) {
    rill_tensor *x = rill_require_grad(rill_copy(m));
    rill_gradcheck_report r =
        rill_gradcheck([](void *user, int, rill_tensor *const *in, int,
                          rill_tensor **out) { out[0] = (*static_cast<Function *>(user))(in[0]); },
                       &f, 1, &x, 1, rill_gradcheck_opts{});
    EXPECT_TRUE(r.passed) << r.message;
    if (!r.passed) rill_gradcheck_print(stdout, &r, "gradient");
  }
  rill_tensor *m = nullptr;
};

TEST_F(Public, Reductions) {
  EXPECT_EQ(read(rill_mean(m, 0, false)), (Values{3.5, 3.5, 3.5}));
  EXPECT_EQ(read(rill_mean(m, -1, true)), (Values{3, 4}));
  EXPECT_EQ(rill_rank(rill_mean(m, -1, true)), 2);
  EXPECT_EQ(rill_item(rill_mean(m, RILL_ALL_AXES, false)), 3.5);
  EXPECT_TRUE(
      std::isnan(read(rill_mean(rill_zeros(ctx, RILL_F64, RILL_SHAPE(1, 0)), 1, false))[0]));
  EXPECT_EQ(read(rill_min(m, 1, false)), (Values{1, 2}));
  EXPECT_EQ(read(rill_max(m, 0, false)), (Values{6, 5, 4}));
  EXPECT_EQ(rill_item(rill_min(m, RILL_ALL_AXES, false)), 1);
  Values v = read(rill_var(m, 1, false, 0)), w = read(rill_var(m, 1, false, 1));
  for (size_t i = 0; i < 2; i++) {
    EXPECT_NEAR(v[i], 8.0 / 3, 1e-14);
    EXPECT_NEAR(w[i], 4, 1e-14);
  }
  EXPECT_NEAR(rill_item(rill_logsumexp(m, RILL_ALL_AXES, false)),
              6 + std::log(1 + std::exp(-1.) + std::exp(-2.) + std::exp(-3.) + std::exp(-4.) +
                           std::exp(-5.)),
              1e-14);
  expect_gradient([](rill_tensor *x) { return rill_mean(x, 0, true); });
  expect_gradient([](rill_tensor *x) { return rill_mean(x, RILL_ALL_AXES, false); });
  expect_gradient([](rill_tensor *x) { return rill_min(x, 0, false); });
  expect_gradient([](rill_tensor *x) { return rill_max(x, 1, true); });
  expect_gradient([](rill_tensor *x) { return rill_var(x, 1, false, 1); });
  expect_gradient([](rill_tensor *x) { return rill_var(x, RILL_ALL_AXES, false, 0); });
  expect_gradient([](rill_tensor *x) { return rill_logsumexp(x, 0, true); });
  expect_no_error();
  rill_max(rill_zeros(ctx, RILL_F64, RILL_SHAPE(2, 0)), 1, false);
  expect_error(RILL_ERROR_ARGUMENT, "max: ");
  rill_mean(m, 2, false);
  expect_error(RILL_ERROR_ARGUMENT, "axis 2");
}

// A variance far from zero: deviations are taken before squares.
TEST_F(Public, VarianceKeepsItsDigits) {
  rill_tensor *x = rill_affine(m, 1, 1e8);
  EXPECT_NEAR(read(rill_var(x, 1, false, 0))[0], 8.0 / 3, 1e-6);
}

TEST_F(Public, Comparisons) {
  rill_tensor *a = vector({1, 2, NAN}), *b = vector({2, 2, 1});
  EXPECT_EQ(read(rill_greater(b, a)), (Values{1, 0, 0}));
  EXPECT_EQ(read(rill_greater_equal(b, a)), (Values{1, 1, 0}));
  EXPECT_EQ(rill_dtype_of(rill_less(a, b)), RILL_BOOL);
  EXPECT_EQ(read(rill_where(rill_less(a, b), a, b)), (Values{1, 2, 1}));
}

TEST_F(Public, Shapes) {
  EXPECT_EQ(read(rill_transpose(m, 0, -1)), (Values{1, 6, 5, 2, 3, 4}));
  EXPECT_TRUE(rill_shape_equal(rill_shape_of(rill_unsqueeze(m, 1)), RILL_SHAPE(2, 1, 3)));
  EXPECT_TRUE(rill_shape_equal(rill_shape_of(rill_unsqueeze(m, -1)), RILL_SHAPE(2, 3, 1)));
  EXPECT_TRUE(
      rill_shape_equal(rill_shape_of(rill_squeeze(rill_unsqueeze(m, 0), 0)), RILL_SHAPE(2, 3)));
  EXPECT_TRUE(
      rill_shape_equal(rill_shape_of(rill_reshape(m, RILL_SHAPE(-1, 2))), RILL_SHAPE(3, 2)));
  rill_tensor *both[2] = {m, rill_scale(m, 10)};
  rill_tensor *stacked = rill_stack(2, both, 1);
  EXPECT_TRUE(rill_shape_equal(rill_shape_of(stacked), RILL_SHAPE(2, 2, 3)));
  EXPECT_EQ(read(stacked), (Values{1, 5, 3, 10, 50, 30, 6, 2, 4, 60, 20, 40}));
  EXPECT_EQ(rill_contiguous(m), m);
  expect_gradient([](rill_tensor *x) { return rill_unsqueeze(rill_transpose(x, 0, 1), 1); });
  expect_gradient([](rill_tensor *x) {
    rill_tensor *all[3] = {x, rill_square(x), x};
    return rill_stack(3, all, -1);
  });
  expect_gradient([](rill_tensor *x) { return rill_contiguous(rill_transpose(x, 0, 1)); });
  expect_no_error();
  rill_squeeze(m, 0);
  expect_error(RILL_ERROR_ARGUMENT, "squeeze");
  rill_transpose(m, 0, 2);
  expect_error(RILL_ERROR_ARGUMENT, "transpose");
}

TEST_F(Public, Split) {
  rill_tensor *part[3];
  int64_t sizes[2] = {1, 2};
  rill_split(m, 1, 2, sizes, part);
  EXPECT_EQ(read(part[0]), (Values{1, 6}));
  EXPECT_EQ(read(part[1]), (Values{5, 3, 2, 4}));
  rill_split(m, -1, 3, nullptr, part);
  EXPECT_EQ(read(part[2]), (Values{3, 4}));
  expect_gradient([](rill_tensor *x) {
    rill_tensor *p[3];
    rill_split(x, 1, 3, nullptr, p);
    return rill_mul(p[0], rill_square(p[2]));
  });
  expect_no_error();
  rill_split(m, 1, 2, nullptr, part);
  EXPECT_TRUE(rill_is_void(part[0]) && rill_is_void(part[1]));
  expect_error(RILL_ERROR_ARGUMENT, "split");
  sizes[1] = 3;
  rill_split(m, 1, 2, sizes, part);
  expect_error(RILL_ERROR_ARGUMENT, "split");
  sizes[0] = -1, sizes[1] = 4;
  rill_split(m, 1, 2, sizes, part);
  expect_error(RILL_ERROR_ARGUMENT, "split");
}

TEST_F(Public, Indexing) {
  int64_t index[3] = {1, 1, 0};
  rill_tensor *i = rill_from(ctx, RILL_I64, RILL_SHAPE(3, 1), index);
  rill_tensor *rows = rill_embedding_lookup(m, i);
  EXPECT_TRUE(rill_shape_equal(rill_shape_of(rows), RILL_SHAPE(3, 1, 3)));
  EXPECT_EQ(read(rows), (Values{6, 2, 4, 6, 2, 4, 1, 5, 3}));
  expect_gradient([](rill_tensor *x) {
    int64_t twice[2] = {1, 1};
    return rill_square(
        rill_embedding_lookup(x, rill_from(rill_context_of(x), RILL_I64, RILL_SHAPE(2), twice)));
  });
  expect_no_error();
  index[1] = 2;
  rill_embedding_lookup(m, rill_from(ctx, RILL_I64, RILL_SHAPE(3), index));
  expect_error(RILL_ERROR_ARGUMENT, "2");
  index[1] = -1;
  rill_embedding_lookup(m, rill_from(ctx, RILL_I64, RILL_SHAPE(3), index));
  expect_error(RILL_ERROR_ARGUMENT, "-1");
}

TEST_F(Public, CrossEntropy) {
  int32_t target[2] = {1, -100};
  rill_tensor *t = rill_from(ctx, RILL_I32, RILL_SHAPE(2), target);
  double want = std::log(std::exp(1.) + std::exp(5.) + std::exp(3.)) - 5;
  EXPECT_NEAR(rill_item(rill_cross_entropy(m, t)), want, 1e-14);
  target[1] = 7;
  t = rill_from(ctx, RILL_I32, RILL_SHAPE(2), target);
  EXPECT_NEAR(rill_item(rill_cross_entropy_ignoring(m, t, 7)), want, 1e-14);
  expect_no_error();
  rill_cross_entropy(m, t);
  expect_error(RILL_ERROR_ARGUMENT, "7");
  target[0] = target[1] = -100;
  t = rill_from(ctx, RILL_I32, RILL_SHAPE(2), target);
  rill_tensor *x = rill_require_grad(rill_copy(m)), *loss = rill_cross_entropy(x, t);
  EXPECT_EQ(rill_item(loss), 0);
  rill_backward(loss);
  EXPECT_EQ(read(rill_grad(x)), Values(6, 0.0));
}

}  // namespace
