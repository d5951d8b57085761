/* gradcheck: proves the derivative of every op, and of every rule of the recurrence family, by
 * finite differences in f64.
 *
 *   gradcheck            everything, one line each
 *   gradcheck --op rmsnorm --verbose
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "examples/lm/args.h"
#include "ops/ops.h"

static struct {
  const char *op, *rule;
  int64_t entries, seed, threads;
  double rtol;
  bool verbose, list;
} opt;

static const lm_option table[] = {
    {"op", LM_STRING, &opt.op, NULL, .group = "What", .help = "check this op only"},
    {"rule", LM_STRING, &opt.rule, NULL, .help = "check this rule of the recurrence family only"},
    {"list", LM_FLAG, &opt.list, NULL, .help = "print the names of ops and rules and stop"},
    {"entries", LM_INT, &opt.entries, "200", .group = "How",
     .help = "entries checked of each input; 0 = all", .min = 0, .max = 1e12},
    {"rtol", LM_FLOAT, &opt.rtol, "1e-6", .help = "largest relative error that passes", .min = 0,
     .max = 1},
    {"seed", LM_INT, &opt.seed, "1", .help = "of values and output gradients", .min = 0,
     .max = 9e15},
    {"threads", LM_INT, &opt.threads, "0", .help = "CPU threads; 0 = all", .min = 0, .max = 1024},
    {"verbose", LM_FLAG, &opt.verbose, NULL, .help = "the worst entries of every sample"},
    {0}};

/* The line of one op or rule. */
typedef struct {
  int64_t samples, entries, failed;
  double worst;
} tally;

typedef struct {
  rill_context *ctx;
  const rill_op *op;
  const void *attr;
  int outputs;
  tally sum;
} check;

static void call_op(void *user, int inputs, rill_tensor *const *in, int outputs,
                    rill_tensor **out) {
  const check *c = user;
  rill_tensor *all[RILL_MAX_OUTPUTS];
  rill_apply_all(c->op, inputs, in, c->attr, all);
  int seen = 0;
  for (int j = 0; seen < outputs; j++)
    if (!(c->op->hidden >> j & 1u)) out[seen++] = all[j];
}

static void add(tally *t, const rill_gradcheck_report *report, const char *title) {
  t->samples++;
  t->entries += report->checked;
  t->failed += !report->passed;
  if (!(report->max_error <= t->worst)) t->worst = report->max_error;
  if (opt.verbose || !report->passed) rill_gradcheck_print(stdout, report, title);
}

static void check_sample(void *user, const rill_sample *sample) {
  check *c = user;
  rill_tensor *in[RILL_MAX_INPUTS], *out[RILL_MAX_OUTPUTS];
  if (sample->refused || sample->no_gradient) return;
  rill_scope *scope = rill_scope_open(c->ctx);
  int n = rill_sample_tensors(c->ctx, c->op, sample, RILL_F64, in);
  bool any = false, f64 = true;
  for (int i = 0; i < n; i++) {
    if (!in[i] || !rill_dtype_is_float(rill_dtype_of(in[i]))) continue;
    f64 = f64 && rill_dtype_of(in[i]) == RILL_F64;
    if (rill_dtype_of(in[i]) == RILL_F64 && rill_count(in[i]) > 0) {
      rill_require_grad(in[i]);
      any = true;
    }
  }
  c->attr = sample->attr;
  rill_apply_all(c->op, n, in, c->attr, out);
  int outputs = 0; /* those that users see */
  for (int j = 0; j < RILL_MAX_OUTPUTS && c->op->out[j]; j++)
    if (!rill_is_void(out[j]) && !(c->op->hidden >> j & 1u)) outputs++;
  if (any && f64 && outputs > 0 && rill_dtype_of(out[0]) == RILL_F64) {
    rill_gradcheck_opts how = {
        .rtol = opt.rtol, .samples = opt.entries, .seed = (uint64_t)opt.seed};
    rill_gradcheck_report report = rill_gradcheck(call_op, c, n, in, outputs, how);
    add(&c->sum, &report, sample->name ? sample->name : c->op->name);
  }
  rill_error_clear(c->ctx);
  rill_scope_close(scope);
}

static bool print_line(const char *name, const tally *t, const char *why) {
  if (t->samples == 0) {
    printf("%-26s %8s %10s %12s  %s\n", name, "-", "-", "-",
           why ? why : "no sample can be differentiated");
    return true;
  }
  printf("%-26s %8" PRId64 " %10" PRId64 " %12.1e  %s\n", name, t->samples, t->entries, t->worst,
         t->failed ? "FAILED" : "ok");
  return t->failed == 0;
}

/* ---- rules, in both implementations ---- */

typedef struct {
  const rill_rule *rule;
  rill_recur_impl impl;
} rule_check;

static void call_rule(void *user, int inputs, rill_tensor *const *in, int outputs,
                      rill_tensor **out) {
  const rule_check *c = user;
  const rill_rule *rule = c->rule;
  (void)inputs;
  bool own_gamma = rule->residual && rule->gamma == RILL_GAMMA_OWN &&
                   !(rule->residual == RILL_RESIDUAL_STATELESS && rule->output == RILL_OUTPUT_SUM);
  rill_recur_opts opts = {.log_alpha = rule->decay ? rill_logsigmoid(in[3]) : NULL,
                          .beta = rule->beta ? rill_sigmoid(in[4]) : NULL,
                          .gamma = own_gamma ? rill_sigmoid(in[5]) : NULL,
                          .s0 = in[6],
                          .r0 = rule->residual == RILL_RESIDUAL_FITTED ? in[7] : NULL,
                          .chunk = 4,
                          .impl = c->impl};
  rill_recur_out y = rill_recur(rule, rill_l2norm(in[0], 0), rill_l2norm(in[1], 0), in[2], opts);
  out[0] = y.o;
  if (outputs > 1) out[1] = y.s;
  if (outputs > 2) out[2] = y.r;
}

static bool check_rule(rill_context *ctx, const rill_rule *rule) {
  tally t = {0};
  char name[64];
  for (int impl = RILL_IMPL_REFERENCE; impl >= RILL_IMPL_AUTO; impl--) {
    rill_scope *scope = rill_scope_open(ctx);
    rill_shape key = RILL_SHAPE(2, 11, 2, 3), value = RILL_SHAPE(2, 11, 2, 4),
               gate = RILL_SHAPE(2, 11, 2), state = RILL_SHAPE(2, 2, 4, 3);
    rill_shape decay = rule->decay == RILL_DECAY_CHANNEL ? key
                       : rule->decay == RILL_DECAY_HEAD  ? RILL_SHAPE(2)
                                                         : gate;
    rill_shape shape[8] = {key, key, value, decay, gate, gate, state, state};
    rill_tensor *in[8];
    for (int i = 0; i < 8; i++) in[i] = rill_require_grad(rill_randn(ctx, RILL_F64, shape[i]));
    rule_check c = {rule, (rill_recur_impl)impl};
    rill_gradcheck_opts how = {
        .rtol = opt.rtol, .samples = opt.entries, .seed = (uint64_t)opt.seed};
    int outputs = rule->residual == RILL_RESIDUAL_FITTED ? 3 : 2;
    rill_gradcheck_report report = rill_gradcheck(call_rule, &c, 8, in, outputs, how);
    add(&t, &report, rule->name);
    rill_error_clear(ctx);
    rill_scope_close(scope);
  }
  snprintf(name, sizeof name, "rule %s", rule->name);
  return print_line(name, &t, NULL);
}

static bool check_all(rill_context *ctx) {
  bool passed = true;
  printf("%-26s %8s %10s %12s\n", "", "samples", "entries", "max error");
  for (const rill_op *const *op = rill_all_ops; *op && !opt.rule; op++) {
    if (opt.op && strcmp(opt.op, (*op)->name) != 0) continue;
    check c = {.ctx = ctx, .op = *op};
    if (!(*op)->no_grad && !(*op)->writes) rill_op_samples(*op, check_sample, &c);
    passed = print_line((*op)->name, &c.sum, (*op)->no_grad) && passed;
    fflush(stdout);
  }
  for (const rill_rule *const *rule = rill_rules; *rule && !opt.op; rule++)
    if (!opt.rule || strcmp(opt.rule, (*rule)->name) == 0)
      passed = check_rule(ctx, *rule) && passed;
  return passed;
}

static void list(void) {
  for (const rill_op *const *op = rill_all_ops; *op; op++) printf("op   %s\n", (*op)->name);
  for (const rill_rule *const *rule = rill_rules; *rule; rule++) printf("rule %s\n", (*rule)->name);
}

int main(int argc, char **argv) {
  lm_args args = {.program = "gradcheck",
                  .summary =
                      "Compares the derivative of every op, and of every rule and ablation of the "
                      "recurrence family, with "
                      "central differences in f64. Exits with 1 when one is wrong.",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0 && opt.list) {
    list();
    code = 0;
  } else if (code < 0 && opt.op && !rill_op_find(opt.op)) {
    fprintf(stderr, "gradcheck: --op: there is no op `%s`; --list shows all\n", opt.op);
    code = 2;
  } else if (code < 0 && opt.rule && !rill_rule_find(opt.rule)) {
    fprintf(stderr, "gradcheck: --rule: there is no rule `%s`; --list shows all\n", opt.rule);
    code = 2;
  } else if (code < 0) {
    rill_context *ctx = rill_context_new((rill_context_opts){
        .seed = (uint64_t)opt.seed, .on_error = RILL_CONTINUE, .threads = (int)opt.threads});
    bool passed = ctx && check_all(ctx);
    printf(passed ? "all derivatives are right\n" : "some derivatives are WRONG\n");
    rill_context_free(ctx);
    code = passed ? 0 : 1;
  }
  lm_args_free(&args);
  return code;
}
