// Problems for the recurrence family on the host, an oracle written from the paper's equations, and one call that
// runs rill_recur forward and backward.
#ifndef RILL_TESTS_RECURRENCE_UTIL_H_
#define RILL_TESTS_RECURRENCE_UTIL_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ops/ops.h"
#include "tests/device_util.h"

namespace recur {

using Vec = std::vector<double>;

struct Problem {
  const rill_rule *rule = nullptr;
  int64_t B = 1, T = 1, H = 1, D = 4, V = 4;
  double clip = 1;
  Vec q, k, v, g, beta, gamma, s0, r0;  // g: log alpha; empty = absent
  Vec d_o, d_s, d_r;                     // output gradients; d_s and d_r may be empty
};

struct Options {
  rill_dtype dtype = RILL_F64;
  rill_recur_impl impl = RILL_IMPL_AUTO;
  int chunk = 0;
  int threads = 0;
  bool backward = true;
  std::vector<int64_t> offsets;  // packed sequences; then B = 1 and states are per sequence
};

struct Result {
  std::string error;
  Vec o, s, r, dq, dk, dv, dg, dbeta, dgamma, ds0, dr0;
};

inline bool has_gamma(const rill_rule &rule) {
  return rule.residual != RILL_RESIDUAL_NONE && rule.gamma == RILL_GAMMA_OWN &&
         !(rule.residual == RILL_RESIDUAL_STATELESS && rule.output == RILL_OUTPUT_SUM);
}
inline bool fitted(const rill_rule &rule) { return rule.residual == RILL_RESIDUAL_FITTED; }

// A random problem in the regime a trained model is in: unit keys and queries, decays near 1, gates in (0, 1).
inline Problem make(const rill_rule &rule, int64_t B, int64_t T, int64_t H, int64_t D, int64_t V,
                    unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  Problem p;
  p.rule = &rule, p.B = B, p.T = T, p.H = H, p.D = D, p.V = V;
  auto normals = [&](int64_t n) {
    Vec x(static_cast<size_t>(n));
    for (double &e : x) e = normal(random);
    return x;
  };
  auto units = [&](int64_t rows, int64_t width) {
    Vec x = normals(rows * width);
    for (int64_t i = 0; i < rows; i++) {
      double sum = 1e-12;
      for (int64_t j = 0; j < width; j++) sum += x[i * width + j] * x[i * width + j];
      for (int64_t j = 0; j < width; j++) x[i * width + j] /= std::sqrt(sum);
    }
    return x;
  };
  auto gates = [&](int64_t n) {
    Vec x(static_cast<size_t>(n));
    for (double &e : x) e = uniform(random);
    return x;
  };
  int64_t n = B * T * H;
  p.q = units(n, D), p.k = units(n, D), p.v = normals(n * V);
  if (rule.decay != RILL_DECAY_NONE) {
    int64_t count = rule.decay == RILL_DECAY_HEAD ? H : rule.decay == RILL_DECAY_CHANNEL ? n * D : n;
    p.g = gates(count);
    for (double &e : p.g) e = -0.5 * e * e;
  }
  if (rule.beta) p.beta = gates(n);
  if (has_gamma(rule)) p.gamma = gates(n);
  p.s0 = normals(B * H * V * D);
  if (fitted(rule)) p.r0 = normals(B * H * V * D);
  p.d_o = normals(n * V), p.d_s = normals(B * H * V * D);
  if (fitted(rule)) p.d_r = normals(B * H * V * D);
  return p;
}

// The paper's equations, token by token, with nothing shared with the library.
inline Result oracle(const Problem &p) {
  Result y;
  const rill_rule &rule = *p.rule;
  int64_t B = p.B, T = p.T, H = p.H, D = p.D, V = p.V;
  y.o.assign(static_cast<size_t>(B * T * H * V), 0);
  y.s = p.s0.empty() ? Vec(static_cast<size_t>(B * H * V * D), 0) : p.s0;
  if (fitted(rule)) y.r = p.r0.empty() ? Vec(static_cast<size_t>(B * H * V * D), 0) : p.r0;
  for (int64_t b = 0; b < B; b++)
    for (int64_t h = 0; h < H; h++)
      for (int64_t t = 0; t < T; t++) {
        int64_t at = (b * T + t) * H + h;
        const double *q = &p.q[at * D], *k = &p.k[at * D], *v = &p.v[at * V];
        double beta = p.beta.empty() ? 1 : p.beta[at];
        double gamma = rule.gamma == RILL_GAMMA_TIED ? beta : p.gamma.empty() ? 1 : p.gamma[at];
        for (int64_t i = 0; i < V; i++) {
          double *S = &y.s[((b * H + h) * V + i) * D];
          double *R = y.r.empty() ? nullptr : &y.r[((b * H + h) * V + i) * D];
          auto alpha = [&](int64_t j) {
            if (rule.decay == RILL_DECAY_NONE) return 1.0;
            if (rule.decay == RILL_DECAY_HEAD) return std::exp(p.g[h]);
            return std::exp(rule.decay == RILL_DECAY_CHANNEL ? p.g[at * D + j] : p.g[at]);
          };
          double predicted = 0, decayed = 0, base = 0, base_plain = 0, kq = 0;
          for (int64_t j = 0; j < D; j++) {
            predicted += S[j] * k[j];
            decayed += alpha(j) * S[j] * k[j];
            base += alpha(j) * S[j] * q[j];
            base_plain += S[j] * q[j];
            kq += k[j] * q[j];
          }
          double r = v[i] - predicted;
          if (rule.clip == RILL_CLIP_HARD) r = std::fmin(std::fmax(r, -p.clip), p.clip);
          if (rule.clip == RILL_CLIP_TANH) r = p.clip * std::tanh(r / p.clip);
          double error = v[i] - (rule.write == RILL_WRITE_DELTA ? decayed : 0);
          double correction = r * kq;  // stateless: R_t q_t with R_t = r k^T
          if (R) {
            double known = 0;
            for (int64_t j = 0; j < D; j++) known += alpha(j) * R[j] * k[j];
            double f = r - (rule.write == RILL_WRITE_DELTA ? known : 0);
            correction = 0;
            for (int64_t j = 0; j < D; j++) {
              R[j] = alpha(j) * R[j] + gamma * f * k[j];
              correction += R[j] * q[j];
            }
          }
          double after = 0;
          for (int64_t j = 0; j < D; j++) {
            S[j] = alpha(j) * S[j] + beta * error * k[j];
            after += S[j] * q[j];
          }
          double o = after;
          if (rule.residual != RILL_RESIDUAL_NONE)
            o = rule.output == RILL_OUTPUT_GATED ? base + gamma * correction : base_plain + correction;
          y.o[at * V + i] = o;
        }
      }
  return y;
}

inline Vec values(rill_tensor *x) {
  if (!x || rill_is_void(x)) return {};
  Vec out(static_cast<size_t>(rill_count(x)));
  rill_read_f64(x, out.data(), rill_count(x));
  return out;
}

inline rill_tensor *tensor(rill_context *ctx, rill_dtype dtype, rill_shape shape, const Vec &x) {
  rill_tensor *wide = rill_from(ctx, RILL_F64, shape, x.data());
  rill_tensor *y = rill_zeros(ctx, dtype, shape);
  rill_assign(y, wide);
  return y;
}

// Runs rill_recur with the given options, forward and (unless switched off) backward.
inline Result run(const Problem &p, const Options &opt) {
  Result y;
  rill_context_opts copts = {};
  copts.on_error = RILL_CONTINUE;
  copts.threads = opt.threads;
  copts.device = rill_test::test_opts().device;
  rill_context *ctx = rill_context_new(copts);
  rill_dtype real = opt.dtype == RILL_F64 ? RILL_F64 : RILL_F32;
  int64_t N = opt.offsets.empty() ? p.B : static_cast<int64_t>(opt.offsets.size()) - 1;
  rill_shape keys = RILL_SHAPE(p.B, p.T, p.H, p.D), state = RILL_SHAPE(N, p.H, p.V, p.D);
  rill_shape gate = RILL_SHAPE(p.B, p.T, p.H), out = RILL_SHAPE(p.B, p.T, p.H, p.V);
  auto leaf = [&](rill_dtype dtype, rill_shape shape, const Vec &x, bool wanted) -> rill_tensor * {
    if (!wanted) return nullptr;
    rill_tensor *t = tensor(ctx, dtype, shape, x);
    return opt.backward ? rill_require_grad(t) : t;
  };
  rill_tensor *q = leaf(opt.dtype, keys, p.q, true), *k = leaf(opt.dtype, keys, p.k, true),
              *v = leaf(opt.dtype, out, p.v, true);
  rill_shape decay = p.rule->decay == RILL_DECAY_CHANNEL ? keys
                     : p.rule->decay == RILL_DECAY_HEAD  ? RILL_SHAPE(p.H)
                                                         : gate;
  rill_recur_opts r = {};
  r.log_alpha = leaf(real, decay, p.g, p.rule->decay != RILL_DECAY_NONE);
  r.beta = leaf(real, gate, p.beta, p.rule->beta);
  r.gamma = leaf(real, gate, p.gamma, has_gamma(*p.rule));
  r.s0 = leaf(real, state, p.s0, !p.s0.empty());
  r.r0 = leaf(real, state, p.r0, !p.r0.empty());
  r.clip = p.clip, r.chunk = opt.chunk, r.impl = opt.impl;
  if (!opt.offsets.empty()) {
    r.offsets = opt.offsets.data();
    r.sequences = N;
  }
  rill_recur_out forward = rill_recur(p.rule, q, k, v, r);
  y.o = values(forward.o), y.s = values(forward.s), y.r = values(forward.r);
  if (opt.backward && !rill_error(ctx)) {
    std::vector<rill_tensor *> outputs = {forward.o}, grads = {tensor(ctx, opt.dtype, out, p.d_o)};
    if (!p.d_s.empty()) {
      outputs.push_back(forward.s);
      grads.push_back(tensor(ctx, real, state, p.d_s));
    }
    if (forward.r && !p.d_r.empty()) {
      outputs.push_back(forward.r);
      grads.push_back(tensor(ctx, real, state, p.d_r));
    }
    rill_backward_from(static_cast<int>(outputs.size()), outputs.data(), grads.data());
    auto grad = [&](rill_tensor *x) { return x ? values(rill_grad(x)) : Vec(); };
    auto values_of = [&](rill_tensor *x) { return x && rill_grad(x) ? grad(x) : Vec(); };
    y.dq = values_of(q), y.dk = values_of(k), y.dv = values_of(v);
    y.dg = values_of(r.log_alpha), y.dbeta = values_of(r.beta), y.dgamma = values_of(r.gamma);
    y.ds0 = values_of(r.s0), y.dr0 = values_of(r.r0);
  }
  if (rill_error(ctx)) y.error = rill_error(ctx);
  rill_context_free(ctx);
  return y;
}

// rms(x - y) / rms(y); infinity when sizes differ or anything is not finite.
inline double distance(const Vec &x, const Vec &y) {
  if (x.size() != y.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < x.size(); i++) {
    difference += (x[i] - y[i]) * (x[i] - y[i]);
    norm += y[i] * y[i];
  }
  if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
  return difference == 0 ? 0 : std::sqrt(difference / std::fmax(norm, 1e-30));
}

// The largest distance over all outputs and gradients, and which one it is.
inline double distance(const Result &x, const Result &y, std::string *which = nullptr) {
  double worst = 0;
  auto look = [&](const char *name, const Vec &a, const Vec &b) {
    double d = distance(a, b);
    if (!(d <= worst)) {
      worst = d;
      if (which) *which = name;
    }
  };
  look("o", x.o, y.o), look("s", x.s, y.s), look("r", x.r, y.r);
  look("dq", x.dq, y.dq), look("dk", x.dk, y.dk), look("dv", x.dv, y.dv);
  look("dg", x.dg, y.dg), look("dbeta", x.dbeta, y.dbeta), look("dgamma", x.dgamma, y.dgamma);
  look("ds0", x.ds0, y.ds0), look("dr0", x.dr0, y.dr0);
  return worst;
}

}  // namespace recur

#endif  // RILL_TESTS_RECURRENCE_UTIL_H_
