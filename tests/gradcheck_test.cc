// gradcheck: finds wrong derivatives, passes right ones, leaves no trace.
#include <cmath>

#include "tests/tensor_util.h"

namespace {

class GradCheck : public rill_test::WithContext {
 protected:
  rill_gradcheck_report check(rill_function *f, std::vector<rill_tensor *> in, int outputs = 1,
                              rill_gradcheck_opts opts = {}) {
    return rill_gradcheck(f, this, static_cast<int>(in.size()), in.data(), outputs, opts);
  }
  rill_tensor *leaf(std::vector<double> x) { return rill_require_grad(vector(x)); }
};

void polynomial(void *, int, rill_tensor *const *in, int, rill_tensor **out) {
  out[0] = rill_mul(rill_square(in[0]), in[1]);
}

// An op whose derivative is wrong in one element by one part in 10^5.
bool wrong_infer(rill_infer *q) {
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}
void wrong_compose(rill_compose *c) { c->out[0] = rill_square(c->in[0]); }
void wrong_vjp(rill_vjp *g) {
  double factor[] = {2, 2, 2.00002, 2};
  rill_tensor *f = rill_from(g->ctx, RILL_F64, RILL_SHAPE(4), factor);
  rill_vjp_give(g, 0, rill_mul(rill_mul(g->in[0], f), g->grad[0]));
}

rill_op wrong_op() {
  rill_op op = {};
  op.name = "wrong";
  op.in[0] = "x";
  op.out[0] = "y";
  op.infer = wrong_infer;
  op.compose = wrong_compose;
  op.vjp = wrong_vjp;
  op.saves = RILL_SAVE_INPUT(0);
  return op;
}

void wrong(void *, int, rill_tensor *const *in, int, rill_tensor **out) {
  static const rill_op op = wrong_op();
  out[0] = rill_apply(&op, 1, in, nullptr);
}

TEST_F(GradCheck, PassesWhatIsRight) {
  rill_gradcheck_report r = check(polynomial, {leaf({1, -2, 3}), leaf({4, 0, -6})});
  EXPECT_TRUE(r.passed) << r.message;
  EXPECT_EQ(r.checked, 6);
  EXPECT_LT(r.max_error, 1e-8);
  EXPECT_EQ(r.entries, 5);
  EXPECT_STREQ(r.message, "");
}

TEST_F(GradCheck, FindsWhatIsWrong) {
  rill_gradcheck_report r = check(wrong, {leaf({1, 2, 3, 4})});
  EXPECT_FALSE(r.passed);
  EXPECT_EQ(r.checked, 4);
  EXPECT_EQ(r.entry[0].index[0], 2) << "the worst one comes first";
  EXPECT_NEAR(r.entry[0].error, 1e-5, 1e-7);
  EXPECT_GE(r.entry[0].error, r.entry[1].error);
  rill_gradcheck_opts loose = {};
  loose.rtol = 1e-4;
  EXPECT_TRUE(check(wrong, {leaf({1, 2, 3, 4})}, 1, loose).passed);
}

// Inputs, their gradients, the random stream: all as before, to the bit.
TEST_F(GradCheck, LeavesNoTrace) {
  rill_tensor *x = leaf({1, -0.0, 1e-300, 1e300}), *w = leaf({1, 1, 1, 1e-300});
  rill_backward(rill_sum(rill_mul(x, w), RILL_ALL_AXES, false));
  uint64_t value = rill_hash(x), gradient = rill_hash(rill_grad(x));
  uint64_t counter = rill_random_get(ctx).counter;
  int64_t tensors = live();
  auto f = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_dropout(rill_mul(in[0], in[1]), 0.5);
  };
  check(f, {x, w});
  check(wrong, {x});
  check(f, {x, x});
  EXPECT_EQ(rill_hash(x), value);
  EXPECT_EQ(rill_hash(rill_grad(x)), gradient);
  EXPECT_EQ(rill_random_get(ctx).counter, counter);
  EXPECT_EQ(live(), tensors);
  expect_no_error();
}

TEST_F(GradCheck, RandomFunctionsRepeat) {
  auto f = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_dropout(rill_square(in[0]), 0.5);
  };
  rill_gradcheck_report r = check(f, {leaf({1, 2, 3, 4, 5, 6, 7, 8})});
  EXPECT_TRUE(r.passed) << r.message;
}

TEST_F(GradCheck, NonFiniteValuesFail) {
  auto log = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_log(in[0]);
  };
  rill_gradcheck_report r = check(log, {leaf({1, -1, 2})});
  EXPECT_FALSE(r.passed);
  EXPECT_EQ(r.entry[0].error, INFINITY);
  r = check(polynomial, {leaf({NAN}), leaf({1})});
  EXPECT_FALSE(r.passed);
}

// Differences see every output, and inputs that nothing depends on have gradient zero.
TEST_F(GradCheck, SeveralOutputsAndUnusedInputs) {
  auto g = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_exp(in[0]);
    out[1] = rill_argmax(in[0], 0, false);
    out[2] = rill_scale(rill_detach(in[2]), 2);
  };
  rill_gradcheck_report r = check(g, {leaf({1, 2}), leaf({3}), vector({1})}, 3);
  EXPECT_TRUE(r.passed) << r.message;
  EXPECT_EQ(r.checked, 3);
}

TEST_F(GradCheck, StridedInputsAndSampling) {
  std::vector<double> x(1000, 0.5);
  rill_tensor *flat = rill_from(ctx, RILL_F64, RILL_SHAPE(20, 50), x.data());
  rill_tensor *t = rill_require_grad(rill_detach(rill_transpose(flat, 0, 1)));
  auto f = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_tanh(in[0]);
  };
  rill_gradcheck_opts opts = {};
  opts.samples = 10;
  opts.worst = 16;
  rill_gradcheck_report r = check(f, {t}, 1, opts);
  EXPECT_TRUE(r.passed) << r.message;
  EXPECT_EQ(r.checked, 10);
  EXPECT_EQ(r.entries, 10);
}

TEST_F(GradCheck, SaysWhyItCannot) {
  auto message = [&](rill_function *f, std::vector<rill_tensor *> in, int outputs = 1) {
    rill_gradcheck_report r = check(f, in, outputs);
    EXPECT_FALSE(r.passed);
    return std::string(r.message);
  };
  rill_tensor *x = leaf({1}), *narrow = rill_require_grad(rill_zeros(ctx, RILL_F32, RILL_SHAPE(1)));
  EXPECT_NE(message(polynomial, {x, narrow}).find("input 1 requires a gradient but is not f64"),
            std::string::npos);
  EXPECT_NE(message(polynomial, {vector({1}), vector({1})}).find("requires a gradient"),
            std::string::npos);
  EXPECT_NE(message(polynomial, {rill_square(x), x}).find("only leaves can be moved"),
            std::string::npos);
  EXPECT_NE(message(polynomial, {x, x}, 0).find("outputs"), std::string::npos);
  EXPECT_NE(message(polynomial, {x, x}, 2).find("output 1 was not set"), std::string::npos);
  auto cast = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_cast(in[0], RILL_F32);
  };
  EXPECT_NE(message(cast, {x}).find("output 0 is not f64"), std::string::npos);
  expect_no_error();
  auto fails = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
    out[0] = rill_matmul(in[0], in[0]);
  };
  EXPECT_NE(message(fails, {x}).find("matmul"), std::string::npos);
  rill_error_clear(ctx);
}

TEST_F(GradCheck, Prints) {
  char *memory = nullptr;
  size_t size = 0;
  FILE *file = open_memstream(&memory, &size);
  rill_gradcheck_report r = check(wrong, {leaf({1, 2, 3, 4})});
  rill_gradcheck_print(file, &r, "wrong op");
  std::fclose(file);
  std::string text(memory, size);
  std::free(memory);
  EXPECT_NE(text.find("wrong op: FAILED, 4 entries, largest error 1.00e-05"), std::string::npos)
      << text;
  EXPECT_NE(text.find("tape              numeric           error\n      0  2  "), std::string::npos)
      << text;
}

}  // namespace
