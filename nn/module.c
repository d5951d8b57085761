/* Modules. Each holds the list of what was registered in it and below it, so that a list is at hand
 * for any part of a model; registering appends to the lists of all modules above.
 *
 *   net            params: embed.weight, block.0.w, block.1.w
 *    `- block.0    params: block.0.w
 *    `- block.1    params: block.1.w
 *
 * A list that is full moves to one of twice the size, and the old one stays as it is: what was
 * given out remains valid. Everything is memory of the context. */
#include "nn/module.h"

#include <stdarg.h>
#include <string.h>

#include "nn/nn_impl.h"
#include "ops/ops.h"

typedef struct {
  int64_t count, capacity;
  rill_parameter *at;
} list;

struct rill_module {
  rill_context *ctx;
  rill_module *outer; /* NULL for the outermost */
  rill_module_opts opts;
  const char *path;
  list params, buffers;
};

static const double DEFAULT_STD = 0.02;

/* ---- making ---- */

rill_module *rill_module_new_with(rill_context *ctx, rill_module_opts opts) {
  if (!rill_dtype_is_float(opts.dtype) || !(opts.std >= 0)) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT,
              "rill_module_new: dtype must be f32, f64 or bf16 (not %s) and std >= 0 (not %g)",
              rill_dtype_name(opts.dtype), opts.std);
    return NULL;
  }
  rill_module *m = rill_owned_alloc(ctx, sizeof *m);
  if (!m) return NULL;
  *m = (rill_module){.ctx = ctx, .opts = opts, .path = ""};
  if (opts.std == 0) m->opts.std = DEFAULT_STD;
  return m;
}

rill_module *rill_module_new(rill_context *ctx) {
  return rill_module_new_with(ctx, (rill_module_opts){0});
}

/* path.name, in memory of the context. */
static const char *join(const rill_module *m, const char *name) {
  size_t a = strlen(m->path), b = strlen(name);
  char *path = rill_owned_alloc(m->ctx, a + b + 2);
  if (!path) return NULL;
  memcpy(path, m->path, a);
  if (a) path[a++] = '.';
  memcpy(path + a, name, b + 1);
  return path;
}

rill_module *rill_submodule(rill_module *m, const char *name, ...) {
  if (!m) return NULL;
  char text[RILLI_NAME_LENGTH];
  va_list args;
  va_start(args, name);
  int length = vsnprintf(text, sizeof text, name, args);
  va_end(args);
  if (length <= 0 || (size_t)length >= sizeof text) {
    rill_fail(m->ctx, RILL_ERROR_ARGUMENT,
              "rill_submodule: a name must have 1 to %zu characters; one inside '%s' has %d",
              sizeof text - 1, m->path, length);
    return NULL;
  }
  const char *path = join(m, text);
  rill_module *sub = path ? rill_owned_alloc(m->ctx, sizeof *sub) : NULL;
  if (sub) *sub = (rill_module){.ctx = m->ctx, .outer = m, .opts = m->opts, .path = path};
  return sub;
}

/* ---- registering ---- */

static bool append(rill_context *ctx, list *l, rill_parameter entry) {
  if (l->count == l->capacity) {
    int64_t capacity = l->capacity ? 2 * l->capacity : 8;
    rill_parameter *at = rill_owned_alloc(ctx, (size_t)capacity * sizeof *at);
    if (!at) return false;
    if (l->count) memcpy(at, l->at, (size_t)l->count * sizeof *at);
    l->at = at;
    l->capacity = capacity;
  }
  l->at[l->count++] = entry;
  return true;
}

/* The path of a new entry; NULL, and an error, when there is one of that name. */
static const char *new_path(const rill_module *m, const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length >= RILLI_NAME_LENGTH) {
    rill_fail(m->ctx, RILL_ERROR_ARGUMENT,
              "rill_param: a name must have 1 to %d characters; one in '%s' has %zu",
              RILLI_NAME_LENGTH - 1, m->path, length);
    return NULL;
  }
  const char *path = join(m, name);
  if (path && (rill_params_find(rill_params(m), path) || rill_params_find(rill_buffers(m), path))) {
    rill_fail(m->ctx, RILL_ERROR_ARGUMENT, "rill_param: there is a parameter '%s' already", path);
    return NULL;
  }
  return path;
}

static void add(rill_module *m, bool trained, rill_parameter entry) {
  for (; m; m = m->outer)
    if (!append(m->ctx, trained ? &m->params : &m->buffers, entry)) return;
}

static rill_tensor *shape_alone(rill_context *ctx, rill_dtype dtype, rill_shape shape) {
  return rill_expand(rill_zeros(ctx, dtype, RILL_SCALAR), shape);
}

rill_tensor *rill_param_as(rill_module *m, const char *name, rill_dtype dtype, rill_shape shape,
                           rill_init init) {
  if (!m) return NULL;
  rill_scope *scope = rill_scope_open_no_grad(m->ctx);
  const char *path = new_path(m, name);
  rill_tensor *x = m->opts.shapes_only ? shape_alone(m->ctx, dtype, shape)
                                       : rill_init_tensor(m->ctx, dtype, shape, init);
  x = rill_keep(rill_require_grad(x));
  if (path && !rill_is_void(x))
    add(m, true, (rill_parameter){.name = path, .value = x, .no_decay = shape.rank < 2});
  rill_scope_close(scope);
  return x;
}

rill_tensor *rill_param(rill_module *m, const char *name, rill_shape shape, rill_init init) {
  return m ? rill_param_as(m, name, m->opts.dtype, shape, init) : NULL;
}

rill_tensor *rill_buffer(rill_module *m, const char *name, rill_tensor *x) {
  if (!m) return x;
  const char *path = new_path(m, name);
  x = rill_keep(x);
  if (path && !rill_is_void(x)) add(m, false, (rill_parameter){.name = path, .value = x});
  return x;
}

/* ---- lists ---- */

rill_parameters rill_params(const rill_module *m) {
  return m ? (rill_parameters){m->ctx, m->params.count, m->params.at} : (rill_parameters){0};
}
rill_parameters rill_buffers(const rill_module *m) {
  return m ? (rill_parameters){m->ctx, m->buffers.count, m->buffers.at} : (rill_parameters){0};
}

int64_t rill_params_count(rill_parameters params) {
  int64_t count = 0;
  for (int64_t i = 0; i < params.count; i++) count += rill_count(params.at[i].value);
  return count;
}

const rill_parameter *rill_params_find(rill_parameters params, const char *path) {
  for (int64_t i = 0; i < params.count; i++)
    if (strcmp(params.at[i].name, path) == 0) return &params.at[i];
  return NULL;
}

void rill_params_zero_grad(rill_parameters params) {
  for (int64_t i = 0; i < params.count; i++) rill_zero_grad(params.at[i].value);
}

rill_context *rill_module_context(const rill_module *m) { return m ? m->ctx : NULL; }
const char *rill_module_path(const rill_module *m) { return m ? m->path : ""; }
rill_module_opts rill_module_options(const rill_module *m) {
  return m ? m->opts : (rill_module_opts){0};
}

/* ---- around a layer's body ---- */

rill_scope *rill_module_enter(const rill_module *m, rill_tensor *x) {
  rill_context *ctx = rill_context_of(x);
  rill_enter(ctx, rill_module_path(m));
  return rill_scope_open(ctx);
}

rill_tensor *rill_module_leave(const rill_module *m, rill_scope *scope, rill_tensor *y) {
  (void)m;
  rill_context *ctx = rill_context_of(y);
  y = rill_hoist(y);
  rill_scope_close(scope);
  rill_leave(ctx);
  return y;
}
