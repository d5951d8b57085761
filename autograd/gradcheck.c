/* Gradients proved by finite differences.
 *
 * With fixed random output gradients d, the function becomes the scalar L = sum_i <d_i, out_i>. The
 * tape gives dL/dx in one backward; each checked entry of x is moved by +h and -h, and (L(x + h) -
 * L(x - h)) / 2h is compared. All in f64. */
#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/internal.h"

enum { OUTPUTS = 64, WORST = 16 };

typedef struct {
  rill_function *f;
  void *user;
  int inputs, outputs;
  rill_tensor *const *in;
  rill_tensor
      *weight[OUTPUTS];     /* the output gradients; NULL for outputs that are not differentiable */
  rill_random_state random; /* so that every call draws the same numbers */
  rill_context *ctx;
} problem;

static void call(const problem *p, rill_tensor **out) {
  rill_random_set(p->ctx, p->random);
  for (int j = 0; j < p->outputs; j++) out[j] = NULL;
  p->f(p->user, p->inputs, p->in, p->outputs, out);
}

/* L, summed in order; NaN after an error. */
static double value(const problem *p) {
  rill_tensor *out[OUTPUTS];
  double sum = 0;
  rill_scope *scope = rill_scope_open_no_grad(p->ctx);
  if (!scope) return (double)NAN;
  call(p, out);
  for (int j = 0; j < p->outputs; j++) {
    if (!p->weight[j]) continue;
    int64_t n = rill_count(p->weight[j]);
    double *y = rill_alloc(p->ctx, (size_t)n * sizeof *y),
           *d = rill_alloc(p->ctx, (size_t)n * sizeof *d);
    bool read = y && d && rill_read_f64(out[j], y, n) && rill_read_f64(p->weight[j], d, n);
    for (int64_t i = 0; read && i < n; i++) sum += y[i] * d[i];
    if (!read) sum = (double)NAN;
    rill_free(p->ctx, y);
    rill_free(p->ctx, d);
  }
  rill_scope_close(scope);
  return sum;
}

/* Runs f once with the tape, draws output gradients, and leaves dL/dx in the leaves. */
static bool run_tape(problem *p, uint64_t seed, char *message) {
  rill_tensor *out[OUTPUTS], *with[OUTPUTS], *grad[OUTPUTS];
  int n = 0;
  call(p, out);
  if (rilli_failed(p->ctx)) return false;
  rill_random_state stream = rill_random_get(p->ctx);
  rill_random_set(p->ctx, (rill_random_state){.seed = seed ^ 0x9e3779b97f4a7c15u});
  for (int j = 0; j < p->outputs; j++) {
    p->weight[j] = NULL;
    if (!out[j] || rill_is_void(out[j]) || rill_dtype_of(out[j]) != RILL_F64 ||
        !rill_requires_grad(out[j]))
      continue;
    p->weight[j] = rill_randn(p->ctx, RILL_F64, rill_shape_of(out[j]));
    with[n] = out[j];
    grad[n++] = p->weight[j];
  }
  rill_random_set(p->ctx, stream);
  if (n == 0) {
    snprintf(message, 256, "no output is f64 and depends on an input that requires a gradient");
    return false;
  }
  rill_backward_from(n, with, grad);
  return !rilli_failed(p->ctx);
}

/* ---- the report ---- */

static void keep_worst(rill_gradcheck_report *r, int most, rill_gradcheck_entry e) {
  int at = r->entries;
  while (at > 0 && !(r->entry[at - 1].error >= e.error)) at--;
  if (at >= most) return;
  int moved = (r->entries < most ? r->entries : most - 1) - at;
  memmove(r->entry + at + 1, r->entry + at, (size_t)moved * sizeof e);
  r->entry[at] = e;
  if (r->entries < most) r->entries++;
}

static void locate(rill_shape shape, int64_t flat, int64_t *index) {
  for (int d = shape.rank - 1; d >= 0; d--) {
    index[d] = flat % shape.size[d];
    flat /= shape.size[d];
  }
}

/* Central difference at one entry; x is written back as it was. */
static double numeric(const problem *p, rill_tensor *x, double *values, int64_t i, double step) {
  double before = values[i], h = step * fmax(1, fabs(before)), up, down;
  size_t bytes = (size_t)rill_count(x) * sizeof *values;
  volatile double high = before + h, low = before - h; /* the step that was really made */
  values[i] = high;
  rill_write(x, values, bytes);
  up = value(p);
  values[i] = low;
  rill_write(x, values, bytes);
  down = value(p);
  values[i] = before;
  rill_write(x, values, bytes);
  return (up - down) / (high - low);
}

static bool check_input(const problem *p, int input, rill_gradcheck_opts o,
                        rill_gradcheck_report *r) {
  rill_tensor *x = p->in[input];
  int64_t n = rill_count(x);
  double *values = rill_alloc(p->ctx, (size_t)n * sizeof *values),
         *tape = rill_alloc(p->ctx, (size_t)n * sizeof *tape);
  bool read = values && tape && rill_read_f64(x, values, n);
  if (read && rill_grad(x)) read = rill_read_f64(rill_grad(x), tape, n);
  double largest = 0;
  for (int64_t i = 0; read && i < n; i++) {
    if (!rill_grad(x)) tape[i] = 0;
    largest = fmax(largest, fabs(tape[i]));
  }
  int64_t checks = o.samples > 0 && o.samples < n ? o.samples : n;
  for (int64_t s = 0; read && s < checks; s++) {
    int64_t i = checks == n ? s : (int64_t)((double)s * (double)n / (double)checks);
    rill_gradcheck_entry e = {
        .input = input, .tape = tape[i], .numeric = numeric(p, x, values, i, o.step)};
    double difference = fabs(e.tape - e.numeric);
    double scale = fmax(fmax(fabs(e.tape), fabs(e.numeric)), 1e-3 * largest);
    bool fine = difference <= o.atol + o.rtol * fmax(scale, largest);
    e.error = difference <= o.atol ? 0 : difference / scale;
    if (!isfinite(e.tape) || !isfinite(e.numeric)) e.error = INFINITY;
    locate(rill_shape_of(x), i, e.index);
    r->checked++;
    r->passed = r->passed && fine && isfinite(e.error);
    if (!(e.error <= r->max_error)) r->max_error = e.error;
    keep_worst(r, o.worst, e);
    read = !rilli_failed(p->ctx);
  }
  rill_free(p->ctx, values);
  rill_free(p->ctx, tape);
  return read;
}

static bool acceptable(int inputs, rill_tensor *const *in, int outputs, char *message) {
  bool any = false;
  for (int i = 0; i < inputs; i++) {
    if (!in[i] || rill_is_void(in[i]) || !rill_requires_grad(in[i])) continue;
    if (in[i]->node || rill_dtype_of(in[i]) != RILL_F64) {
      snprintf(message, 256,
               "input %d requires a gradient and must be an f64 leaf; it is %s, made by %s", i,
               rill_dtype_name(rill_dtype_of(in[i])), in[i]->made_by);
      return false;
    }
    any = true;
  }
  if (!any) snprintf(message, 256, "no input requires a gradient");
  if (outputs < 1 || outputs > OUTPUTS) {
    snprintf(message, 256, "the number of outputs must be 1 .. %d, not %d", OUTPUTS, outputs);
    return false;
  }
  return any;
}

rill_gradcheck_report rill_gradcheck(rill_function *f, void *user, int inputs,
                                     rill_tensor *const *in, int outputs,
                                     rill_gradcheck_opts opts) {
  rill_gradcheck_report r = {.passed = false};
  if (opts.step <= 0) opts.step = 1e-5;
  if (opts.rtol <= 0) opts.rtol = 1e-6;
  if (opts.atol <= 0) opts.atol = 1e-8;
  if (opts.worst <= 0) opts.worst = 5;
  if (opts.worst > WORST) opts.worst = WORST;
  if (!acceptable(inputs, in, outputs, r.message)) return r;
  rill_tensor *first = NULL;
  for (int i = 0; i < inputs && !first; i++) first = in[i];
  problem p = {
      .f = f, .user = user, .inputs = inputs, .outputs = outputs, .in = in, .ctx = first->ctx};
  p.random = rill_random_get(p.ctx);
  for (int i = 0; i < inputs; i++)
    if (in[i] && !rill_is_void(in[i]) && in[i]->requires_grad) rill_zero_grad(in[i]);
  rill_scope *scope = rilli_scope_open_as(p.ctx, false);
  bool done = scope && run_tape(&p, opts.seed, r.message);
  r.passed = done;
  for (int i = 0; done && i < inputs; i++)
    if (in[i] && !rill_is_void(in[i]) && in[i]->requires_grad) done = check_input(&p, i, opts, &r);
  r.passed = r.passed && done;
  if (rilli_failed(p.ctx)) snprintf(r.message, sizeof r.message, "%.250s", rill_error(p.ctx));
  rill_scope_close(scope);
  rill_random_set(p.ctx, p.random);
  for (int i = 0; i < inputs; i++)
    if (in[i] && !rill_is_void(in[i]) && in[i]->requires_grad) rill_zero_grad(in[i]);
  return r;
}

void rill_gradcheck_print(FILE *file, const rill_gradcheck_report *r, const char *title) {
  if (r->message[0]) {
    fprintf(file, "%s: could not be checked: %s\n", title, r->message);
    return;
  }
  fprintf(file, "%s: %s, %lld entries, largest relative error %.1e\n", title,
          r->passed ? "gradients are right" : "WRONG gradients", (long long)r->checked,
          r->max_error);
  if (r->entries > 0)
    fprintf(file, "  %5s %-20s %22s %22s %10s\n", "input", "entry", "tape", "finite difference",
            "error");
  for (int i = 0; i < r->entries; i++) {
    const rill_gradcheck_entry *e = &r->entry[i];
    char where[64] = "";
    size_t used = 0;
    for (int d = 0; d < RILL_MAX_RANK && used < 50; d++)
      used += (size_t)snprintf(where + used, sizeof where - used, "%s%lld", d ? "," : "",
                               (long long)e->index[d]);
    fprintf(file, "  %5d %-20s %22.14g %22.14g %10.1e\n", e->input, where, e->tape, e->numeric,
            e->error);
  }
}
