/* rill_recur as an op: checks operands, lays them out for the kernels, and connects forward to
 * backward.
 *
 *   rill_recur -> op "recur" (o, s, states, r) -> vjp -> op "recur_backward" (dq dk dv dg dbeta
 * dgamma ds0 dr0)
 *
 * `states` is hidden from users: S and R at the start of each chunk, all that the backward keeps
 * beside its inputs. */
#include <inttypes.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/recurrence/call.h"
#include "ops/recurrence/problem_impl.h"

enum { CHUNK = 64 };

extern const rill_op rilli_op_recur, rilli_op_recur_backward;

typedef rilli_recur_attributes attributes;

static rill_dtype state_dtype(rill_dtype dtype) { return dtype == RILL_F64 ? RILL_F64 : RILL_F32; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static bool is_fitted(const rill_rule *rule) { return rule->residual == RILL_RESIDUAL_FITTED; }
static bool has_gamma(const rill_rule *rule) {
  return rule->residual != RILL_RESIDUAL_NONE && rule->gamma == RILL_GAMMA_OWN &&
         !(rule->residual == RILL_RESIDUAL_STATELESS && rule->output == RILL_OUTPUT_SUM);
}

/* ---- infer ---- */

/* One operand against the shape and dtype it must have. */
static bool expect(rill_infer *q, int i, const char *name, bool wanted, rill_dtype dtype,
                   rill_shape shape) {
  const rill_array *a = &q->in[i];
  const attributes *attr = q->attr;
  if (!rill_present(a)) {
    bool state = i == S0 || i == R0;
    if (!wanted || state) return true;
    return rill_refuse(q, "rule %s needs %s %s", attr->rule.name, name,
                       rill_shape_print(shape).text);
  }
  if (!wanted) return rill_refuse(q, "rule %s takes no %s", attr->rule.name, name);
  if (a->dtype != dtype)
    return rill_refuse(q, "%s must be %s, not %s", name, rill_dtype_name(dtype),
                       rill_dtype_name(a->dtype));
  if (!rill_shape_equal(rill_array_shape(a), shape))
    return rill_refuse(q, "%s must have shape %s, not %s", name, rill_shape_print(shape).text,
                       rill_shape_print(rill_array_shape(a)).text);
  return true;
}

static bool check_inputs(rill_infer *q) {
  const attributes *attr = q->attr;
  const rill_rule *rule = &attr->rule;
  const rill_array *a = q->in;
  if (a[Q].rank != 4) return rill_refuse(q, "q must have rank 4, [B, T, H, D], not %d", a[Q].rank);
  if (a[V].rank != 4) return rill_refuse(q, "v must have rank 4, [B, T, H, V], not %d", a[V].rank);
  if (!rill_dtype_is_float(a[Q].dtype))
    return rill_refuse(q, "q must be f64, f32 or bf16, not %s", rill_dtype_name(a[Q].dtype));
  int64_t B = a[Q].size[0], T = a[Q].size[1], H = a[Q].size[2], D = a[Q].size[3], W = a[V].size[3];
  rill_dtype dtype = a[Q].dtype, gates = state_dtype(dtype);
  rill_shape gate = RILL_SHAPE(B, T, H), states = RILL_SHAPE(attr->sequences, H, W, D);
  rill_shape decay = rule->decay == RILL_DECAY_CHANNEL ? RILL_SHAPE(B, T, H, D) : gate;
  if (!(attr->clip > 0)) return rill_refuse(q, "clip must be > 0, not %g", attr->clip);
  if (attr->impl == RILL_IMPL_CHUNK && !rilli_recur_chunk_fits(rule))
    return rill_refuse(q, "the chunked implementation cannot run rule %s with this decay",
                       rule->name);
  return expect(q, K, "k", true, dtype, RILL_SHAPE(B, T, H, D)) &&
         expect(q, V, "v", true, dtype, RILL_SHAPE(B, T, H, W)) &&
         expect(q, G, "log_alpha", rule->decay != RILL_DECAY_NONE, gates, decay) &&
         expect(q, BETA, "beta", rule->beta, gates, gate) &&
         expect(q, GAMMA, "gamma", has_gamma(rule), gates, gate) &&
         expect(q, S0, "s0", true, gates, states) &&
         expect(q, R0, "r0", is_fitted(rule), gates, states) &&
         expect(q, OFFSETS, "offsets", attr->packed, RILL_I64, RILL_SHAPE(attr->sequences + 1));
}

/* States at the chunks' starts; the chunked CUDA kernels keep theirs in an order of their own. */
static rill_shape states_shape(const rill_infer *q) {
  const attributes *attr = q->attr;
  const rill_array *in = q->in;
#ifdef RILL_WITH_CUDA
  int64_t own = q->env->stream ? rilli_cuda_recur_chunk_keeps(q->env, attr, in) : 0;
  if (own > 0) return RILL_SHAPE(own);
#endif
  return RILL_SHAPE(attr->chunks, in[Q].size[2], is_fitted(&attr->rule) ? 2 : 1, in[V].size[3],
                    in[Q].size[3]);
}

static bool forward_infer(rill_infer *q) {
  if (!check_inputs(q)) return false;
  const attributes *attr = q->attr;
  const rill_array *a = q->in;
  rill_dtype real = state_dtype(a[Q].dtype);
  rill_shape state = RILL_SHAPE(attr->sequences, a[Q].size[2], a[V].size[3], a[Q].size[3]);
  rill_infer_output(q, OUT_O, a[Q].dtype, rill_array_shape(&a[V]));
  rill_infer_output(q, OUT_S, real, state);
  rill_infer_output(q, OUT_STATES, real, q->training ? states_shape(q) : RILL_SHAPE(0));
  rill_infer_output(q, OUT_R, real, state);
  q->outputs = is_fitted(&attr->rule) ? 4 : 3;
  return true;
}

/* ---- kernels ---- */

static const void *data_or_null(const rill_array *a) { return rill_present(a) ? a->data : NULL; }

/* Where every sequence starts, in tokens and in chunks. */
static bool lay_out(const rill_call *call, rilli_recur_in *in) {
  const attributes *attr = call->attr;
  const rill_array *q = &call->in[Q];
  int64_t n = attr->sequences;
  const int64_t *offsets = data_or_null(&call->in[OFFSETS]);
  int64_t *token = rill_env_alloc(call->env, (size_t)(2 * n + 2) * sizeof *token);
  if (!token) return false;
  int64_t *chunk = token + n + 1;
  token[0] = chunk[0] = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t length = offsets ? offsets[i + 1] - offsets[i] : q->size[1];
    token[i + 1] = token[i] + length;
    chunk[i + 1] = chunk[i] + ceil_div(length, attr->chunk);
  }
  bool tied = attr->rule.residual != RILL_RESIDUAL_NONE && attr->rule.gamma == RILL_GAMMA_TIED;
  *in = (rilli_recur_in){.rule = &attr->rule,
                         .clip = attr->clip,
                         .dtype = q->dtype,
                         .N = n,
                         .H = q->size[2],
                         .D = q->size[3],
                         .V = call->in[V].size[3],
                         .C = attr->chunk,
                         .token_start = token,
                         .chunk_start = chunk,
                         .q = call->in[Q].data,
                         .k = call->in[K].data,
                         .v = call->in[V].data,
                         .g = data_or_null(&call->in[G]),
                         .beta = data_or_null(&call->in[BETA]),
                         .gamma = data_or_null(&call->in[tied ? BETA : GAMMA]),
                         .s0 = data_or_null(&call->in[S0]),
                         .r0 = data_or_null(&call->in[R0])};
  return true;
}

typedef bool forward_fn(rill_env *env, const rilli_recur_in *in, const rilli_recur_fwd *out);
typedef bool backward_fn(rill_env *env, const rilli_recur_in *in, const rilli_recur_bwd *out);

static bool forward(const rill_call *call, forward_fn *run) {
  rilli_recur_in in;
  if (!lay_out(call, &in)) return false;
  bool training = rill_array_count(&call->out[OUT_STATES]) > 0;
  rilli_recur_fwd out = {.o = call->out[OUT_O].data,
                         .s = call->out[OUT_S].data,
                         .r = call->outputs > OUT_R ? call->out[OUT_R].data : NULL,
                         .states = training ? call->out[OUT_STATES].data : NULL};
  return run(call->env, &in, &out);
}

static bool chunk_fits(const rill_call *call) {
  const attributes *attr = call->attr;
  bool worth = attr->impl == RILL_IMPL_CHUNK || call->in[Q].size[1] >= 8;
  return attr->impl != RILL_IMPL_REFERENCE && worth && rilli_recur_chunk_fits(&attr->rule);
}
static bool forward_chunk(const rill_call *call) {
  return forward(call, rilli_recur_chunk_forward);
}
static bool forward_reference(const rill_call *call) {
  return forward(call, rilli_recur_reference_forward);
}

static bool backward(const rill_call *call, backward_fn *run) {
  rilli_recur_in in;
  if (!lay_out(call, &in)) return false;
  void *out[RILL_MAX_OUTPUTS];
  for (int i = Q; i <= R0; i++) out[i] = rill_present(&call->in[i]) ? call->out[i].data : NULL;
  rilli_recur_bwd bwd = {.states = call->in[STATES].data,
                         .do_ = call->in[DO].data,
                         .ds = data_or_null(&call->in[DS]),
                         .dr = data_or_null(&call->in[DR]),
                         .dq = out[Q],
                         .dk = out[K],
                         .dv = out[V],
                         .dg = out[G],
                         .dbeta = out[BETA],
                         .dgamma = out[GAMMA],
                         .ds0 = out[S0],
                         .dr0 = out[R0]};
  return run(call->env, &in, &bwd);
}
static bool backward_chunk(const rill_call *call) {
  return backward(call, rilli_recur_chunk_backward);
}
static bool backward_reference(const rill_call *call) {
  return backward(call, rilli_recur_reference_backward);
}

/* ---- backward ---- */

static bool backward_infer(rill_infer *q) {
  if (!check_inputs(q)) return false;
  const attributes *attr = q->attr;
  const rill_array *a = q->in;
  rill_dtype real = state_dtype(a[Q].dtype);
  rill_shape state = RILL_SHAPE(attr->sequences, a[Q].size[2], a[V].size[3], a[Q].size[3]);
  if (!expect(q, STATES, "states", true, real, states_shape(q)) ||
      !expect(q, DO, "do", true, a[Q].dtype, rill_array_shape(&a[V])))
    return false;
  if (rill_present(&a[DS]) && !expect(q, DS, "ds", true, real, state)) return false;
  if (rill_present(&a[DR]) && !expect(q, DR, "dr", is_fitted(&attr->rule), real, state))
    return false;
  for (int i = Q; i <= R0; i++) {
    bool there = rill_present(&a[i]);
    rill_infer_output(q, i, there ? a[i].dtype : real,
                      there ? rill_array_shape(&a[i]) : RILL_SHAPE(0));
  }
  return true;
}

static void sample_backward(rill_samples *samples);

const rill_op rilli_op_recur_backward = {
    .name = "recur_backward",
    .in = {"q", "k", "v", "log_alpha?", "beta?", "gamma?", "s0?", "r0?", "offsets?", "states", "do",
           "ds?", "dr?"},
    .out = {"dq", "dk", "dv", "dlog_alpha", "dbeta", "dgamma", "ds0", "dr0"},
    .attr_size = sizeof(attributes),
    .infer = backward_infer,
    .kernels = {{RILL_CPU, "chunk", chunk_fits, backward_chunk},
                {RILL_CPU, "reference", NULL, backward_reference},
                RILL_CUDA_KERNEL("chunk", rilli_cuda_recur_chunk_fits,
                                 rilli_cuda_recur_chunk_backward),
                RILL_CUDA_KERNEL("reference", NULL, rilli_cuda_recur_reference_backward)},
    .no_grad = "the derivative of recur is differentiated no further",
    .sample = sample_backward,
};

static void forward_vjp(rill_vjp *g) {
  rill_tensor *in[BACKWARD_INPUTS], *out[RILL_MAX_OUTPUTS];
  const attributes *attr = g->attr;
  for (int i = 0; i < FORWARD_INPUTS; i++) in[i] = g->in[i];
  in[STATES] = g->out[OUT_STATES];
  in[DO] = g->grad[OUT_O] ? g->grad[OUT_O]
                          : rill_zeros(g->ctx, g->like[V].dtype, rill_array_shape(&g->like[V]));
  in[DS] = g->grad[OUT_S];
  in[DR] = is_fitted(&attr->rule) ? g->grad[OUT_R] : NULL;
  rill_apply_all(&rilli_op_recur_backward, BACKWARD_INPUTS, in, attr, out);
  for (int i = Q; i <= R0; i++)
    if (g->in[i]) rill_vjp_give(g, i, out[i]);
}

/* ---- samples ---- */

static rill_sample sample_of(const attributes *attr, int64_t B, int64_t T, int64_t H, int64_t D,
                             int64_t W) {
  const rill_rule *rule = &attr->rule;
  rill_shape gate = RILL_SHAPE(B, T, H), state = RILL_SHAPE(B, H, W, D);
  bool residual = is_fitted(rule);
  return (rill_sample){
      .name = rule->name,
      .in = {[Q] = {.shape = RILL_SHAPE(B, T, H, D), .low = -0.6, .high = 0.6},
             [K] = {.shape = RILL_SHAPE(B, T, H, D), .low = -0.6, .high = 0.6},
             [V] = {.shape = RILL_SHAPE(B, T, H, W)},
             [G] = {.shape = rule->decay == RILL_DECAY_CHANNEL ? RILL_SHAPE(B, T, H, D) : gate,
                    .low = -1,
                    .high = 0,
                    .state = true,
                    .absent = rule->decay == RILL_DECAY_NONE},
             [BETA] = {.shape = gate, .low = 0, .high = 1, .state = true, .absent = !rule->beta},
             [GAMMA] =
                 {.shape = gate, .low = 0, .high = 1, .state = true, .absent = !has_gamma(rule)},
             [S0] = {.shape = state, .state = true},
             [R0] = {.shape = state, .state = true, .absent = !residual},
             [OFFSETS] = {.absent = true}},
      .attr = attr};
}

static attributes attributes_of(const rill_rule *rule, int64_t B, int64_t T, int64_t chunk,
                                rill_recur_impl impl) {
  return (attributes){.rule = *rule,
                      .clip = 1,
                      .chunk = chunk,
                      .chunks = B * ceil_div(T, chunk),
                      .sequences = B,
                      .impl = impl};
}

static void sample_shapes(rill_samples *samples, const rill_rule *rule, bool backward_too) {
  static const int64_t shape[][6] = {/* B, T, H, D, V, C */
                                     {1, 9, 2, 4, 3, 4},
                                     {2, 1, 1, 3, 5, 8},
                                     {1, 8, 1, 5, 5, 3},
                                     {1, 0, 1, 3, 3, 4}};
  for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++) {
    const int64_t *s = shape[i];
    rill_recur_impl impl = i % 2 == 0 ? RILL_IMPL_AUTO : RILL_IMPL_REFERENCE;
    attributes attr = attributes_of(rule, s[0], s[1], s[5], impl);
    rill_sample sample = sample_of(&attr, s[0], s[1], s[2], s[3], s[4]);
    if (backward_too) {
      rill_sample_input state = sample.in[S0], out = sample.in[V];
      state.shape = RILL_SHAPE(attr.chunks, s[2], is_fitted(rule) ? 2 : 1, s[4], s[3]);
      sample.in[STATES] = state;
      sample.in[DO] = out;
      sample.in[DS] = sample.in[S0];
      sample.in[DR] = sample.in[R0];
    }
    rill_sample_add(samples, sample);
  }
}

static void sample_forward(rill_samples *samples) {
  for (const rill_rule *const *rule = rill_rules; *rule; rule++)
    sample_shapes(samples, *rule, false);
  attributes attr = attributes_of(&rill_rdn, 1, 4, 4, RILL_IMPL_AUTO);
  rill_sample bad = sample_of(&attr, 1, 4, 1, 3, 2);
  bad.in[K].shape.size[3] = 4;
  bad.refused = "k must have shape [1, 4, 1, 3], not [1, 4, 1, 4]";
  rill_sample_add(samples, bad);
  bad = sample_of(&attr, 1, 4, 1, 3, 2);
  bad.in[GAMMA].absent = true;
  bad.refused = "rule rdn needs gamma [1, 4, 1]";
  rill_sample_add(samples, bad);
  attr = attributes_of(&rill_sgla, 1, 4, 4, RILL_IMPL_AUTO);
  bad = sample_of(&attr, 1, 4, 1, 3, 2);
  bad.in[R0].absent = false;
  bad.refused = "rule sgla takes no r0";
  rill_sample_add(samples, bad);
}

static void sample_backward(rill_samples *samples) {
  for (const rill_rule *const *rule = rill_rules; *rule; rule++)
    sample_shapes(samples, *rule, true);
  attributes attr = attributes_of(&rill_gdn, 1, 4, 4, RILL_IMPL_AUTO);
  rill_sample bad = sample_of(&attr, 1, 4, 1, 3, 2);
  bad.in[STATES] = (rill_sample_input){.shape = RILL_SHAPE(2, 1, 1, 2, 3), .state = true};
  bad.in[DO] = bad.in[V];
  bad.in[DS].absent = bad.in[DR].absent = true;
  bad.refused = "states must have shape [1, 1, 1, 2, 3]";
  rill_sample_add(samples, bad);
}

const rill_op rilli_op_recur = {
    .name = "recur",
    .in = {"q", "k", "v", "log_alpha?", "beta?", "gamma?", "s0?", "r0?", "offsets?"},
    .out = {"o", "s", "states", "r"},
    .attr_size = sizeof(attributes),
    .infer = forward_infer,
    .kernels = {{RILL_CPU, "chunk", chunk_fits, forward_chunk},
                {RILL_CPU, "reference", NULL, forward_reference},
                RILL_CUDA_KERNEL("chunk", rilli_cuda_recur_chunk_fits, rilli_cuda_recur_chunk),
                RILL_CUDA_KERNEL("reference", NULL, rilli_cuda_recur_reference)},
    .vjp = forward_vjp,
    .saves = 0x1ff | RILL_SAVE_OUTPUT(OUT_STATES),
    .hidden = 1u << OUT_STATES,
    .sample = sample_forward,
};

/* ---- the public functions ---- */

/* offsets must rise from 0 to the number of tokens. */
static bool check_offsets(rill_context *ctx, const rill_recur_opts *opts, int64_t B, int64_t T) {
  if (!opts->offsets) return true;
  if (B != 1 || opts->sequences < 0) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT,
              "rill_recur: packed sequences need B = 1, not %" PRId64 ", and sequences >= 0", B);
    return false;
  }
  int64_t last = 0;
  for (int64_t i = 0; i <= opts->sequences; i++) {
    int64_t now = opts->offsets[i];
    bool ends = i < opts->sequences || now == T;
    if ((i == 0 && now != 0) || now < last || now > T || !ends) {
      rill_fail(ctx, RILL_ERROR_ARGUMENT,
                "rill_recur: offsets[%" PRId64 "] is %" PRId64
                "; offsets must start at 0, never fall, and end at T = %" PRId64,
                i, now, T);
      return false;
    }
    last = now;
  }
  return true;
}

rill_recur_out rill_recur(const rill_rule *rule, rill_tensor *q, rill_tensor *k, rill_tensor *v,
                          rill_recur_opts opts) {
  rill_context *ctx = rill_context_of(q);
  rill_recur_out result = {0};
  rill_tensor *out[RILL_MAX_OUTPUTS], *offsets = NULL, *decay = opts.log_alpha;
  bool sized = rill_rank(q) == 4;
  int64_t B = sized ? rill_size(q, 0) : 0, T = sized ? rill_size(q, 1) : 0;
  rill_scope *scope = rill_scope_open(ctx);
  attributes attr = attributes_of(rule, B, T, opts.chunk > 0 ? opts.chunk : CHUNK, opts.impl);
  if (opts.clip != 0) attr.clip = opts.clip;
  if (opts.chunk < 0)
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_recur: chunk must be >= 0, not %d", opts.chunk);
  if (sized && opts.offsets && check_offsets(ctx, &opts, B, T)) {
    attr.packed = true;
    attr.sequences = opts.sequences;
    attr.chunks = 0;
    for (int64_t i = 0; i < opts.sequences; i++)
      attr.chunks += ceil_div(opts.offsets[i + 1] - opts.offsets[i], attr.chunk);
    offsets = rill_from(ctx, RILL_I64, RILL_SHAPE(opts.sequences + 1), opts.offsets);
  }
  if (sized && decay && rule->decay == RILL_DECAY_HEAD && rill_rank(decay) == 1)
    decay = rill_expand(decay, RILL_SHAPE(B, T, rill_size(q, 2)));
  rill_tensor *in[FORWARD_INPUTS] = {q,          k,       v,       decay,  opts.beta,
                                     opts.gamma, opts.s0, opts.r0, offsets};
  rill_apply_all(&rilli_op_recur, FORWARD_INPUTS, in, &attr, out);
  result.o = rill_hoist(out[OUT_O]);
  result.s = rill_hoist(out[OUT_S]);
  if (is_fitted(rule)) result.r = rill_hoist(out[OUT_R]);
  rill_scope_close(scope);
  return result;
}

rill_recur_out rill_recur_step(const rill_rule *rule, rill_tensor *q, rill_tensor *k,
                               rill_tensor *v, rill_recur_opts opts) {
  rill_scope *scope = rill_scope_open(rill_context_of(q));
  if (opts.log_alpha && rule->decay != RILL_DECAY_HEAD)
    opts.log_alpha = rill_unsqueeze(opts.log_alpha, 1);
  if (opts.beta) opts.beta = rill_unsqueeze(opts.beta, 1);
  if (opts.gamma) opts.gamma = rill_unsqueeze(opts.gamma, 1);
  rill_recur_out out =
      rill_recur(rule, rill_unsqueeze(q, 1), rill_unsqueeze(k, 1), rill_unsqueeze(v, 1), opts);
  out.o = rill_hoist(rill_squeeze(out.o, 1));
  out.s = rill_hoist(out.s);
  if (out.r) out.r = rill_hoist(out.r);
  rill_scope_close(scope);
  return out;
}
