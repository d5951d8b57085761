/* rill_apply: from operands to results.
 *
 *   check operands -> infer -> (view | kernel | compose) -> record the node -> hoist the outputs
 *
 * Everything happens in a scope of its own, so that a refusal or failure leaves nothing behind. */
#include <stdarg.h>
#include <string.h>

#include "autograd/graph_impl.h"
#include "tensor/scratch.h"

enum { INPUTS_ON_STACK = 16 };

typedef struct {
  const rill_op *op;
  int inputs;
  rill_tensor *const *in;
  const void *attr;
  rill_context *ctx;
  rilli_device *device;
  rill_array *array; /* [inputs] */
  rill_infer shape;
  bool tracked; /* a gradient will flow */
  char message[256];
} application;

/* ---- messages ---- */

static void format_message(char *to, size_t room, const char *format, va_list args) {
  vsnprintf(to, room, format, args);
}

bool rill_refuse(rill_infer *q, const char *format, ...) {
  va_list args;
  va_start(args, format);
  format_message(q->message, sizeof q->message, format, args);
  va_end(args);
  return false;
}

bool rill_kernel_fail(const rill_call *call, const char *format, ...) {
  va_list args;
  va_start(args, format);
  format_message(call->message, 256, format, args);
  va_end(args);
  return false;
}

bool rill_infer_output(rill_infer *q, int i, rill_dtype dtype, rill_shape shape) {
  q->dtype[i] = dtype;
  q->shape[i] = shape;
  return true;
}

static int names_count(const char *const *name, int max) {
  int n = 0;
  while (n < max && name[n]) n++;
  return n;
}

static bool is_variadic(const rill_op *op) {
  int n = names_count(op->in, RILL_MAX_INPUTS);
  size_t length = n ? strlen(op->in[n - 1]) : 0;
  return length > 3 && strcmp(op->in[n - 1] + length - 3, "...") == 0;
}

static const char *input_name(const rill_op *op, int i) {
  int n = names_count(op->in, RILL_MAX_INPUTS);
  return n == 0 ? "x" : op->in[i < n ? i : n - 1];
}

static bool is_optional(const rill_op *op, int i) {
  const char *name = input_name(op, i);
  size_t length = strlen(name);
  return length > 0 && name[length - 1] == '?';
}

/* "a f32 [2, 3], b f32 [4]" */
static void describe_operands(const application *a, char *to, size_t room) {
  size_t used = 0;
  to[0] = '\0';
  for (int i = 0; i < a->inputs && used + 1 < room; i++) {
    if (!a->in[i]) continue;
    const char *name = input_name(a->op, i);
    int n = snprintf(to + used, room - used, "%s%.*s %s %s", used ? ", " : "",
                     (int)strcspn(name, "?."), name, rill_dtype_name(a->in[i]->array.dtype),
                     rill_shape_print(rill_array_shape(&a->in[i]->array)).text);
    used += n > 0 ? (size_t)n : 0;
  }
}

static void report(const application *a, rill_status status, const char *message) {
  char operands[512];
  describe_operands(a, operands, sizeof operands);
  rill_fail(a->ctx, status, "%s: %s (%s)", a->op->name, message, operands);
}

/* What the device says; it may name the op itself. */
static void report_device(const application *a) {
  rilli_device *device = a->device;
  size_t n = strlen(a->op->name);
  const char *why = device->why;
  if (strncmp(why, a->op->name, n) == 0 && strncmp(why + n, ": ", 2) == 0) why += n + 2;
  report(a, device->status ? device->status : RILL_ERROR_DEVICE, why);
  device->why = NULL;
}

/* ---- operands ---- */

/* Finds context and device; false when the result is void without an error of ours. Misuse that no
 * context can record (NULL for a required operand, operands of two contexts) aborts. */
static bool check_operands(application *a) {
  int named = names_count(a->op->in, RILL_MAX_INPUTS);
  bool usable = true;
  for (int i = 0; i < a->inputs; i++) {
    if (!a->in[i] && i < named && is_optional(a->op, i)) continue;
    rilli_check(a->in[i], a->op->name, input_name(a->op, i));
    if (!a->ctx) a->ctx = a->in[i]->ctx;
    if (a->ctx != a->in[i]->ctx)
      rilli_misuse(a->op->name, input_name(a->op, i), "belongs to another context");
    usable = usable && a->in[i]->storage;
  }
  if (!a->ctx) rilli_check(NULL, a->op->name, input_name(a->op, 0));
  if (!usable || rilli_failed(a->ctx)) return false;
  if (is_variadic(a->op) ? a->inputs < named - 1 : a->inputs != named) {
    snprintf(a->message, sizeof a->message, "takes %d operands, %d were given", named, a->inputs);
    report(a, RILL_ERROR_ARGUMENT, a->message);
    return false;
  }
  for (int i = 0; i < a->inputs; i++) {
    if (!a->in[i]) continue;
    if (!a->device) a->device = a->in[i]->storage->device;
    if (a->device != a->in[i]->storage->device) {
      snprintf(a->message, sizeof a->message,
               "operands are on two devices, %s and %s; rill_to_device moves them", a->device->name,
               a->in[i]->storage->device->name);
      report(a, RILL_ERROR_ARGUMENT, a->message);
      return false;
    }
  }
  return true;
}

static bool infer(application *a) {
  for (int i = 0; i < a->inputs; i++) {
    a->array[i] = a->in[i] ? a->in[i]->array : (rill_array){.rank = -1};
    a->tracked = a->tracked || rilli_tracks(a->in[i]);
  }
  a->tracked = a->tracked && rill_grad_enabled(a->ctx) && !a->op->no_grad && !a->op->writes;
  a->shape = (rill_infer){.op = a->op,
                          .inputs = a->inputs,
                          .in = a->array,
                          .attr = a->attr,
                          .env = &a->device->env,
                          .training = a->tracked,
                          .outputs = names_count(a->op->out, RILL_MAX_OUTPUTS)};
  if (a->op->infer(&a->shape)) return true;
  report(a, RILL_ERROR_ARGUMENT, a->shape.message[0] ? a->shape.message : "refused");
  return false;
}

/* ---- the three ways to a result ---- */

static bool run_view(application *a, rill_tensor **out) {
  for (int attempt = 0; attempt < 2; attempt++) {
    rill_tensor *x = attempt ? rill_copy(a->in[0]) : a->in[0];
    rill_array view = {.data = x->array.data, .dtype = a->shape.dtype[0]};
    rill_array_reshape(&view, a->shape.shape[0]);
    if (a->op->view(&x->array, a->attr, &view)) {
      out[0] = rilli_tensor_view(x, &view, a->op->name);
      return true;
    }
  }
  return false;
}

static bool overwrites(const rill_op *op, int i) {
  return op->writes == RILL_WRITES_ALL || (i < 32 && (op->writes >> i & 1u));
}

static bool make_contiguous(application *a) {
  for (int i = 0; !a->op->strided && i < a->inputs; i++) {
    if (!a->in[i] || rill_array_contiguous(&a->array[i])) continue;
    if (overwrites(a->op, i)) {
      report(a, RILL_ERROR_ARGUMENT, "an operand that is overwritten must be contiguous");
      return false;
    }
    a->array[i] = rill_copy(a->in[i])->array;
  }
  return !rilli_failed(a->ctx);
}

static const rill_kernel *find_kernel(const application *a, const rill_call *call) {
  for (const rill_kernel *k = a->op->kernels; k->run; k++)
    if (k->device == a->device->kind && (!k->fits || k->fits(call))) return k;
  return NULL;
}

static rill_call make_call(application *a, const rill_array *out) {
  return (rill_call){.op = a->op,
                     .inputs = a->inputs,
                     .outputs = a->shape.outputs,
                     .in = a->array,
                     .out = out,
                     .attr = a->attr,
                     .env = &a->device->env,
                     .message = a->message};
}

/* False when no kernel fits. Failures are recorded in the context. */
static bool run_kernel(application *a, rill_tensor **out) {
  rill_array array[RILL_MAX_OUTPUTS] = {{0}};
  for (int j = 0; j < a->shape.outputs; j++) {
    array[j].dtype = a->shape.dtype[j];
    rill_array_reshape(&array[j], a->shape.shape[j]);
  }
  rill_call call = make_call(a, array);
  const rill_kernel *kernel = find_kernel(a, &call);
  if (!kernel) return false;
  if (!make_contiguous(a)) return true;
  for (int j = 0; j < a->shape.outputs; j++) {
    out[j] = rilli_tensor_new(a->ctx, a->shape.dtype[j], a->shape.shape[j], a->op->name);
    if (rill_is_void(out[j])) return true;
    array[j] = out[j]->array;
  }
  bool done = kernel->run(&call);
#ifdef RILL_DEBUG
  /* What goes wrong on a device shows when the host waits: here it can still be named. */
  done = done && (a->device->capturing || a->device->synchronize(a->device));
#endif
  rilli_scratch_release(&a->device->env);
  if (done) {
    for (int i = 0; i < a->inputs; i++)
      if (a->in[i] && overwrites(a->op, i)) a->in[i]->storage->version++;
  } else if (a->message[0]) {
    report(a, RILL_ERROR_ARGUMENT, a->message);
  } else if (a->device->why) {
    report_device(a);
  } else {
    report(a, RILL_ERROR_MEMORY, "out of memory for scratch space");
  }
  return true;
}

static bool run_compose(application *a, rill_tensor **out) {
  if (!a->op->compose) {
    snprintf(a->message, sizeof a->message, "no kernel for %s", a->device->name);
    report(a, RILL_ERROR_ARGUMENT, a->message);
    return false;
  }
  bool own_derivative = a->op->vjp != NULL;
  rill_scope *scope = own_derivative ? rill_scope_open_no_grad(a->ctx) : rill_scope_open(a->ctx);
  rill_compose c = {.inputs = a->inputs, .in = a->in, .attr = a->attr, .ctx = a->ctx, .out = out};
  if (scope) a->op->compose(&c);
  for (int j = 0; j < a->shape.outputs; j++) {
    if (!out[j] || rilli_failed(a->ctx)) continue;
    bool fresh = rilli_in_scope(out[j]) && !out[j]->node; /* not an operand handed back */
    out[j] = rill_hoist(own_derivative && !fresh ? rill_detach(out[j]) : out[j]);
  }
  rill_scope_close(scope);
  a->tracked = a->tracked && own_derivative;
  return !rilli_failed(a->ctx);
}

static void run(application *a, rill_tensor **out) {
  if (!infer(a)) return;
  bool done = a->op->view ? run_view(a, out) : run_kernel(a, out) || run_compose(a, out);
  if (!done || rilli_failed(a->ctx) || !a->tracked || !a->op->vjp) return;
  rilli_graph_attach(a->op, a->inputs, a->in, a->attr, a->shape.outputs, out);
}

void rill_apply_all(const rill_op *op, int inputs, rill_tensor *const *in, const void *attr,
                    rill_tensor **out) {
  rill_array on_stack[INPUTS_ON_STACK];
  application a = {.op = op, .inputs = inputs, .in = in, .attr = attr, .array = on_stack};
  int named = names_count(op->out, RILL_MAX_OUTPUTS);
  for (int j = 0; j < named; j++) out[j] = NULL;
  rill_scope *scope = NULL;
  rill_array *heap = NULL;
  if (check_operands(&a) && (scope = rill_scope_open(a.ctx)) != NULL) {
    if (inputs > INPUTS_ON_STACK)
      a.array = heap = rill_alloc(a.ctx, (size_t)inputs * sizeof(rill_array));
    if (a.array) run(&a, out);
  }
  bool failed = rilli_failed(a.ctx);
  for (int j = 0; j < named; j++)
    out[j] = failed || !out[j] ? rilli_void(a.ctx) : rill_hoist(out[j]);
  rill_free(a.ctx, heap);
  rill_scope_close(scope);
}

rill_tensor *rill_apply(const rill_op *op, int inputs, rill_tensor *const *in, const void *attr) {
  rill_tensor *out[RILL_MAX_OUTPUTS];
  rill_apply_all(op, inputs, in, attr, out);
  return op->out[0] ? out[0] : in[0];
}

const char *rill_op_kernel_used(const rill_op *op, int inputs, rill_tensor *const *in,
                                const void *attr, char why[256]) {
  rill_array on_stack[INPUTS_ON_STACK];
  application a = {.op = op, .inputs = inputs, .in = in, .attr = attr, .array = on_stack};
  why[0] = '\0';
  if (inputs > INPUTS_ON_STACK || !check_operands(&a)) {
    snprintf(why, 256, "operands were refused");
    return NULL;
  }
  for (int i = 0; i < inputs; i++) a.array[i] = in[i] ? in[i]->array : (rill_array){.rank = -1};
  a.shape = (rill_infer){.op = op,
                         .inputs = inputs,
                         .in = a.array,
                         .attr = attr,
                         .env = &a.device->env,
                         .outputs = names_count(op->out, RILL_MAX_OUTPUTS)};
  if (!op->infer(&a.shape)) {
    snprintf(why, 256, "%s", a.shape.message);
    return NULL;
  }
  if (op->view) return "view";
  rill_array array[RILL_MAX_OUTPUTS] = {{0}};
  for (int j = 0; j < a.shape.outputs; j++) {
    array[j].dtype = a.shape.dtype[j];
    rill_array_reshape(&array[j], a.shape.shape[j]);
  }
  rill_call call = make_call(&a, array);
  const rill_kernel *kernel = find_kernel(&a, &call);
  return kernel ? kernel->name : "compose";
}
