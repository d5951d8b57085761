// The recurrence family: against the paper's equations, and its identities (any chunk, any split, any packing, any number
// of threads, steps, extreme gates and keys) forward and backward.
#include "tests/recurrence_util.h"

#include <gtest/gtest.h>

using recur::Options;
using recur::Problem;
using recur::Result;
using recur::Vec;

namespace {

constexpr double kExact = 1e-12;  // f64 against f64, other order of operations

std::vector<const rill_rule *> all_rules() {
  std::vector<const rill_rule *> rules;
  for (const rill_rule *const *r = rill_rules; *r; r++) rules.push_back(*r);
  return rules;
}

class EveryRule : public testing::TestWithParam<const rill_rule *> {
 protected:
  const rill_rule &rule() const { return *GetParam(); }
  // Reference against chunk, or against itself where the chunked form does not run the rule.
  std::vector<rill_recur_impl> implementations() const { return {RILL_IMPL_REFERENCE, RILL_IMPL_AUTO}; }
};

INSTANTIATE_TEST_SUITE_P(Recurrence, EveryRule, testing::ValuesIn(all_rules()),
                         [](const testing::TestParamInfo<const rill_rule *> &info) {
                           return std::string(info.param->name);
                         });

void expect_close(const Result &x, const Result &y, double tolerance, const std::string &what) {
  std::string which;
  EXPECT_EQ(x.error, "") << what;
  EXPECT_EQ(y.error, "") << what;
  double d = recur::distance(x, y, &which);
  EXPECT_TRUE(d <= tolerance) << what << ": " << which << " differs by " << d;
}

Result forward_only(Result x) {
  x.dq = x.dk = x.dv = x.dg = x.dbeta = x.dgamma = x.ds0 = x.dr0 = Vec();
  return x;
}

TEST_P(EveryRule, IsThePapersEquations) {
  for (rill_recur_impl impl : implementations()) {
    Problem p = recur::make(rule(), 2, 37, 3, 6, 5, 1);
    Options opt;
    opt.impl = impl, opt.chunk = 8;
    expect_close(forward_only(recur::run(p, opt)), recur::oracle(p), kExact, "impl " + std::to_string(impl));
  }
}

TEST_P(EveryRule, AnyChunkAndAnyLength) {
  for (int64_t T : {0, 1, 2, 15, 16, 17, 63, 64, 65, 130}) {
    Problem p = recur::make(rule(), 1, T, 2, 7, 5, 2);
    Options opt;
    opt.impl = RILL_IMPL_REFERENCE;
    Result want = recur::run(p, opt);
    expect_close(forward_only(want), recur::oracle(p), kExact, "T " + std::to_string(T));
    for (int chunk : {1, 3, 16, 64, 200}) {
      opt.impl = RILL_IMPL_AUTO;
      opt.chunk = chunk;
      expect_close(recur::run(p, opt), want, kExact,
                   "T " + std::to_string(T) + " chunk " + std::to_string(chunk));
    }
  }
}

// Tokens [from, to) of a problem with B = 1.
Problem part(const Problem &p, int64_t from, int64_t to) {
  Problem x = p;
  auto cut = [&](Vec &a, int64_t width) {
    if (!a.empty()) a = Vec(a.begin() + from * width, a.begin() + to * width);
  };
  x.T = to - from;
  cut(x.q, p.H * p.D), cut(x.k, p.H * p.D), cut(x.v, p.H * p.V), cut(x.d_o, p.H * p.V);
  if (p.rule->decay == RILL_DECAY_TOKEN) cut(x.g, p.H);
  if (p.rule->decay == RILL_DECAY_CHANNEL) cut(x.g, p.H * p.D);
  cut(x.beta, p.H), cut(x.gamma, p.H);
  return x;
}

void append(Vec &to, const Vec &from) { to.insert(to.end(), from.begin(), from.end()); }
void add(Vec &to, const Vec &from) {
  for (size_t i = 0; i < from.size(); i++) to[i] += from[i];
}

// Runs two parts one after the other with carried states, and their backwards in reverse.
Result in_two(const Problem &p, int64_t t, const Options &opt) {
  Problem a = part(p, 0, t), b = part(p, t, p.T);
  Options quiet = opt;
  quiet.backward = false;
  Result first = recur::run(a, quiet);
  b.s0 = first.s, b.r0 = first.r;
  Result second = recur::run(b, opt);
  a.d_s = second.ds0, a.d_r = second.dr0;
  first = recur::run(a, opt);
  Result whole = first;
  append(whole.o, second.o), append(whole.dq, second.dq), append(whole.dk, second.dk);
  append(whole.dv, second.dv), append(whole.dbeta, second.dbeta), append(whole.dgamma, second.dgamma);
  if (p.rule->decay == RILL_DECAY_HEAD) {
    add(whole.dg, second.dg);
  } else {
    append(whole.dg, second.dg);
  }
  whole.s = second.s, whole.r = second.r;
  whole.error += second.error;
  return whole;
}

TEST_P(EveryRule, AnySplitIsTheWhole) {
  Problem p = recur::make(rule(), 1, 21, 2, 5, 4, 3);
  Options opt;
  opt.chunk = 8;
  Result want = recur::run(p, opt);
  for (int64_t t = 0; t <= p.T; t++)
    expect_close(in_two(p, t, opt), want, kExact, "split at " + std::to_string(t));
}

TEST_P(EveryRule, StepsAreTheWhole) {
  Problem p = recur::make(rule(), 1, 12, 2, 5, 4, 4);
  Result want = recur::oracle(p);
  rill_context_opts copts = {};
  copts.on_error = RILL_CONTINUE;
  copts.device = rill_test::test_opts().device;
  rill_context *ctx = rill_context_new(copts);
  rill_tensor *s = recur::tensor(ctx, RILL_F64, RILL_SHAPE(1, p.H, p.V, p.D), p.s0);
  rill_tensor *r = p.r0.empty() ? nullptr : recur::tensor(ctx, RILL_F64, RILL_SHAPE(1, p.H, p.V, p.D), p.r0);
  Vec o;
  for (int64_t t = 0; t < p.T; t++) {
    Problem token = part(p, t, t + 1);
    rill_recur_opts opts = {};
    rill_shape gate = RILL_SHAPE(1, p.H);
    rill_shape key = RILL_SHAPE(1, p.H, p.D);
    if (!p.g.empty())
      opts.log_alpha = recur::tensor(ctx, RILL_F64,
                                     rule().decay == RILL_DECAY_CHANNEL ? key
                                     : rule().decay == RILL_DECAY_HEAD  ? RILL_SHAPE(p.H)
                                                                        : gate,
                                     token.g);
    if (!p.beta.empty()) opts.beta = recur::tensor(ctx, RILL_F64, gate, token.beta);
    if (!p.gamma.empty()) opts.gamma = recur::tensor(ctx, RILL_F64, gate, token.gamma);
    opts.s0 = s, opts.r0 = r;
    rill_recur_out out = rill_recur_step(&rule(), recur::tensor(ctx, RILL_F64, key, token.q),
                                         recur::tensor(ctx, RILL_F64, key, token.k),
                                         recur::tensor(ctx, RILL_F64, RILL_SHAPE(1, p.H, p.V), token.v), opts);
    s = out.s, r = out.r;
    append(o, recur::values(out.o));
  }
  EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
  EXPECT_TRUE(recur::distance(o, want.o) <= kExact);
  EXPECT_TRUE(recur::distance(recur::values(s), want.s) <= kExact);
  rill_context_free(ctx);
}

TEST_P(EveryRule, PackedIsSeparate) {
  Problem p = recur::make(rule(), 1, 40, 2, 5, 4, 5);
  std::vector<int64_t> offsets = {0, 7, 7, 8, 25, 40};  // one is empty
  int64_t N = static_cast<int64_t>(offsets.size()) - 1, state = p.H * p.V * p.D;
  auto repeat = [&](Vec &x) {
    Vec one = x;
    for (int64_t i = 1; i < N; i++)
      for (double e : one) x.push_back(e * (1 + 0.1 * static_cast<double>(i)));
  };
  repeat(p.s0), repeat(p.r0), repeat(p.d_s), repeat(p.d_r);
  Options opt;
  opt.chunk = 8;
  Options packed = opt;
  packed.offsets = offsets;
  Result got = recur::run(p, packed), want;
  for (int64_t n = 0; n < N; n++) {
    Problem one = part(p, offsets[n], offsets[n + 1]);
    auto pick = [&](Vec &x) {
      if (!x.empty()) x = Vec(x.begin() + n * state, x.begin() + (n + 1) * state);
    };
    pick(one.s0), pick(one.r0), pick(one.d_s), pick(one.d_r);
    Result y = recur::run(one, opt);
    want.error += y.error;
    append(want.o, y.o), append(want.s, y.s), append(want.r, y.r);
    append(want.dq, y.dq), append(want.dk, y.dk), append(want.dv, y.dv);
    append(want.dbeta, y.dbeta), append(want.dgamma, y.dgamma);
    append(want.ds0, y.ds0), append(want.dr0, y.dr0);
    if (rule().decay == RILL_DECAY_HEAD && n > 0) {
      add(want.dg, y.dg);
    } else {
      append(want.dg, y.dg);
    }
  }
  expect_close(got, want, kExact, "packed");
}

TEST_P(EveryRule, LaterTokensLeaveEarlierOutputsAlone) {
  for (rill_dtype dtype : {RILL_F64, RILL_F32, RILL_BF16}) {
    Problem p = recur::make(rule(), 1, 40, 1, 6, 6, 6);
    Options opt;
    opt.dtype = dtype, opt.chunk = 16, opt.backward = false;
    Result before = recur::run(p, opt);
    int64_t t = 21;
    for (int64_t j = 0; j < p.D; j++) p.q[t * p.D + j] = 3, p.k[t * p.D + j] = -2;
    for (int64_t j = 0; j < p.V; j++) p.v[t * p.V + j] = 50;
    Result after = recur::run(p, opt);
    for (int64_t i = 0; i < t * p.V; i++) ASSERT_EQ(before.o[i], after.o[i]) << "element " << i;
    EXPECT_NE(before.o[t * p.V], after.o[t * p.V]);
  }
}

TEST_P(EveryRule, TheSameBitsForAnyNumberOfThreads) {
  for (rill_dtype dtype : {RILL_F64, RILL_F32, RILL_BF16}) {
    Problem p = recur::make(rule(), 2, 70, 3, 8, 8, 7);
    Options opt;
    opt.dtype = dtype, opt.threads = 1, opt.chunk = 32;
    Result one = recur::run(p, opt);
    ASSERT_EQ(one.error, "");
    for (int threads : {1, 2, 3, 4, 7, 16}) {
      opt.threads = threads;
      Result many = recur::run(p, opt);
      EXPECT_EQ(recur::distance(many, one), 0) << threads << " threads";
    }
  }
}

// f32 and bf16 against f64 on the same rounded inputs, with residuals away from the kink of the clip: there a rounding
// error may flip the mask (see the tolerances' reasoning in ops/recurrence/README.md).
TEST_P(EveryRule, PrecisionOfF32AndBf16) {
  struct {
    rill_dtype dtype;
    double tolerance;
  } cases[] = {{RILL_F32, 2e-5}, {RILL_BF16, 8e-3}};
  for (auto &c : cases) {
    Problem p = recur::make(rule(), 1, 200, 2, 32, 32, 8);
    auto round = [&](Vec &x) {
      for (double &e : x) {
        float f = static_cast<float>(e);
        e = c.dtype == RILL_BF16 ? rill_bf16_to_f32(rill_bf16_from_f32(f)) : f;
      }
    };
    round(p.q), round(p.k), round(p.v), round(p.d_o);
    auto to_float = [](Vec &x) {
      for (double &e : x) e = static_cast<float>(e);
    };
    to_float(p.g), to_float(p.beta), to_float(p.gamma), to_float(p.s0), to_float(p.r0), to_float(p.d_s);
    to_float(p.d_r);
    p.clip = 1e3;
    Options opt;
    Result want = recur::run(p, opt);
    opt.dtype = c.dtype;
    for (rill_recur_impl impl : implementations()) {
      opt.impl = impl;
      expect_close(recur::run(p, opt), want, c.tolerance, std::string(rill_dtype_name(c.dtype)));
    }
  }
}

// ---- gates and keys at their limits ----

void expect_both_finite_and_equal(Problem p, const std::string &what, double tolerance = 1e-11) {
  Options opt;
  opt.chunk = 16;
  opt.impl = RILL_IMPL_REFERENCE;
  Result want = recur::run(p, opt);
  expect_close(forward_only(want), recur::oracle(p), tolerance, what + " (equations)");
  opt.impl = RILL_IMPL_AUTO;
  expect_close(recur::run(p, opt), want, tolerance, what);
  opt.dtype = RILL_F32;
  Result narrow = recur::run(p, opt);
  EXPECT_TRUE(recur::distance(narrow, narrow) == 0) << what << ": not finite in f32";
}

TEST_P(EveryRule, DecaysAtTheirLimits) {
  if (rule().decay == RILL_DECAY_NONE) return;
  for (double g : {0.0, -88.7, -700.0, -std::numeric_limits<double>::infinity()}) {
    Problem p = recur::make(rule(), 1, 40, 1, 5, 4, 9);
    for (double &e : p.g) e = g;
    expect_both_finite_and_equal(p, "all log gates " + std::to_string(g));
    p = recur::make(rule(), 1, 40, 1, 5, 4, 10);
    p.g[p.g.size() / 2] = g == 0.0 ? -90 : g;
    expect_both_finite_and_equal(p, "one log gate " + std::to_string(p.g[p.g.size() / 2]));
  }
}

TEST_P(EveryRule, WriteGatesAtTheirLimits) {
  for (double gate : {0.0, 1e-8, 1.0, 2.0}) {
    Problem p = recur::make(rule(), 1, 40, 1, 5, 4, 11);
    for (double &e : p.beta) e = gate;
    for (double &e : p.gamma) e = gate;
    expect_both_finite_and_equal(p, "beta and gamma " + std::to_string(gate));
  }
}

TEST_P(EveryRule, SpecialKeys) {
  for (int kind = 0; kind < 4; kind++) {
    Problem p = recur::make(rule(), 1, 48, 1, 8, 4, 12);
    for (int64_t t = 0; t < p.T; t++) {
      double norm = 0;
      for (int64_t j = 0; j < p.D; j++) {
        double &k = p.k[t * p.D + j];
        if (kind == 0) k = p.k[j];                          // all equal
        if (kind == 1) k = p.k[j] + 0.05 * k;               // 0.99 correlated, about
        if (kind == 2) k = t % p.D == j ? 1 : 0;            // orthonormal in each group of D
        if (kind == 3) k = 0;                               // zero
        norm += k * k;
      }
      if (kind == 1 && t > 0)
        for (int64_t j = 0; j < p.D; j++) p.k[t * p.D + j] /= std::sqrt(norm);
    }
    expect_both_finite_and_equal(p, "keys of kind " + std::to_string(kind));
  }
}

// ---- relations between rules ----

TEST(RecurrenceRules, NamesAreFound) {
  for (const char *name : {"linear_attention", "retnet", "mamba2", "sgla", "gla", "deltanet", "gdn", "rla", "rdn",
                           "rla_stateless", "rla_tied", "rla_sum", "rla_noclip", "rla_tanh", "rdn_stateless",
                           "rdn_tied", "rdn_sum", "rdn_noclip", "rdn_tanh"})
    EXPECT_NE(rill_rule_find(name), nullptr) << name;
  EXPECT_EQ(rill_rule_find("no_such_rule"), nullptr);
}

TEST(RecurrenceRules, AnInfiniteClipIsNoClip) {
  for (auto pair : {std::make_pair(&rill_rla, "rla_noclip"), std::make_pair(&rill_rdn, "rdn_noclip")}) {
    Problem p = recur::make(*pair.first, 1, 50, 2, 6, 5, 13);
    p.clip = std::numeric_limits<double>::infinity();
    Problem none = p;
    none.rule = rill_rule_find(pair.second);
    none.clip = 1;
    expect_close(recur::run(p, Options()), recur::run(none, Options()), kExact, pair.second);
  }
}

TEST(RecurrenceRules, WithoutGammaTheResidualStateStaysEmpty) {
  for (auto pair : {std::make_pair(&rill_rla, &rill_sgla), std::make_pair(&rill_rdn, &rill_gdn)}) {
    Problem p = recur::make(*pair.first, 1, 50, 2, 6, 5, 14);
    for (double &e : p.gamma) e = 0;
    for (double &e : p.r0) e = 0;
    Problem plain = p;
    plain.rule = pair.second;
    plain.gamma.clear(), plain.r0.clear(), plain.d_r.clear();
    Result a = recur::run(p, Options()), b = recur::run(plain, Options());
    EXPECT_TRUE(recur::distance(a.s, b.s) <= kExact);
    for (double e : a.r) EXPECT_EQ(e, 0);
  }
}

// R_t = (v - S k) k^T with gamma = beta and no decay is the delta rule itself (paper, Table 1).
TEST(RecurrenceRules, TheStatelessCorrectionIsTheDeltaRule) {
  Problem p = recur::make(*rill_rule_find("rdn_stateless"), 1, 50, 2, 6, 5, 15);
  for (double &e : p.g) e = 0;
  p.gamma = p.beta;
  Problem delta = p;
  delta.rule = &rill_gdn;
  delta.gamma.clear();
  Result a = recur::run(p, Options()), b = recur::run(delta, Options());
  EXPECT_TRUE(recur::distance(a.o, b.o) <= kExact);
  EXPECT_TRUE(recur::distance(a.s, b.s) <= kExact);
  EXPECT_TRUE(recur::distance(a.dq, b.dq) <= kExact);
}

TEST(RecurrenceRules, ATiedGammaIsBetaGivenTwice) {
  for (auto pair : {std::make_pair("rla_tied", &rill_rla), std::make_pair("rdn_tied", &rill_rdn)}) {
    Problem tied = recur::make(*rill_rule_find(pair.first), 1, 50, 2, 6, 5, 16), own = tied;
    own.rule = pair.second;
    own.gamma = own.beta;
    Result a = recur::run(tied, Options()), b = recur::run(own, Options());
    for (size_t i = 0; i < b.dbeta.size(); i++) b.dbeta[i] += b.dgamma[i];
    b.dgamma.clear();
    expect_close(a, b, kExact, pair.first);
  }
}

// ---- long sequences ----

TEST(RecurrenceLong, FourThousandTokensAndOneMore) {
  for (const rill_rule *rule : {&rill_rla, &rill_rdn, &rill_gdn, &rill_sgla}) {
    for (int64_t T : {1000, 4096, 4097}) {
      Problem p = recur::make(*rule, 1, T, 1, 16, 8, 17);
      Options opt;
      opt.impl = RILL_IMPL_REFERENCE;
      Result want = recur::run(p, opt);
      opt.impl = RILL_IMPL_AUTO;
      expect_close(recur::run(p, opt), want, 1e-10, std::string(rule->name) + " T " + std::to_string(T));
    }
  }
}

TEST(RecurrenceLong, AMillionTokensForwardAndBackward) {
  for (const rill_rule *rule : {&rill_rla, &rill_rdn}) {
    Problem p = recur::make(*rule, 1, 1000000, 1, 8, 8, 18);
    Options opt;
    opt.dtype = RILL_F32;
    Result got = recur::run(p, opt);
    ASSERT_EQ(got.error, "");
    EXPECT_EQ(recur::distance(got, got), 0) << "something is not finite";
    Result want = recur::oracle(p);
    EXPECT_TRUE(recur::distance(got.s, want.s) <= 2e-6) << recur::distance(got.s, want.s);
  }
}

// The hardest case for a state that is never forgotten: keys 0.99 correlated, no decay.
TEST(RecurrenceLong, CorrelatedKeysWithoutDecay) {
  Problem p = recur::make(rill_deltanet, 1, 200000, 1, 8, 8, 19);
  for (int64_t t = 1; t < p.T; t++) {
    double norm = 0;
    for (int64_t j = 0; j < p.D; j++) {
      p.k[t * p.D + j] = p.k[j] + 0.14 * p.k[t * p.D + j];
      norm += p.k[t * p.D + j] * p.k[t * p.D + j];
    }
    for (int64_t j = 0; j < p.D; j++) p.k[t * p.D + j] /= std::sqrt(norm);
  }
  Options opt;
  opt.dtype = RILL_F32, opt.backward = false;
  Result got = recur::run(p, opt);
  for (Vec *x : {&p.q, &p.k, &p.v, &p.beta, &p.s0})
    for (double &e : *x) e = static_cast<float>(e);
  EXPECT_TRUE(recur::distance(got.s, recur::oracle(p).s) <= 1e-4);
}

// ---- refusals ----

TEST(RecurrenceRefusals, NameWhatWasExpected) {
  Problem p = recur::make(rill_rdn, 1, 10, 2, 4, 4, 20);
  p.s0.clear(), p.r0.clear(), p.d_s.clear(), p.d_r.clear();  // states are a row a sequence
  Options opt;
  opt.offsets = {0, 4, 3, 10};
  EXPECT_NE(recur::run(p, opt).error.find("offsets[2] is 3"), std::string::npos);
  opt.offsets = {0, 9};
  EXPECT_NE(recur::run(p, opt).error.find("end at T = 10"), std::string::npos);
  opt = Options();
  opt.chunk = -1;
  EXPECT_NE(recur::run(p, opt).error.find("chunk must be >= 0, not -1"), std::string::npos);
  p.clip = -2;
  EXPECT_NE(recur::run(p, Options()).error.find("clip must be > 0, not -2"), std::string::npos);
  p.clip = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(recur::run(p, Options()).error.find("clip must be > 0"), std::string::npos);
}

}  // namespace
