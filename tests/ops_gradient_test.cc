// Every op on every one of its samples, backward: the tape against central differences in f64, and
// f32 and bf16 gradients against those of f64, with inputs and output gradients in every layout.
#include "tests/ops_util.h"

namespace {

using namespace rill_test;

struct Totals : testing::Environment {
  static int checked, compared;
  void TearDown() override {
    std::printf("gradient cases: %d by differences, %d against f64\n", checked, compared);
    bool all = testing::GTEST_FLAG(filter) == "*" && !std::getenv("GTEST_TOTAL_SHARDS");
    if (all) {
      EXPECT_GE(checked + compared, 4000);
      EXPECT_GE(checked, 1500);
    }
  }
};
int Totals::checked, Totals::compared;
[[maybe_unused]] testing::Environment *const totals = testing::AddGlobalTestEnvironment(new Totals);

bool differentiable(const rill_op *op) {
  return (op->vjp || op->compose) && !op->no_grad && !op->writes;
}

std::vector<const rill_op *> differentiable_ops() {
  std::vector<const rill_op *> ops;
  for (const rill_op *op : all_ops())
    if (differentiable(op)) ops.push_back(op);
  return ops;
}

class OpGradient : public testing::TestWithParam<const rill_op *> {
 protected:
  void SetUp() override {
    op = GetParam();
    for (const Sample &s : samples_of(op))
      if (!s.is.refused && !s.is.no_gradient) samples.push_back(s);
    ctx = rill_context_new(test_opts());
    ASSERT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    measure = ctx;
    if (on_gpu(ctx)) {
      rill_context_opts cpu = test_opts();
      cpu.device = RILL_CPU;
      measure = rill_context_new(cpu);
    }
    rest = rill_memory_used(ctx);
  }
  void TearDown() override {
    if (measure != ctx) rill_context_free(measure);
    rill_context_free(ctx);
  }
  void close(rill_scope *scope, const std::string &what) {
    rill_scope_close(scope);
    EXPECT_EQ(rill_error(ctx), nullptr) << what << ": " << rill_error(ctx);
    rill_error_clear(ctx);
    EXPECT_EQ(rill_memory_used(ctx).live_tensors, rest.live_tensors) << what;
    EXPECT_EQ(rill_memory_used(ctx).live_bytes, rest.live_bytes) << what;
  }
  static bool enough() {
    const testing::TestResult *r = testing::UnitTest::GetInstance()->current_test_info()->result();
    int n = 0;
    for (int i = 0; i < r->total_part_count(); i++) n += r->GetTestPartResult(i).failed();
    return n >= 4;
  }
  // Layouts that make a difference to the inputs or to the output.
  bool applies(const Sample &s, int layout) const {
    bool any = layout == CONTIGUOUS;
    for (int i = 0; i < s.inputs; i++)
      any = any || (!s.is.in[i].absent && layout_applies(layout, s.is.in[i].shape));
    return any;
  }

  void check_by_differences(const Sample &s, int layout);
  void compare(const Sample &s, rill_dtype dtype, int layout);
  std::vector<Values> gradients(const Sample &s, const Inputs &in, rill_dtype tested, int layout,
                                std::vector<Values> *seeds, const std::string &what);

  const rill_op *op = nullptr;
  std::vector<Sample> samples;
  rill_context *ctx = nullptr;
  rill_context *measure = nullptr;  // where f64 is computed: ctx, or the CPU beside a GPU
  rill_memory rest{};
};

// ---- by differences ----

struct Call {
  const rill_op *op;
  const Sample *sample;
};

// The op as a function of its inputs. Hidden outputs, and those it does not have, are left out.
int call_all(const Call *call, int inputs, rill_tensor *const *in, rill_tensor **out) {
  rill_tensor *all[RILL_MAX_OUTPUTS] = {};
  int n = 0;
  rill_apply_all(call->op, inputs, in, call->sample->attributes(), all);
  for (int j = 0; j < named_outputs(call->op); j++)
    if (!(call->op->hidden >> j & 1u) && !rill_is_void(all[j])) out[n++] = all[j];
  return n;
}
void call_op(void *user, int inputs, rill_tensor *const *in, int, rill_tensor **out) {
  call_all(static_cast<const Call *>(user), inputs, in, out);
}

void OpGradient::check_by_differences(const Sample &s, int layout) {
  std::string what = describe(op, s, RILL_F64, layout);
  rill_scope *scope = rill_scope_open(ctx);
  Inputs in = inputs_of(ctx, op, s, RILL_F64, layout);
  int wanted = 0;
  for (size_t i = 0; i < in.tensor.size(); i++) {
    if (!in.tensor[i] || in.dtype[i] != RILL_F64 || in.values[i].empty()) continue;
    // Neighbours that share one element cannot be moved one at a time.
    bool shared = layout == BROADCAST && layout_applies(layout, s.is.in[i].shape);
    if (shared) continue;
    rill_require_grad(in.tensor[i]);
    wanted++;
  }
  Call call{op, &s};
  rill_tensor *out[RILL_MAX_OUTPUTS];
  int outputs = call_all(&call, s.inputs, in.tensor.data(), out);
  if (wanted > 0) {
    rill_gradcheck_opts opts = {};
    opts.samples = 12;
    opts.seed = seed();
    rill_gradcheck_report report =
        rill_gradcheck(call_op, &call, s.inputs, in.tensor.data(), outputs, opts);
    // A cast to a narrower dtype has no differences to measure.
    bool narrow = std::string(report.message).find("is not f64") != std::string::npos;
    if (!narrow) {
      EXPECT_TRUE(report.passed) << what << ": " << report.message;
      if (!report.passed) rill_gradcheck_print(stdout, &report, op->name);
      Totals::checked++;
    }
  }
  close(scope, what);
}

// ---- against f64 ----

// The gradient of every floating input under output gradients in that layout. The first call draws
// them into *seeds, rounded to the outputs' dtypes; later calls use the same.
std::vector<Values> OpGradient::gradients(const Sample &s, const Inputs &in, rill_dtype tested,
                                          int layout, std::vector<Values> *seeds,
                                          const std::string &what) {
  std::vector<Values> all;
  rill_context *on = ctx;
  for (rill_tensor *x : in.tensor)
    if (x) on = rill_context_of(x);
  for (size_t i = 0; i < in.tensor.size(); i++)
    if (in.tensor[i] && rill_dtype_is_float(in.dtype[i])) rill_require_grad(in.tensor[i]);
  Outputs out = apply(op, s, in);
  if (rill_error(on)) return all;
  std::mt19937_64 random(sample_seed(op, s) + 1);
  std::vector<rill_tensor *> y, g;
  for (size_t j = 0; j < out.tensor.size(); j++) {
    bool real = rill_dtype_is_float(rill_dtype_of(out.tensor[j]));
    bool drawn = j < seeds->size();
    if (!drawn) seeds->push_back({});
    if (!real || (op->hidden >> j & 1u) || !rill_requires_grad(out.tensor[j])) continue;
    rill_sample_input like = {};
    like.shape = rill_shape_of(out.tensor[j]);
    rill_dtype dtype = rill_dtype_of(out.tensor[j]);
    if (!drawn) (*seeds)[j] = draw(like, tested == RILL_F64 ? RILL_F64 : RILL_BF16, random);
    y.push_back(out.tensor[j]);
    g.push_back(make(on, dtype, like.shape, (*seeds)[j], layout));
  }
  if (!y.empty()) rill_backward_from(static_cast<int>(y.size()), y.data(), g.data());
  EXPECT_EQ(rill_error(on), nullptr) << what << ": " << rill_error(on);
  for (size_t i = 0; i < in.tensor.size(); i++) {
    rill_tensor *grad = in.tensor[i] ? rill_grad(in.tensor[i]) : nullptr;
    all.push_back(grad ? read(grad) : Values{});
    if (!grad) continue;
    EXPECT_EQ(rill_dtype_of(grad), in.dtype[i] == RILL_BF16 ? RILL_F32 : in.dtype[i]) << what;
    EXPECT_TRUE(rill_shape_equal(rill_shape_of(grad), s.is.in[i].shape)) << what;
  }
  return all;
}

void OpGradient::compare(const Sample &s, rill_dtype dtype, int layout) {
  std::string what = describe(op, s, dtype, layout);
  rill_scope *scope = rill_scope_open(ctx);
  rill_random_state random = rill_random_get(ctx);
  std::vector<Values> seeds;
  Inputs in = inputs_of(ctx, op, s, dtype, layout);
  std::vector<Values> got = gradients(s, in, dtype, layout, &seeds, what);
  rill_scope *beside = rill_scope_open(measure);
  rill_random_set(measure, random);
  std::vector<Values> want =
      gradients(s, in_f64(measure, s, in), dtype, CONTIGUOUS, &seeds, what + ", f64");
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); i++) {
    // bf16 rules read outputs that were rounded to 8 bits (1 - y^2 of tanh, say): their error is
    // one of the whole. Where sums cancel, as for softmax of equal numbers, all errors are.
    double allowed = dtype == RILL_F64 ? 1e-10 : dtype == RILL_F32 ? 1e-5 : 2e-2;
    double share = dtype == RILL_BF16 ? 1 : 0.5, floor = dtype != RILL_F64 ? 1
                                                         : on_gpu(ctx)     ? 1e-3
                                                                           : 0;
    EXPECT_LE(error_of(got[i], want[i], in.dtype[i], share, floor), allowed)
        << what << ", input " << i;
  }
  Totals::compared++;
  rill_scope_close(beside);
  close(scope, what);
}

TEST_P(OpGradient, Differences) {
  for (const Sample &s : samples)
    for (int layout = 0; layout < LAYOUTS; layout++) {
      if (!applies(s, layout)) continue;
      check_by_differences(s, layout);
      if (enough()) return;
    }
}

TEST_P(OpGradient, LowPrecision) {
  for (const Sample &s : samples)
    for (rill_dtype dtype : {RILL_F64, RILL_F32, RILL_BF16}) {
      if (dtype != RILL_F64 && !depends_on_dtype(s)) continue;
      for (int layout = 0; layout < LAYOUTS; layout++) {
        if (!applies(s, layout)) continue;
        compare(s, dtype, layout);
        if (HasFatalFailure() || enough()) return;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(All, OpGradient, testing::ValuesIn(differentiable_ops()), op_case_name);

}  // namespace
