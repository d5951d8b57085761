/* AdamW. The update is one op that overwrites all parameters and their moments in one pass. */
#include <math.h>

#include "autograd/op.h"
#include "ops/cpu/clones.h"
#include "optim/attributes.h"
#include "optim/optim_impl.h"
#include "optim/update_impl.h"

typedef rilli_adamw_attr attributes;

bool rilli_cuda_adamw_update(const rill_call *call);

enum { W, G, M, V, MASTER, STATES = 2 };

/* ---- kernels ---- */

RILLI_CLONES
static void update_f32(float *restrict w, const float *restrict g, float *restrict m,
                       float *restrict v, int64_t n, const attributes *a, const double *plan) {
  float rate = (float)plan[RILLI_RATE], root = (float)plan[RILLI_ROOT], eps = (float)a->eps;
  float scale = (float)plan[RILLI_SCALE], shrink = (float)(1 - plan[RILLI_LR] * a->decay);
  float b1 = (float)a->beta1, b2 = (float)a->beta2, c1 = (float)(1 - a->beta1),
        c2 = (float)(1 - a->beta2);
  for (int64_t i = 0; i < n; i++) {
    float gi = scale * g[i], mi = b1 * m[i] + c1 * gi, vi = b2 * v[i] + c2 * (gi * gi);
    m[i] = mi;
    v[i] = vi;
    w[i] = shrink * w[i] - rate * mi / (sqrtf(vi) * root + eps);
  }
}

static void update_f64(double *restrict w, const double *restrict g, double *restrict m,
                       double *restrict v, int64_t n, const attributes *a, const double *plan) {
  double rate = plan[RILLI_RATE], root = plan[RILLI_ROOT], scale = plan[RILLI_SCALE],
         shrink = 1 - plan[RILLI_LR] * a->decay;
  for (int64_t i = 0; i < n; i++) {
    double gi = scale * g[i];
    m[i] = a->beta1 * m[i] + (1 - a->beta1) * gi;
    v[i] = a->beta2 * v[i] + (1 - a->beta2) * (gi * gi);
    w[i] = shrink * w[i] - rate * m[i] / (sqrt(v[i]) * root + a->eps);
  }
}

static void update_part(const void *user, int64_t at, int64_t n) {
  const rilli_update_job *job = user;
  const rill_array *in = job->in;
  const attributes *a = job->attr;
  if (in[W].dtype == RILL_F64) {
    update_f64((double *)in[W].data + at, (const double *)in[G].data + at,
               (double *)in[M].data + at, (double *)in[V].data + at, n, a, job->plan);
    return;
  }
  float *m = (float *)in[M].data + at, *v = (float *)in[V].data + at;
  if (in[W].dtype == RILL_F32) {
    update_f32((float *)in[W].data + at, (const float *)in[G].data + at, m, v, n, a, job->plan);
    return;
  }
  enum { BLOCK = 256 };
  rill_bf16 *w = (rill_bf16 *)in[W].data + at;
  const float *g = (const float *)in[G].data + at;
  float *master = (float *)in[MASTER].data + at;
  for (int64_t i = 0; i < n; i += BLOCK) {
    int64_t count = n - i < BLOCK ? n - i : BLOCK;
    update_f32(master + i, g + i, m + i, v + i, count, a, job->plan);
    for (int64_t j = 0; j < count; j++) w[i + j] = rill_bf16_from_f32(master[i + j]);
  }
}

static bool run(const rill_call *call) { return rilli_update_run(call, STATES, update_part); }

static bool infer(rill_infer *q) { return rilli_update_infer(q, STATES); }

static const rill_op adamw_op = {
    .name = "adamw_update",
    .in = {"operand..."},
    .attr_size = sizeof(attributes),
    .infer = infer,
    .kernels = {{RILL_CPU, "fused", NULL, run},
                RILL_CUDA_KERNEL("fused", NULL, rilli_cuda_adamw_update)},
    .no_grad = "it overwrites its operands",
    .writes = RILL_WRITES_ALL};

/* ---- the optimizer ---- */

static void update(const rill_optim *opt, bool decay, int inputs, rill_tensor *const *in) {
  const rill_adamw_opts *o = &opt->opts.adamw;
  attributes attr = {
      .decay = decay ? o->weight_decay : 0, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps};
  rill_apply(&adamw_op, inputs, in, &attr);
}

static rilli_plan_attr betas(const rill_optim *opt) {
  return (rilli_plan_attr){.beta1 = opt->opts.adamw.beta1, .beta2 = opt->opts.adamw.beta2};
}

static const rilli_optim_kind KIND = {"adamw", {"m", "v", "master"}, update, betas};

static double beta(double given, double standard) {
  if (given == 0) return standard;
  return given == -1 ? 0 : given;
}

rill_optim *rill_adamw_new(rill_parameters params, rill_adamw_opts opts) {
  static const char NAME[] = "rill_adamw_new";
  rill_context *ctx = params.ctx;
  if (opts.lr == 0) opts.lr = 1e-3;
  if (opts.eps == 0) opts.eps = 1e-8;
  opts.beta1 = beta(opts.beta1, 0.9);
  opts.beta2 = beta(opts.beta2, 0.95);
  if (!ctx || !rilli_optim_check(ctx, NAME, "lr", opts.lr, 1e6) ||
      !rilli_optim_check(ctx, NAME, "weight_decay", opts.weight_decay, 1e6) ||
      !rilli_optim_check(ctx, NAME, "beta1", opts.beta1, 0.9999999) ||
      !rilli_optim_check(ctx, NAME, "beta2", opts.beta2, 0.9999999) ||
      !rilli_optim_check(ctx, NAME, "eps", opts.eps, 1))
    return NULL;
  rill_optim *opt = rilli_optim_new(&KIND, params, opts.lr);
  if (opt) opt->opts.adamw = opts;
  return opt;
}
