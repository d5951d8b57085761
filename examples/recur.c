/* recur: runs one rule of the recurrence family on tensors from a file, forward and, when output
 * gradients are given, backward: how anyone compares this library with another implementation.
 *
 *   recur --rule rla --impl reference --in x.safetensors --out y.safetensors --dtype f64
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "examples/lm/args.h"
#include "nn/safetensors.h"
#include "ops/ops.h"

static struct {
  const char *rule, *impl, *in, *out, *dtype;
  double clip;
  int64_t chunk, threads;
  bool silu, l2norm;
} opt;

static const lm_option table[] = {
    {"rule", LM_STRING, &opt.rule, "rdn", .group = "Rule",
     .help = "one of the named rules or ablations"},
    {"clip", LM_FLOAT, &opt.clip, "1", .help = "c of the residual's clip", .min = 1e-300,
     .max = 1e300},
    {"silu", LM_FLAG, &opt.silu, NULL, .help = "apply SiLU to q and k first"},
    {"l2norm", LM_FLAG, &opt.l2norm, NULL,
     .help = "then divide q and k by their length (eps 1e-6)"},
    {"in", LM_STRING, &opt.in, NULL, .group = "Files",
     .help = "safetensors with q k [B,T,H,D], v [B,T,H,V], log_alpha beta gamma [B,T,H]; optional "
             "s0 r0 "
             "[B,H,V,D], and output gradients do dsT drT"},
    {"out", LM_STRING, &opt.out, NULL,
     .help = "gets o sT rT, and with do: dq dk dv dlog_alpha dbeta dgamma ds0 dr0"},
    {"dtype", LM_CHOICE, &opt.dtype, "f64", .group = "Computation",
     .help = "of q, k, v; gates and states are f64, or else f32", .choices = "f64|f32|bf16"},
    {"impl", LM_CHOICE, &opt.impl, "auto",
     .help = "token by token, in chunks, or what the library would choose",
     .choices = "auto|reference|chunk"},
    {"chunk", LM_INT, &opt.chunk, "64", .help = "tokens of a chunk", .min = 1, .max = 1e6},
    {"threads", LM_INT, &opt.threads, "0", .help = "CPU threads; 0 = all", .min = 0, .max = 1024},
    {0}};

typedef struct {
  rill_context *ctx;
  rill_safetensors *file;
  rill_dtype dtype, real;
  rill_parameter result[16];
  int results;
} job;

/* The file's tensor in the dtype asked for, or NULL when it has none of that name. */
static rill_tensor *read_input(job *j, const char *name, rill_dtype dtype, bool leaf) {
  if (rill_safetensors_find(j->file, name) < 0) return NULL;
  rill_tensor *x = rill_detach(rill_cast(rill_safetensors_get(j->file, name), dtype));
  return leaf ? rill_require_grad(x) : x;
}

static void keep(job *j, const char *name, rill_tensor *x) {
  if (x) j->result[j->results++] = (rill_parameter){.name = name, .value = x};
}

static const char *const inputs[] = {"q", "k", "v", "log_alpha", "beta", "gamma", "s0", "r0"};
static const char *const gradients[] = {"dq",    "dk",     "dv",  "dlog_alpha",
                                        "dbeta", "dgamma", "ds0", "dr0"};
enum { INPUTS = 8 };

static bool backward(job *j, const rill_recur_out *y, rill_tensor *const *leaf) {
  rill_tensor *out[3], *grad[3];
  int n = 0;
  rill_tensor *given[3] = {read_input(j, "do", j->dtype, false),
                           read_input(j, "dsT", j->real, false),
                           read_input(j, "drT", j->real, false)};
  rill_tensor *output[3] = {y->o, y->s, y->r};
  for (int i = 0; i < 3; i++) {
    if (!given[i] || !output[i]) continue;
    out[n] = output[i];
    grad[n++] = given[i];
  }
  if (n == 0) return true;
  rill_backward_from(n, out, grad);
  for (int i = 0; i < INPUTS; i++)
    if (leaf[i]) keep(j, gradients[i], rill_grad(leaf[i]));
  return !rill_error(j->ctx);
}

static bool run(job *j, const rill_rule *rule) {
  rill_tensor *leaf[INPUTS];
  for (int i = 0; i < INPUTS; i++)
    leaf[i] = read_input(j, inputs[i], i < 3 ? j->dtype : j->real, true);
  for (int i = 0; i < 3; i++) {
    if (leaf[i]) continue;
    rill_fail(j->ctx, RILL_ERROR_FILE, "%s holds no tensor %s", opt.in, inputs[i]);
    return false;
  }
  rill_tensor *q = leaf[0], *k = leaf[1];
  if (opt.silu || opt.l2norm) {
    q = rill_qk_prepare(q, opt.silu, opt.l2norm, 0);
    k = rill_qk_prepare(k, opt.silu, opt.l2norm, 0);
  }
  bool tied = rule->residual != RILL_RESIDUAL_NONE && rule->gamma == RILL_GAMMA_TIED;
  rill_recur_opts opts = {.log_alpha = rule->decay != RILL_DECAY_NONE ? leaf[3] : NULL,
                          .beta = rule->beta ? leaf[4] : NULL,
                          .gamma = rule->residual != RILL_RESIDUAL_NONE && !tied ? leaf[5] : NULL,
                          .s0 = leaf[6],
                          .r0 = rule->residual == RILL_RESIDUAL_FITTED ? leaf[7] : NULL,
                          .clip = opt.clip,
                          .chunk = (int)opt.chunk};
  opts.impl = strcmp(opt.impl, "reference") == 0 ? RILL_IMPL_REFERENCE
              : strcmp(opt.impl, "chunk") == 0   ? RILL_IMPL_CHUNK
                                                 : RILL_IMPL_AUTO;
  rill_recur_out y = rill_recur(rule, q, k, leaf[2], opts);
  if (rill_error(j->ctx)) return false;
  keep(j, "o", y.o);
  keep(j, "sT", y.s);
  keep(j, "rT", y.r);
  rill_parameters all = {j->ctx, 0, j->result};
  if (!backward(j, &y, leaf)) return false;
  all.count = j->results;
  const rill_metadata metadata[] = {{"rule", rule->name}, {"impl", opt.impl}};
  return rill_safetensors_save(j->ctx, opt.out, all, 2, metadata);
}

static const rill_rule *find_rule(char *err) {
  const rill_rule *rule = rill_rule_find(opt.rule);
  if (rule) return rule;
  char names[400] = "";
  for (const rill_rule *const *r = rill_rules; *r; r++) {
    size_t used = strlen(names);
    snprintf(names + used, sizeof names - used, " %s", (*r)->name);
  }
  lm_fail(err, "--rule: there is no rule `%s`; there are%s", opt.rule, names);
  return NULL;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {
      .program = "recur",
      .summary = "Runs one rule of the recurrence family on tensors from a safetensors file.",
      .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    code = 1;
    job j = {.dtype = RILL_F64};
    const rill_rule *rule = find_rule(err);
    if (rule && (!opt.in || !opt.out)) lm_fail(err, "--in and --out are required");
    if (!err[0]) {
      rill_dtype_find(opt.dtype, &j.dtype);
      j.real = j.dtype == RILL_F64 ? RILL_F64 : RILL_F32;
      j.ctx = rill_context_new(
          (rill_context_opts){.on_error = RILL_CONTINUE, .threads = (int)opt.threads});
      j.file = j.ctx ? rill_safetensors_open(j.ctx, opt.in) : NULL;
      if (j.file && run(&j, rule)) code = 0;
      if (code) lm_fail(err, "%s", j.ctx ? rill_error(j.ctx) : "out of memory");
      rill_safetensors_close(j.file);
      rill_context_free(j.ctx);
    }
    if (code) fprintf(stderr, "recur: %s\n", err);
  }
  lm_args_free(&args);
  return code;
}
