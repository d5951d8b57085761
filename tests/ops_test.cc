// Every op on every one of its samples, forward: each dtype and layout against f64 and against
// `compose`; refusals; the same bits for every number of threads; nothing written that is not its
// own; nothing left behind. Gradients are in ops_gradient_test.cc.
#include <set>

#include "tests/ops_util.h"

namespace {

using namespace rill_test;

struct Totals : testing::Environment {
  static int forward, refused, bits;
  void TearDown() override {
    std::printf("forward cases: %d, refusals: %d, runs for equal bits: %d\n", forward, refused,
                bits);
    bool all = testing::GTEST_FLAG(filter) == "*" && !std::getenv("GTEST_TOTAL_SHARDS");
    if (all) {
      EXPECT_GE(forward, 10000);
    }
  }
};
int Totals::forward, Totals::refused, Totals::bits;
[[maybe_unused]] testing::Environment *const totals = testing::AddGlobalTestEnvironment(new Totals);

class Op : public testing::TestWithParam<const rill_op *> {
 protected:
  void SetUp() override {
    op = GetParam();
    samples = samples_of(op);
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

  // Ends a case: nothing may be left, no canary may be broken.
  void close(rill_scope *scope, const std::string &what) {
    rill_scope_close(scope);
    EXPECT_EQ(rill_error(ctx), nullptr) << what << ": " << rill_error(ctx);
    rill_error_clear(ctx);
    EXPECT_EQ(rill_memory_used(ctx).live_tensors, rest.live_tensors) << what;
    EXPECT_EQ(rill_memory_used(ctx).live_bytes, rest.live_bytes) << what;
  }
  bool enough() const { return failures() >= 4; }
  static int failures() {
    const testing::TestResult *r = testing::UnitTest::GetInstance()->current_test_info()->result();
    int n = 0;
    for (int i = 0; i < r->total_part_count(); i++) n += r->GetTestPartResult(i).failed();
    return n;
  }
  // bf16 may be refused by ops that have no use for it; f64 and f32 may not.
  bool takes(const Sample &s, rill_dtype dtype) {
    rill_scope *scope = rill_scope_open(ctx);
    Inputs in = inputs_of(ctx, op, s, dtype, CONTIGUOUS);
    char why[256];
    bool yes = rill_op_kernel_used(op, s.inputs, in.tensor.data(), s.attributes(), why) != nullptr;
    if (s.inputs > RILL_MAX_INPUTS) yes = true;
    EXPECT_TRUE(yes || dtype == RILL_BF16) << describe(op, s, dtype, CONTIGUOUS) << ": " << why;
    rill_scope_close(scope);
    rill_error_clear(ctx);
    return yes;
  }

  void check_values(const Sample &s, rill_dtype dtype, int layout);
  void check_bits(const Sample &s, rill_dtype dtype);

  const rill_op *op = nullptr;
  std::vector<Sample> samples;
  rill_context *ctx = nullptr;
  rill_context *measure = nullptr;  // where f64 is computed: ctx, or the CPU beside a GPU
  rill_memory rest{};
};

double limit(rill_dtype dtype) {
  return dtype == RILL_F64 ? 1e-11 : dtype == RILL_F32 ? 1e-5 : dtype == RILL_BF16 ? 1e-2 : 0;
}

void Op::check_values(const Sample &s, rill_dtype dtype, int layout) {
  std::string what = describe(op, s, dtype, layout);
  rill_scope *scope = rill_scope_open(ctx);
  rill_random_state random = rill_random_get(ctx);
  Inputs in = inputs_of(ctx, op, s, dtype, layout);
  std::vector<uint64_t> before;
  for (rill_tensor *x : in.tensor) before.push_back(x ? rill_hash(x) : 0);
  Outputs got = apply(op, s, in);
  ASSERT_EQ(rill_error(ctx), nullptr) << what << ": " << rill_error(ctx);
  for (int i = 0; i < s.inputs; i++) {
    size_t at = static_cast<size_t>(i);
    if (!in.tensor[at] || (op->writes >> i & 1u)) continue;
    EXPECT_EQ(rill_hash(in.tensor[at]), before[at]) << what << ": input " << i << " was changed";
  }
  // f64 is the measure of the others; compose (or the contiguous layout) is the measure of f64.
  rill_op plain = composed(op);
  bool oracle = op->compose && (op->kernels[0].run || op->view);
  bool exact = dtype == RILL_F64 && oracle;
  plain.view = nullptr;
  rill_scope *beside = rill_scope_open(measure);
  rill_random_set(measure, random);
  bool composed_measure = exact && measure == ctx;
  Outputs want = apply(composed_measure ? &plain : op, s, in_f64(measure, s, in));
  ASSERT_EQ(rill_error(measure), nullptr) << what << ", reference: " << rill_error(measure);
  Outputs naive;
  if (oracle && dtype != RILL_F64) {
    rill_random_set(ctx, random);
    naive = apply(&plain, s, in);
  }
  ASSERT_EQ(rill_error(ctx), nullptr) << what << ", reference: " << rill_error(ctx);
  for (size_t j = 0; j < got.tensor.size(); j++) {
    if (op->hidden >> j & 1u) continue;
    rill_dtype result = rill_dtype_of(got.tensor[j]);
    Values g = read(got.tensor[j]), w = read(want.tensor[j]);
    double e = error_of(g, w, result), allowed = limit(result);
    // What is stored in bf16 or passes through it bounds a wider result too.
    if (rill_dtype_is_float(result) && dtype == RILL_BF16) allowed = limit(RILL_BF16);
    if (rill_dtype_is_float(result) && dtype == RILL_F32) allowed = std::fmax(allowed, 1e-5);
    // A composition rounds in between.
    bool composed_only = !op->kernels[0].run && !op->view;
    if (composed_only && allowed == limit(RILL_BF16)) allowed *= 2;
    if (!naive.tensor.empty())
      allowed = std::fmax(allowed, 2 * error_of(read(naive.tensor[j]), w, result) + 1e-5);
    EXPECT_LE(e, allowed) << what << ", output " << op->out[j];
    EXPECT_TRUE(rill_shape_equal(rill_shape_of(got.tensor[j]), rill_shape_of(want.tensor[j])));
  }
  Totals::forward++;
  rill_scope_close(beside);
  close(scope, what);
}

bool large(const Sample &s) {
  for (int i = 0; i < s.inputs; i++)
    if (!s.is.in[i].absent && count_of(s.is.in[i].shape) > 100000) return true;
  return false;
}

// RILL_TEST_REPEATS: how often to repeat on a GPU, where threads say nothing; large samples a tenth
// of it, and f64 not, whose kernels are those of f32.
int repeats(const rill_context *ctx) {
  const char *n = std::getenv("RILL_TEST_REPEATS");
  return n && on_gpu(ctx) ? std::atoi(n) : 0;
}

void Op::check_bits(const Sample &s, rill_dtype dtype) {
  std::string what = describe(op, s, dtype, CONTIGUOUS);
  rill_random_state random = rill_random_get(ctx);
  rill_scope *around = rill_scope_open(ctx);
  Inputs in = inputs_of(ctx, op, s, dtype, CONTIGUOUS);
  std::vector<uint64_t> first;
  std::vector<int> runs = {2, 1, 2, 3, 4, 7, 16};
  if (int n = repeats(ctx)) runs.assign(static_cast<size_t>(large(s) ? (n + 9) / 10 : n), 1);
  for (int threads : runs) {
    rill_scope *scope = rill_scope_open(ctx);
    rill_context_set_threads(ctx, threads);
    rill_random_set(ctx, random);
    Outputs got = apply(op, s, op->writes ? inputs_of(ctx, op, s, dtype, CONTIGUOUS) : in);
    std::vector<uint64_t> hash;
    for (rill_tensor *y : got.tensor) hash.push_back(rill_hash(y));
    if (first.empty()) first = hash;
    EXPECT_EQ(hash, first) << what << ", " << threads << " threads";
    Totals::bits++;
    rill_scope_close(scope);
  }
  close(around, what);
  rill_context_set_threads(ctx, 2);
}

TEST_P(Op, IsComplete) {
  EXPECT_TRUE(op->vjp || op->compose || op->no_grad || op->writes)
      << "neither vjp nor compose, and no reason why there is no gradient";
  int run = 0, refused = 0;
  for (const Sample &s : samples) (s.is.refused ? refused : run)++;
  EXPECT_GE(run, 24);
  bool takes_all = std::string(op->name) == "contiguous";
  EXPECT_GE(refused, takes_all ? 0 : 1);
  EXPECT_EQ(rill_op_find(op->name), op);
}

TEST_P(Op, Values) {
  for (const Sample &s : samples) {
    if (s.is.refused) continue;
    bool any = depends_on_dtype(s);
    for (rill_dtype dtype : {RILL_F64, RILL_F32, RILL_BF16}) {
      if (dtype != RILL_F64 && !any) continue;
      if (!takes(s, dtype)) continue;
      for (int layout = 0; layout < (op->writes ? 1 : LAYOUTS); layout++) {
        bool applies = layout == CONTIGUOUS;
        for (int i = 0; i < s.inputs; i++)
          applies = applies || (!s.is.in[i].absent && layout_applies(layout, s.is.in[i].shape));
        if (!applies || (large(s) && layout != CONTIGUOUS && layout != STEPPED)) continue;
        check_values(s, dtype, layout);
        if (HasFatalFailure() || enough()) return;
      }
    }
  }
}

TEST_P(Op, SameBitsForAnyNumberOfThreads) {
  for (const Sample &s : samples) {
    if (s.is.refused) continue;
    for (rill_dtype dtype : {RILL_F64, RILL_F32, RILL_BF16}) {
      if ((dtype != RILL_F64 && !depends_on_dtype(s)) || !takes(s, dtype)) continue;
      if (repeats(ctx) && dtype == RILL_F64 && depends_on_dtype(s)) continue;
      check_bits(s, dtype);
      if (enough()) return;
    }
  }
}

TEST_P(Op, RefusesWithAMessage) {
  for (const Sample &s : samples) {
    if (!s.is.refused) continue;
    std::string what = describe(op, s, RILL_F32, CONTIGUOUS);
    rill_scope *scope = rill_scope_open(ctx);
    Inputs in = inputs_of(ctx, op, s, RILL_F32, CONTIGUOUS);
    int64_t tensors = rill_memory_used(ctx).live_tensors;
    ASSERT_EQ(rill_error(ctx), nullptr) << what << ": " << rill_error(ctx);
    Outputs got = apply(op, s, in);
    ASSERT_NE(rill_error(ctx), nullptr) << what << ": was not refused";
    EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_ARGUMENT) << what;
    std::string message = rill_error(ctx);
    // A GPU says less of an index that is out of range.
    std::string expected = s.is.refused;
    if (on_gpu(ctx) && expected.find(" is outside [") != std::string::npos)
      expected = expected.substr(expected.find(" is outside ["), expected.find(")") + 1);
    EXPECT_NE(message.find(expected), std::string::npos)
        << what << ": \"" << message << "\" lacks \"" << s.is.refused << "\"";
    EXPECT_EQ(message.find(op->name), 0u) << what << ": \"" << message << "\"";
    for (rill_tensor *y : got.tensor) EXPECT_TRUE(rill_is_void(y)) << what;
    EXPECT_EQ(rill_memory_used(ctx).live_tensors, tensors) << what << ": tensors were left";
    rill_error_clear(ctx);
    Totals::refused++;
    close(scope, what);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Op, testing::ValuesIn(all_ops()), op_case_name);

TEST(Ops, NamesAreUniqueAndSorted) {
  std::set<std::string> names;
  std::string last;
  for (const rill_op *op : all_ops()) {
    EXPECT_TRUE(names.insert(op->name).second) << op->name;
    EXPECT_LT(last, op->name);
    last = op->name;
  }
  EXPECT_EQ(rill_op_find("no such op"), nullptr);
}

}  // namespace
