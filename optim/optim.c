/* What all optimizers do alike: state tensors, the look for gradients that are not finite,
 * counting. */
#include "optim/optim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "optim/optim_impl.h"
#include "tensor/capture.h"
#include "tensor/io.h"

static const char MASTER[] = "master";

bool rilli_optim_check(rill_context *ctx, const char *function, const char *option, double value,
                       double high) {
  if (value >= 0 && value <= high && isfinite(value)) return true;
  rill_fail(ctx, RILL_ERROR_ARGUMENT, "%s: %s must be from 0 to %g, not %g", function, option, high,
            value);
  return false;
}

/* ---- making ---- */

static char *state_name(rill_context *ctx, const char *kind, const char *slot, const char *param) {
  size_t room = strlen(kind) + strlen(slot) + strlen(param) + 3;
  char *name = rill_owned_alloc(ctx, room);
  if (name) snprintf(name, room, *param ? "%s.%s.%s" : "%s.%s", kind, slot, param);
  return name;
}

static bool add_state(rill_optim *opt, const char *slot, const char *param, rill_tensor *x) {
  char *name = state_name(opt->ctx, opt->kind->name, slot, param);
  if (!name || rill_is_void(x)) return false;
  opt->state[opt->state_count++] = (rill_parameter){.name = name, .value = x};
  return true;
}

/* One state tensor of parameter i, kept; NULL if it has no such one. */
static bool make_slot(rill_optim *opt, int64_t i, int j) {
  const rill_parameter *p = &opt->params.at[i];
  const char *slot = opt->kind->slot[j];
  rill_dtype dtype = rill_dtype_of(p->value);
  bool master = slot && strcmp(slot, MASTER) == 0;
  if (!slot || (master && dtype != RILL_BF16)) return true;
  rill_scope *scope = rill_scope_open_no_grad(opt->ctx);
  rill_tensor *x =
      rill_zeros(opt->ctx, dtype == RILL_F64 ? RILL_F64 : RILL_F32, rill_shape_of(p->value));
  bool done = !rill_is_void(x) && (!master || rill_assign(x, p->value));
  x = rill_keep(x);
  opt->slot[i * RILLI_SLOTS + j] = x;
  done = done && add_state(opt, slot, p->name, x);
  rill_scope_close(scope);
  return done;
}

static bool check_names(rill_parameters params) {
  for (int64_t i = 0; i < params.count; i++)
    for (int64_t j = 0; j < i; j++)
      if (params.at[i].value == params.at[j].value ||
          strcmp(params.at[i].name, params.at[j].name) == 0) {
        rill_fail(params.ctx, RILL_ERROR_ARGUMENT,
                  "an optimizer was given the parameter '%s' twice", params.at[i].name);
        return false;
      }
  return true;
}

rill_optim *rilli_optim_new(const rilli_optim_kind *kind, rill_parameters params, double lr) {
  rill_context *ctx = params.ctx;
  if (!ctx || rill_error(ctx) || !check_names(params)) return NULL;
  rill_optim *opt = rill_owned_alloc(ctx, sizeof *opt);
  if (!opt) return NULL;
  *opt = (rill_optim){.ctx = ctx, .kind = kind, .params = params, .lr = lr};
  size_t slots = (size_t)params.count * RILLI_SLOTS + 1;
  opt->slot = rill_owned_alloc(ctx, slots * sizeof(rill_tensor *));
  opt->state = rill_owned_alloc(ctx, slots * sizeof *opt->state);
  opt->owner = rill_owned_alloc(ctx, ((size_t)params.count + 1) * sizeof *opt->owner);
  opt->steps = rill_keep(rill_zeros(ctx, RILL_I64, RILL_SHAPE(1)));
  opt->plan = rill_keep(rill_zeros(ctx, RILL_F64, RILL_SHAPE(RILLI_PLAN)));
  opt->rate = rill_keep(rill_scalar(ctx, RILL_F64, lr));
  bool done = opt->slot && opt->state && opt->owner && !rill_error(ctx) &&
              add_state(opt, "steps", "", opt->steps);
  for (int j = 0; done && j < RILLI_SLOTS; j++)
    for (int64_t i = 0; done && i < params.count; i++) done = make_slot(opt, i, j);
  return done ? opt : NULL;
}

/* ---- stepping ---- */

void rill_optim_zero_grad(rill_optim *opt) {
  for (int64_t i = 0; opt && i < opt->params.count; i++) rill_zero_grad(opt->params.at[i].value);
}

/* The parameters that have a gradient, and decay or do not, as operands; how many. */
static int operands(const rill_optim *opt, bool decay, rill_tensor **in) {
  int count = 0;
  in[count++] = opt->plan;
  for (int64_t i = 0; i < opt->params.count; i++) {
    const rill_parameter *p = &opt->params.at[i];
    rill_tensor *const *slot = opt->slot + i * RILLI_SLOTS;
    if (!rill_grad(p->value) || p->no_decay == decay) continue;
    in[count++] = p->value;
    in[count++] = rill_grad(p->value);
    for (int j = 0; j < RILLI_SLOTS; j++)
      if (slot[j]) in[count++] = slot[j];
  }
  return count;
}

static bool apply(const rill_optim *opt) {
  size_t most = (size_t)opt->params.count * (2 + RILLI_SLOTS) + 1;
  rill_tensor **in = rill_alloc(opt->ctx, most * sizeof(rill_tensor *));
  for (int decay = 0; in && decay < 2; decay++) {
    int count = operands(opt, decay, in);
    if (count > 1) opt->kind->update(opt, decay, count, in);
  }
  rill_free(opt->ctx, in);
  return !rill_error(opt->ctx);
}

/* What the plan says of the latest step. False when it cannot be read. */
static bool look(const rill_optim *opt, rill_optim_report *report, bool *updated) {
  double plan[RILLI_PLAN];
  if (!rill_read(opt->plan, plan, sizeof plan)) return false;
  *updated = plan[RILLI_GO] != 0;
  *report = (rill_optim_report){.steps = (int64_t)plan[RILLI_STEPS],
                                .skipped = (int64_t)plan[RILLI_SKIPPED],
                                .skipped_in_row = (int64_t)plan[RILLI_IN_ROW],
                                .grad_norm = plan[RILLI_NORM]};
  if (plan[RILLI_BAD] >= 0) report->bad = opt->params.at[opt->owner[(int64_t)plan[RILLI_BAD]]].name;
  return true;
}

bool rill_optim_step_clipped(rill_optim *opt, double max_norm) {
  if (!opt || rill_error(opt->ctx) ||
      !rilli_optim_check(opt->ctx, "rill_optim_step_clipped", "max_norm", max_norm, INFINITY))
    return false;
  rill_scope *scope = rill_scope_open_no_grad(opt->ctx);
  rilli_plan_attr attr = opt->kind->betas ? opt->kind->betas(opt) : (rilli_plan_attr){0};
  attr.max_norm = max_norm;
  rilli_optim_plan(opt, rilli_optim_squares(opt->params, opt->owner), attr);
  bool done = apply(opt), updated = true;
  rill_optim_zero_grad(opt);
  rill_scope_close(scope);
  if (!done) return false;
  if (rill_capturing(opt->ctx)) return opt->captured = true;
  return look(opt, &opt->report, &updated) && updated;
}

bool rill_optim_step(rill_optim *opt) { return rill_optim_step_clipped(opt, 0); }

void rill_optim_set_lr(rill_optim *opt, double lr) {
  if (!opt || !rilli_optim_check(opt->ctx, "rill_optim_set_lr", "lr", lr, INFINITY)) return;
  if (lr != opt->lr && rill_write(opt->rate, &lr, sizeof lr)) opt->lr = lr;
}
double rill_optim_lr(const rill_optim *opt) { return opt ? opt->lr : 0; }
rill_optim_report rill_optim_status(const rill_optim *opt) {
  rill_optim_report report = {0};
  bool updated;
  if (!opt) return report;
  return opt->captured && look(opt, &report, &updated) ? report : opt->report;
}

/* ---- checkpoints ---- */

rill_parameters rill_optim_state(rill_optim *opt) {
  if (!opt) return (rill_parameters){0};
  int64_t steps = rill_optim_status(opt).steps;
  rill_write(opt->steps, &steps, sizeof steps);
  return (rill_parameters){opt->ctx, opt->state_count, opt->state};
}

bool rill_optim_restore(rill_optim *opt) {
  if (!opt) return false;
  int64_t steps = 0;
  bool done = rill_read(opt->steps, &steps, sizeof steps);
  if (done && steps < 0) {
    rill_fail(opt->ctx, RILL_ERROR_FILE, "%s.steps is %" PRId64 "; it must be >= 0",
              opt->kind->name, steps);
    return false;
  }
  const double plan[RILLI_PLAN] = {[RILLI_STEPS] = (double)steps};
  done = done && rill_write(opt->plan, plan, sizeof plan);
  if (done) opt->report = (rill_optim_report){.steps = steps};
  for (int j = 0; done && j < RILLI_SLOTS; j++) {
    if (!opt->kind->slot[j] || strcmp(opt->kind->slot[j], MASTER) != 0) continue;
    for (int64_t i = 0; done && i < opt->params.count; i++) {
      rill_tensor *master = opt->slot[i * RILLI_SLOTS + j];
      if (master) done = rill_assign(opt->params.at[i].value, master);
    }
  }
  return done;
}
