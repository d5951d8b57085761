/* Gradient descent with momentum. */
#include "autograd/op.h"
#include "ops/cpu/clones.h"
#include "optim/attributes.h"
#include "optim/optim_impl.h"
#include "optim/update_impl.h"

typedef rilli_sgd_attr attributes;

bool rilli_cuda_sgd_update(const rill_call *call);

enum { W, G, U, MASTER, STATES = 1 };

/* ---- kernels ---- */

RILLI_CLONES
static void update_f32(float *restrict w, const float *restrict g, float *restrict u, int64_t n,
                       const attributes *a, const double *plan) {
  float lr = (float)plan[RILLI_LR], shrink = (float)(1 - plan[RILLI_LR] * a->decay);
  float momentum = (float)a->momentum, scale = (float)plan[RILLI_SCALE];
  float of_g = a->nesterov ? 1 : 0, of_u = a->nesterov ? momentum : 1;
  for (int64_t i = 0; i < n; i++) {
    float gi = scale * g[i], ui = momentum * u[i] + gi;
    u[i] = ui;
    w[i] = shrink * w[i] - lr * (of_g * gi + of_u * ui);
  }
}

static void update_f64(double *restrict w, const double *restrict g, double *restrict u, int64_t n,
                       const attributes *a, const double *plan) {
  double of_g = a->nesterov ? 1 : 0, of_u = a->nesterov ? a->momentum : 1;
  double lr = plan[RILLI_LR], shrink = 1 - lr * a->decay;
  for (int64_t i = 0; i < n; i++) {
    double gi = plan[RILLI_SCALE] * g[i];
    u[i] = a->momentum * u[i] + gi;
    w[i] = shrink * w[i] - lr * (of_g * gi + of_u * u[i]);
  }
}

static void update_part(const void *user, int64_t at, int64_t n) {
  const rilli_update_job *job = user;
  const rill_array *in = job->in;
  const attributes *a = job->attr;
  if (in[W].dtype == RILL_F64) {
    update_f64((double *)in[W].data + at, (const double *)in[G].data + at,
               (double *)in[U].data + at, n, a, job->plan);
    return;
  }
  float *u = (float *)in[U].data + at;
  if (in[W].dtype == RILL_F32) {
    update_f32((float *)in[W].data + at, (const float *)in[G].data + at, u, n, a, job->plan);
    return;
  }
  enum { BLOCK = 256 };
  rill_bf16 *w = (rill_bf16 *)in[W].data + at;
  const float *g = (const float *)in[G].data + at;
  float *master = (float *)in[MASTER].data + at;
  for (int64_t i = 0; i < n; i += BLOCK) {
    int64_t count = n - i < BLOCK ? n - i : BLOCK;
    update_f32(master + i, g + i, u + i, count, a, job->plan);
    for (int64_t j = 0; j < count; j++) w[i + j] = rill_bf16_from_f32(master[i + j]);
  }
}

static bool run(const rill_call *call) { return rilli_update_run(call, STATES, update_part); }

static bool infer(rill_infer *q) { return rilli_update_infer(q, STATES); }

static const rill_op sgd_op = {.name = "sgd_update",
                               .in = {"operand..."},
                               .attr_size = sizeof(attributes),
                               .infer = infer,
                               .kernels = {{RILL_CPU, "fused", NULL, run},
                                           RILL_CUDA_KERNEL("fused", NULL, rilli_cuda_sgd_update)},
                               .no_grad = "it overwrites its operands",
                               .writes = RILL_WRITES_ALL};

/* ---- the optimizer ---- */

static void update(const rill_optim *opt, bool decay, int inputs, rill_tensor *const *in) {
  const rill_sgd_opts *o = &opt->opts.sgd;
  attributes attr = {
      .decay = decay ? o->weight_decay : 0, .momentum = o->momentum, .nesterov = o->nesterov};
  rill_apply(&sgd_op, inputs, in, &attr);
}

static const rilli_optim_kind KIND = {"sgd", {"u", "master"}, update, NULL};

rill_optim *rill_sgd_new(rill_parameters params, rill_sgd_opts opts) {
  static const char NAME[] = "rill_sgd_new";
  rill_context *ctx = params.ctx;
  if (opts.lr == 0) opts.lr = 1e-2;
  if (!ctx || !rilli_optim_check(ctx, NAME, "lr", opts.lr, 1e6) ||
      !rilli_optim_check(ctx, NAME, "weight_decay", opts.weight_decay, 1e6) ||
      !rilli_optim_check(ctx, NAME, "momentum", opts.momentum, 1))
    return NULL;
  rill_optim *opt = rilli_optim_new(&KIND, params, opts.lr);
  if (opt) opt->opts.sgd = opts;
  return opt;
}
