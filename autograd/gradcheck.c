/* Proving gradients: the tape against central differences, entry by entry.
 *
 * With random weights w on the outputs, L = sum_j <w_j, f_j(x)>. The tape gives dL/dx; the numeric
 * side moves one entry of x by +h and -h and adds w (f(x+h) - f(x-h)) output by output: the
 * difference is taken before the sum, so that large outputs that do not move cost no digits.
 *
 * Entries are moved in place, through a view of one element, and put back bit for bit. */
#include "autograd/autograd.h"

#include <math.h>
#include <string.h>

#include "autograd/graph_impl.h"
#include "tensor/random.h"

enum { WORST_MAX = 16 };

typedef struct {
  rill_function *f;
  void *user;
  int inputs, outputs;
  rill_tensor *const *in;
  rill_gradcheck_opts opts;
  rill_context *ctx;
  rill_random_state random; /* f starts from here in every call */
  rill_gradcheck_report *report;
  rill_tensor **out;             /* [outputs] of the latest call */
  int64_t *count;                /* [outputs] elements, 0 for outputs that are not floating */
  int64_t total;                 /* their sum */
  double *weight, *plus, *minus; /* [total] */
  int failures;
} checker;

static bool cannot(checker *c, const char *what, int which, const char *detail) {
  snprintf(c->report->message, sizeof c->report->message, "%s %d %s", what, which, detail);
  return false;
}

/* Copies the recorded error, if there is one, into the report. */
static bool usable(checker *c) {
  if (!rilli_failed(c->ctx)) return true;
  snprintf(c->report->message, sizeof c->report->message, "%.250s", rill_error(c->ctx));
  return false;
}

/* ---- the function ---- */

static bool call(checker *c) {
  rill_random_set(c->ctx, c->random);
  for (int j = 0; j < c->outputs; j++) c->out[j] = NULL;
  c->f(c->user, c->inputs, c->in, c->outputs, c->out);
  if (!usable(c)) return false;
  for (int j = 0; j < c->outputs; j++)
    if (!c->out[j] || rill_is_void(c->out[j])) return cannot(c, "output", j, "was not set");
  return true;
}

/* Calls f without a graph and copies all its floating outputs into `values`. */
static bool evaluate(checker *c, double *values) {
  rill_scope *scope = rill_scope_open_no_grad(c->ctx);
  bool done = scope && call(c);
  for (int j = 0; done && j < c->outputs; j++) {
    if (c->count[j] == 0) continue;
    if (rill_count(c->out[j]) != c->count[j]) {
      done = cannot(c, "output", j, "changes its size from call to call");
    } else {
      done = rill_read_f64(c->out[j], values, c->count[j]) || usable(c);
      values += c->count[j];
    }
  }
  rill_scope_close(scope);
  return done;
}

/* ---- the tape ---- */

static bool measure_outputs(checker *c) {
  c->total = 0;
  for (int j = 0; j < c->outputs; j++) {
    rill_dtype dtype = rill_dtype_of(c->out[j]);
    if (rill_dtype_is_float(dtype) && dtype != RILL_F64)
      return cannot(c, "output", j, "is not f64: differences would drown in its rounding");
    c->count[j] = dtype == RILL_F64 ? rill_count(c->out[j]) : 0;
    c->total += c->count[j];
  }
  return true;
}

/* Random weights of magnitude near 1, so that no output hides behind another. */
static bool make_weights(checker *c) {
  size_t bytes = (size_t)(c->total ? c->total : 1) * sizeof(double);
  c->weight = rill_alloc(c->ctx, bytes);
  c->plus = rill_alloc(c->ctx, bytes);
  c->minus = rill_alloc(c->ctx, bytes);
  if (!usable(c)) return false;
  for (int64_t i = 0; i < c->total; i++) {
    uint64_t bits = rill_random_bits(c->opts.seed, (uint64_t)i);
    double size = 0.5 + rill_random_unit_f64(bits);
    c->weight[i] = bits & 1u ? size : -size;
  }
  return true;
}

/* backward through the outputs that depend on an input; the others have gradient zero. */
static bool run_tape(checker *c) {
  rill_tensor **output = rill_alloc(c->ctx, (size_t)c->outputs * 2 * sizeof *output);
  if (!output) return usable(c);
  rill_tensor **gradient = output + c->outputs;
  int n = 0;
  const double *weight = c->weight;
  for (int j = 0; j < c->outputs; j++) {
    if (c->count[j] > 0 && rill_requires_grad(c->out[j])) {
      output[n] = c->out[j];
      gradient[n++] = rill_from(c->ctx, RILL_F64, rill_shape_of(c->out[j]), weight);
    }
    weight += c->count[j];
  }
  rill_backward_from(n, output, gradient);
  rill_free(c->ctx, output);
  return usable(c);
}

static bool tape_gradients(checker *c) {
  rill_scope *scope = rilli_scope_open_as(c->ctx, false);
  bool done = scope && call(c) && measure_outputs(c) && make_weights(c) && run_tape(c);
  rill_scope_close(scope);
  return done;
}

/* ---- one entry ---- */

static void keep_if_bad(checker *c, const rill_gradcheck_entry *entry) {
  rill_gradcheck_report *r = c->report;
  int room = c->opts.worst, at = r->entries;
  while (at > 0 && r->entry[at - 1].error < entry->error) at--;
  if (at >= room) return;
  int moved = (r->entries < room ? r->entries : room - 1) - at;
  memmove(&r->entry[at + 1], &r->entry[at], (size_t)moved * sizeof *entry);
  r->entry[at] = *entry;
  if (r->entries < room) r->entries++;
}

static void judge(checker *c, rill_gradcheck_entry *entry, double largest) {
  double scale = fmax(fmax(fabs(entry->tape), fabs(entry->numeric)), largest * 1e-3);
  double distance = fabs(entry->tape - entry->numeric);
  bool finite = isfinite(entry->tape) && isfinite(entry->numeric);
  entry->error = !finite ? (double)INFINITY : scale > 0 ? distance / scale : 0;
  bool close = finite && distance <= c->opts.atol + c->opts.rtol * scale;
  if (!close) c->failures++;
  if (entry->error > c->report->max_error) c->report->max_error = entry->error;
  c->report->checked++;
  keep_if_bad(c, entry);
}

/* The element of x at a row-major position. */
static rill_array element_of(const rill_tensor *x, int64_t position, int64_t *index) {
  rill_array a = {.data = x->array.data, .dtype = x->array.dtype};
  int64_t offset = 0;
  for (int d = x->array.rank - 1; d >= 0; d--) {
    index[d] = position % x->array.size[d];
    position /= x->array.size[d];
    offset += index[d] * x->array.stride[d];
  }
  a.data = (char *)a.data + offset * (int64_t)sizeof(double);
  return a;
}

static bool difference(checker *c, rill_tensor *x, const rill_array *element, double value,
                       double *slope) {
  rilli_device *device = x->storage->device;
  double h = c->opts.step * fmax(1, fabs(value));
  double above = value + h, below = value - h;
  bool done = device->fill(device, element, above) && evaluate(c, c->plus) &&
              device->fill(device, element, below) && evaluate(c, c->minus);
  device->fill(device, element, value);
  double sum = 0;
  for (int64_t i = 0; i < c->total; i++) sum += c->weight[i] * (c->plus[i] - c->minus[i]);
  *slope = sum / (above - below);
  return done;
}

static bool check_input(checker *c, int i, double *value, double *tape) {
  rill_tensor *x = c->in[i];
  int64_t count = rill_count(x), samples = c->opts.samples;
  if (count == 0) return true;
  double largest = 0;
  if (!rill_read_f64(x, value, count)) return usable(c);
  memset(tape, 0, (size_t)count * sizeof *tape);
  if (rill_grad(x) && !rill_read_f64(rill_grad(x), tape, count)) return usable(c);
  for (int64_t k = 0; k < count; k++) largest = fmax(largest, fabs(tape[k]));
  if (samples <= 0 || samples > count) samples = count;
  for (int64_t s = 0; s < samples; s++) {
    /* Evenly spread, and the last entry is one of them. */
    int64_t k =
        samples == 1 ? 0 : (int64_t)((double)s * (double)(count - 1) / (double)(samples - 1));
    rill_gradcheck_entry entry = {.input = i, .tape = tape[k]};
    rill_array element = element_of(x, k, entry.index);
    if (!difference(c, x, &element, value[k], &entry.numeric)) return false;
    judge(c, &entry, largest);
  }
  return true;
}

/* ---- the check ---- */

static bool is_checked(const rill_tensor *x) { return x && x->requires_grad; }

static bool check_operands(checker *c) {
  int checked = 0;
  for (int i = 0; i < c->inputs; i++) {
    const rill_tensor *x = c->in[i];
    if (!x) continue;
    if (rill_is_void(x)) return cannot(c, "input", i, "is void");
    if (x->node) return cannot(c, "input", i, "was computed; only leaves can be moved");
    if (!x->requires_grad) continue;
    if (x->array.dtype != RILL_F64)
      return cannot(c, "input", i, "requires a gradient but is not f64");
    checked++;
  }
  if (checked == 0) return cannot(c, "none of the", c->inputs, "inputs requires a gradient");
  return c->outputs > 0 || cannot(c, "there are", c->outputs, "outputs");
}

static bool check_all(checker *c) {
  int64_t largest = 1;
  for (int i = 0; i < c->inputs; i++)
    if (is_checked(c->in[i]) && rill_count(c->in[i]) > largest) largest = rill_count(c->in[i]);
  double *value = rill_alloc(c->ctx, (size_t)largest * 2 * sizeof *value);
  c->out = rill_alloc(c->ctx, (size_t)(c->outputs) * sizeof(rill_tensor *));
  c->count = rill_alloc(c->ctx, (size_t)(c->outputs) * sizeof *c->count);
  bool done = usable(c) && tape_gradients(c);
  for (int i = 0; done && i < c->inputs; i++)
    if (is_checked(c->in[i])) done = check_input(c, i, value, value + largest);
  rill_free(c->ctx, value);
  rill_free(c->ctx, c->out);
  rill_free(c->ctx, c->count);
  rill_free(c->ctx, c->weight);
  rill_free(c->ctx, c->plus);
  rill_free(c->ctx, c->minus);
  return done;
}

/* The gradients the inputs have now are set aside, and put back at the end. */
static bool check_aside(checker *c) {
  rill_tensor **aside = rill_alloc(c->ctx, (size_t)c->inputs * sizeof *aside);
  if (!aside) return usable(c);
  for (int i = 0; i < c->inputs; i++) {
    aside[i] = c->in[i] ? c->in[i]->grad : NULL;
    if (c->in[i]) c->in[i]->grad = NULL;
  }
  bool done = check_all(c);
  for (int i = 0; i < c->inputs; i++)
    if (c->in[i]) rill_zero_grad(c->in[i]);
  for (int i = 0; i < c->inputs; i++)
    if (aside[i]) c->in[i]->grad = aside[i];
  rill_free(c->ctx, aside);
  return done;
}

static rill_gradcheck_opts with_defaults(rill_gradcheck_opts o) {
  if (!(o.step > 0)) o.step = 1e-5;
  if (!(o.rtol > 0)) o.rtol = 1e-6;
  if (!(o.atol > 0)) o.atol = 1e-8;
  if (o.worst <= 0) o.worst = 5;
  if (o.worst > WORST_MAX) o.worst = WORST_MAX;
  return o;
}

rill_gradcheck_report rill_gradcheck(rill_function *f, void *user, int inputs,
                                     rill_tensor *const *in, int outputs,
                                     rill_gradcheck_opts opts) {
  rill_gradcheck_report report = {0};
  checker c = {.f = f,
               .user = user,
               .inputs = inputs,
               .outputs = outputs,
               .in = in,
               .opts = with_defaults(opts),
               .report = &report};
  for (int i = 0; i < inputs; i++) {
    if (!in[i]) continue;
    rilli_check(in[i], "rill_gradcheck", "an input");
    if (!c.ctx) c.ctx = in[i]->ctx;
    if (c.ctx != in[i]->ctx)
      rilli_misuse("rill_gradcheck", "an input", "belongs to another context");
  }
  if (!c.ctx) rilli_misuse("rill_gradcheck", "in", "has no tensor");
  c.random = rill_random_get(c.ctx);
  bool done = usable(&c) && check_operands(&c) && check_aside(&c);
  rill_random_set(c.ctx, c.random);
  report.passed = done && c.failures == 0;
  return report;
}

void rill_gradcheck_print(FILE *file, const rill_gradcheck_report *report, const char *title) {
  fprintf(file, "%s: %s", title, report->passed ? "passed" : "FAILED");
  fprintf(file, ", %lld entries, largest error %.2e\n", (long long)report->checked,
          report->max_error);
  if (report->message[0]) fprintf(file, "  %s\n", report->message);
  if (report->entries == 0) return;
  fprintf(file, "  input  index             tape              numeric           error\n");
  for (int e = 0; e < report->entries; e++) {
    const rill_gradcheck_entry *entry = &report->entry[e];
    char index[192] = "";
    size_t used = 0;
    int rank = RILL_MAX_RANK;
    while (rank > 1 && entry->index[rank - 1] == 0) rank--;
    for (int d = 0; d < rank && used + 24 < sizeof index; d++)
      used += (size_t)snprintf(index + used, sizeof index - used, "%s%lld", d ? ", " : "",
                               (long long)entry->index[d]);
    fprintf(file, "  %5d  %-16s  %16.9e  %16.9e  %.2e\n", entry->input, index, entry->tape,
            entry->numeric, entry->error);
  }
}
