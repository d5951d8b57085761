// The tensor-core kernels of the recurrence against f64 on the CPU: every rule, the sizes they are
// made for, lengths around the chunk, packed sequences, gates at their ends. Needs
// RILL_TEST_DEVICE=cuda; on the CPU it holds the bf16 kernels there to the same bounds.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "ops/ops.h"
#include "tests/device_util.h"

namespace {

using Values = std::vector<double>;

struct Sizes {
  int64_t B, T, H, D;
  std::vector<int64_t> offsets;  // packed sequences, or none
  double gate;                   // log decays are -gate |normal|; gate < 0: mostly closed
  double long_key = 1;           // length of every 50th key
};

double bf16(double x) { return rill_bf16_to_f32(rill_bf16_from_f32(static_cast<float>(x))); }

class Data {
 public:
  Data(const rill_rule &rule, const Sizes &z) : rule_(rule), z_(z), random_(17) {
    int64_t rows = z.B * z.T * z.H, states = (z.offsets.empty() ? z.B : sequences()) * z.H;
    q = keys(rows), k = keys(rows);
    v = normal(rows * z.D, 1, true);
    if (rule.decay == RILL_DECAY_HEAD) g = decays(z.H);
    if (rule.decay == RILL_DECAY_TOKEN) g = decays(rows);
    if (rule.decay == RILL_DECAY_CHANNEL) g = decays(rows * z.D);
    if (rule.beta) beta = gates(rows);
    bool own = rule.residual != RILL_RESIDUAL_NONE && rule.gamma == RILL_GAMMA_OWN &&
               !(rule.residual == RILL_RESIDUAL_STATELESS && rule.output == RILL_OUTPUT_SUM);
    if (own) gamma = gates(rows);
    s0 = normal(states * z.D * z.D, 0.1, false);
    if (rule.residual == RILL_RESIDUAL_FITTED) r0 = normal(states * z.D * z.D, 0.1, false);
    dout = normal(rows * z.D, 1, true);
    ds = normal(states * z.D * z.D, 0.1, false);
  }
  int64_t sequences() const { return static_cast<int64_t>(z_.offsets.size()) - 1; }

  // Outputs and all gradients, named, computed in ctx with q, k, v of that dtype.
  std::vector<std::pair<std::string, Values>> run(rill_context *ctx, rill_dtype dtype) const {
    rill_dtype real = dtype == RILL_F64 ? RILL_F64 : RILL_F32;
    rill_shape key = RILL_SHAPE(z_.B, z_.T, z_.H, z_.D), gate = RILL_SHAPE(z_.B, z_.T, z_.H);
    rill_shape state = RILL_SHAPE(z_.offsets.empty() ? z_.B : sequences(), z_.H, z_.D, z_.D);
    rill_shape decay = rule_.decay == RILL_DECAY_HEAD      ? RILL_SHAPE(z_.H)
                       : rule_.decay == RILL_DECAY_CHANNEL ? key
                                                           : gate;
    rill_scope *scope = rill_scope_open(ctx);
    struct Leaf {
      const char *name;
      rill_tensor *x;
    };
    std::vector<Leaf> leaves;
    auto leaf = [&](const char *name, rill_dtype type, rill_shape shape, const Values &x) {
      if (x.empty()) return static_cast<rill_tensor *>(nullptr);
      rill_tensor *wide = rill_from(ctx, RILL_F64, shape, x.data());
      rill_tensor *y = rill_require_grad(rill_detach(rill_cast(wide, type)));
      leaves.push_back({name, y});
      return y;
    };
    rill_tensor *tq = leaf("dq", dtype, key, q), *tk = leaf("dk", dtype, key, k);
    rill_tensor *tv = leaf("dv", dtype, key, v);
    rill_recur_opts opts = {};
    opts.log_alpha = leaf("dlog_alpha", real, decay, g);
    opts.beta = leaf("dbeta", real, gate, beta);
    opts.gamma = leaf("dgamma", real, gate, gamma);
    opts.s0 = leaf("ds0", real, state, s0);
    opts.r0 = leaf("dr0", real, state, r0);
    if (!z_.offsets.empty()) opts.offsets = z_.offsets.data(), opts.sequences = sequences();
    rill_recur_out out = rill_recur(&rule_, tq, tk, tv, opts);
    std::vector<rill_tensor *> y = {out.o, out.s}, seed;
    if (out.r) y.push_back(out.r);
    seed.push_back(rill_cast(rill_from(ctx, RILL_F64, key, dout.data()), dtype));
    while (seed.size() < y.size())
      seed.push_back(rill_cast(rill_from(ctx, RILL_F64, state, ds.data()), real));
    rill_backward_from(static_cast<int>(y.size()), y.data(), seed.data());
    std::vector<std::pair<std::string, Values>> all;
    auto keep = [&](const std::string &name, rill_tensor *x) {
      Values values(static_cast<size_t>(rill_count(x)));
      rill_read_f64(x, values.data(), rill_count(x));
      all.push_back({name, values});
    };
    keep("o", out.o), keep("s", out.s);
    if (out.r) keep("r", out.r);
    for (const Leaf &l : leaves)
      if (rill_grad(l.x)) keep(l.name, rill_grad(l.x));
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    rill_scope_close(scope);
    return all;
  }

 private:
  Values normal(int64_t n, double scale, bool round) {
    std::normal_distribution<double> x;
    Values y(static_cast<size_t>(n));
    for (double &e : y) e = round ? bf16(scale * x(random_)) : scale * x(random_);
    return y;
  }
  Values keys(int64_t rows) {
    Values y = normal(rows * z_.D, 1, false);
    for (int64_t i = 0; i < rows; i++) {
      double sum = 0;
      double *row = y.data() + i * z_.D;
      for (int64_t d = 0; d < z_.D; d++) row[d] = std::fabs(row[d]) * 0.3 + row[d];
      for (int64_t d = 0; d < z_.D; d++) sum += row[d] * row[d];
      double length = i % 50 == 49 ? z_.long_key : 1;
      for (int64_t d = 0; d < z_.D; d++) row[d] = bf16(length * row[d] / std::sqrt(sum));
    }
    return y;
  }
  Values gates(int64_t n) {
    Values y = normal(n, 1, false);
    for (double &e : y) e = static_cast<double>(static_cast<float>(1 / (1 + std::exp(-e))));
    for (size_t i = 0; i < y.size(); i += 7) y[i] = i % 2 ? 0 : 1;
    return y;
  }
  Values decays(int64_t n) {
    Values y = normal(n, 1, false);
    for (double &e : y)
      e = static_cast<double>(static_cast<float>(-std::fabs(z_.gate) * std::fabs(e)));
    if (z_.gate < 0)
      for (size_t i = 0; i < y.size(); i += 3)
        y[i] = i % 2 ? -88.7 : (i % 4 ? 0 : -std::numeric_limits<double>::infinity());
    return y;
  }

  const rill_rule &rule_;
  const Sizes &z_;
  std::mt19937_64 random_;
  Values q, k, v, g, beta, gamma, s0, r0, dout, ds;
};

// rms(got - want) / rms(want); NaN is infinite.
double ratio(const Values &got, const Values &want) {
  double error = 0, size = 0;
  for (size_t i = 0; i < want.size(); i++) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  double r = std::sqrt(error / (size > 1e-30 ? size : 1e-30));
  return std::isnan(r) ? INFINITY : size > 1e-20 ? r : std::sqrt(error);
}

class GpuRule : public testing::TestWithParam<const rill_rule *> {};

// What a mask that flips under rounding may cost is bounded apart from all other errors.
double bound(const rill_rule &rule, const std::string &name) {
  if (name == "o" || name == "s" || name == "r") return 6e-3;
  bool flips = rule.residual != RILL_RESIDUAL_NONE && rule.clip == RILL_CLIP_HARD;
  if (flips && name != "dq" && name != "dgamma") return 2.5e-2;
  return name == "dlog_alpha" ? 1e-2 : 8e-3;
}

void check(const rill_rule &rule, const Sizes &z) {
  rill_context_opts opts = rill_test::test_opts(), cpu = opts;
  cpu.device = RILL_CPU;
  rill_context *ctx = rill_context_new(opts), *measure = rill_context_new(cpu);
  ASSERT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
  Data data(rule, z);
  auto got = data.run(ctx, RILL_BF16), want = data.run(measure, RILL_F64);
  auto again = data.run(ctx, RILL_BF16);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++) {
    std::string what = std::string(rule.name) + " T " + std::to_string(z.T) + " D " +
                       std::to_string(z.D) + (z.offsets.empty() ? "" : " packed") + " gate " +
                       std::to_string(z.gate) + ": " + got[i].first;
    EXPECT_LE(ratio(got[i].second, want[i].second), bound(rule, got[i].first)) << what;
    EXPECT_EQ(got[i].second, again[i].second) << what << ": not the same bits twice";
  }
  rill_context_free(measure);
  rill_context_free(ctx);
}

TEST_P(GpuRule, MatchesF64) {
  for (int64_t D : {64, 128})
    for (int64_t T : {1, 63, 64, 65, 130}) check(*GetParam(), {2, T, 3, D, {}, 0.1});
}

TEST_P(GpuRule, LongSlowDecay) { check(*GetParam(), {1, 700, 2, 128, {}, 0.002}); }

// Long enough for the sweeps to cut the sequence: what decays at once, over some chunks, hardly.
TEST_P(GpuRule, Segments) {
  for (double gate : {0.5, 0.03, 0.006}) check(*GetParam(), {1, 2100, 2, 64, {}, gate});
  check(*GetParam(), {2, 1100, 1, 128, {}, 0.1});
}

// A write that makes the state larger along its key: what came before counts for longer.
TEST_P(GpuRule, SegmentsOfLongKeys) { check(*GetParam(), {1, 2100, 2, 64, {}, 0.3, 1.6}); }

TEST_P(GpuRule, ClosedGates) { check(*GetParam(), {1, 200, 2, 64, {}, -1}); }

TEST_P(GpuRule, PackedSequences) {
  check(*GetParam(), {1, 300, 2, 128, {0, 1, 1, 65, 193, 300}, 0.1});
}

std::vector<const rill_rule *> rules() {
  std::vector<const rill_rule *> all;
  for (const rill_rule *const *r = rill_rules; *r; r++) all.push_back(*r);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, GpuRule, testing::ValuesIn(rules()),
                         [](const testing::TestParamInfo<const rill_rule *> &info) {
                           return std::string(info.param->name);
                         });

}  // namespace
