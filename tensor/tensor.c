/* Tensor handles: making, counting, releasing; and looking at them. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#include "tensor/checked.h"
#include "tensor/context_impl.h"

/* ---- handles ---- */

rill_tensor *rilli_void(rill_context *ctx) { return &ctx->void_tensor; }
bool rill_is_void(const rill_tensor *x) {
  return rilli_check(x, "rill_is_void", "x")->storage == NULL;
}

/* Takes over one reference to `storage`, also on failure. */
static rill_tensor *handle(rill_context *ctx, rilli_storage *storage, const rill_array *array,
                           const char *made_by) {
  rill_tensor *x = rill_alloc(ctx, sizeof *x);
  if (!x) {
    rilli_storage_release(storage);
    return rilli_void(ctx);
  }
  *x = (rill_tensor){.magic = RILLI_ALIVE,
                     .refs = 1,
                     .ctx = ctx,
                     .storage = storage,
                     .array = *array,
                     .made_by = made_by};
  ctx->memory.live_tensors++;
  return rilli_scope_adopt(ctx, x);
}

static rill_tensor *tensor_on(rill_context *ctx, rilli_device *device, rill_dtype dtype,
                              rill_shape shape, const char *made_by) {
  int64_t count;
  size_t bytes;
  if (rilli_failed(ctx)) return rilli_void(ctx);
  if (rill_dtype_size(dtype) == 0) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "%s: dtype %d does not exist", made_by, (int)dtype);
    return rilli_void(ctx);
  }
  if (!rill_shape_count(shape, &count) || (uint64_t)count > SIZE_MAX ||
      !rilli_mul_size((size_t)count, rill_dtype_size(dtype), &bytes) || bytes > INT64_MAX / 2) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT,
              "%s: shape %s is not one: sizes must be >= 0, at most %d of them, and fit in memory",
              made_by, rill_shape_print(shape).text, RILL_MAX_RANK);
    return rilli_void(ctx);
  }
  rilli_storage *storage = rilli_storage_new(ctx, device, bytes, made_by);
  if (!storage) return rilli_void(ctx);
  rill_array array = {.data = storage->data, .dtype = dtype};
  rill_array_reshape(&array, shape);
  return handle(ctx, storage, &array, made_by);
}

rill_tensor *rilli_tensor_new(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                              const char *made_by) {
  return tensor_on(ctx, ctx->device, dtype, shape, made_by);
}

rill_tensor *rilli_tensor_view(rill_tensor *x, const rill_array *array, const char *made_by) {
  if (rill_is_void(x) || rilli_failed(x->ctx)) return rilli_void(x->ctx);
  x->storage->refs++;
  return handle(x->ctx, x->storage, array, made_by);
}

rill_tensor *rilli_tensor_wrap(rill_context *ctx, const rill_array *array, size_t bytes,
                               void (*release)(void *owner), void *owner, const char *made_by) {
  if (rilli_failed(ctx)) return rilli_void(ctx);
  rilli_storage *s = rill_alloc(ctx, sizeof *s);
  if (!s) return rilli_void(ctx);
  *s = (rilli_storage){.refs = 1,
                       .ctx = ctx,
                       .device = ctx->cpu,
                       .data = array->data,
                       .bytes = bytes,
                       .release = release,
                       .owner = owner};
  ctx->memory.live_bytes += (int64_t)bytes;
  return handle(ctx, s, array, made_by);
}

void rilli_retain(rill_tensor *x) {
  if (x->storage) x->refs++;
}

static void bury(rill_tensor *x) {
  rill_context *ctx = x->ctx;
  x->magic = RILLI_DEAD;
#ifdef RILL_DEBUG
  rill_free(ctx, ctx->graveyard[ctx->grave]);
  ctx->graveyard[ctx->grave] = x;
  ctx->grave = (ctx->grave + 1) % RILLI_GRAVEYARD;
#else
  rill_free(ctx, x);
#endif
}

void rilli_release(rill_tensor *x) {
  if (!x || !x->storage || --x->refs > 0) return;
  rill_context *ctx = x->ctx;
  rilli_storage *storage = x->storage;
  rilli_node *node = x->node;
  rill_tensor *grad = x->grad;
  ctx->memory.live_tensors--;
  bury(x);
  rilli_storage_release(storage);
  rilli_release(grad);
  rilli_node_release(ctx, node);
}

void rilli_node_retain(rilli_node *node) { node->refs++; }

/* A node's inputs have nodes of their own: the outermost call frees them one after the other. */
void rilli_node_release(rill_context *ctx, rilli_node *node) {
  if (!node || --node->refs > 0) return;
  node->next_dead = ctx->dead;
  ctx->dead = node;
  if (ctx->burying) return;
  ctx->burying = true;
  while (ctx->dead) {
    rilli_node *next = ctx->dead;
    ctx->dead = next->next_dead;
    next->free(ctx, next);
  }
  ctx->burying = false;
}

/* ---- looking ---- */

rill_context *rill_context_of(const rill_tensor *x) {
  return rilli_check(x, "rill_context_of", "x")->ctx;
}
rill_dtype rill_dtype_of(const rill_tensor *x) {
  return rilli_check(x, "rill_dtype_of", "x")->array.dtype;
}
rill_shape rill_shape_of(const rill_tensor *x) {
  return rill_array_shape(&rilli_check(x, "rill_shape_of", "x")->array);
}
int rill_rank(const rill_tensor *x) { return rilli_check(x, "rill_rank", "x")->array.rank; }
rill_array rill_array_of(const rill_tensor *x) {
  return rilli_check(x, "rill_array_of", "x")->array;
}

int64_t rill_count(const rill_tensor *x) {
  rilli_check(x, "rill_count", "x");
  return x->storage ? rill_array_count(&x->array) : 0;
}

int64_t rill_size(const rill_tensor *x, int axis) {
  rilli_check(x, "rill_size", "x");
  int a = rill_axis(axis, x->array.rank);
  if (a >= 0) return x->array.size[a];
  if (x->storage)
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT, "rill_size: axis %d is out of range for x %s", axis,
              rill_shape_print(rill_array_shape(&x->array)).text);
  return 0;
}

static bool device_failed(rill_tensor *x, const char *function) {
  return rilli_device_failed(x->ctx, x->storage->device, function);
}

static bool may_wait(rill_tensor *x, const char *function) {
  return !rilli_refuse_captured(x->ctx, function, "wait for the device: read after rill_replay");
}

/* x itself when it is row-major, else a copy. */
static rill_tensor *row_major(rill_tensor *x) {
  return rill_array_contiguous(&x->array) ? x : rill_copy(x);
}

bool rill_read(rill_tensor *x, void *values, size_t bytes) {
  rilli_check(x, "rill_read", "x");
  if (!x->storage || rilli_failed(x->ctx) || !may_wait(x, "rill_read")) return false;
  size_t have = (size_t)rill_count(x) * rill_dtype_size(x->array.dtype);
  if (have != bytes) {
    rill_fail(
        x->ctx, RILL_ERROR_ARGUMENT, "rill_read: x %s %s has %zu bytes, and room for %zu was given",
        rill_dtype_name(x->array.dtype), rill_shape_print(rill_shape_of(x)).text, have, bytes);
    return false;
  }
  rill_scope *scope = rill_scope_open_no_grad(x->ctx);
  if (!scope) return false;
  rill_tensor *flat = row_major(x);
  bool done =
      flat->storage && (bytes == 0 || flat->storage->device->download(flat->storage->device, values,
                                                                      flat->array.data, bytes));
  if (!done && flat->storage) device_failed(x, "rill_read");
  rill_scope_close(scope);
  return done;
}

bool rill_read_f64(rill_tensor *x, double *values, int64_t count) {
  rilli_check(x, "rill_read_f64", "x");
  if (!x->storage || rilli_failed(x->ctx)) return false;
  if (count != rill_count(x)) {
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT,
              "rill_read_f64: x %s has %lld elements, and room for %lld was given",
              rill_shape_print(rill_shape_of(x)).text, (long long)rill_count(x), (long long)count);
    return false;
  }
  rill_scope *scope = rill_scope_open_no_grad(x->ctx);
  if (!scope) return false;
  rill_tensor *wide = rilli_tensor_new(x->ctx, RILL_F64, rill_shape_of(x), "rill_read_f64");
  rilli_device *device = x->storage->device;
  bool done = wide->storage && device->copy(device, &wide->array, &x->array) &&
              rill_read(wide, values, (size_t)count * sizeof(double));
  rill_scope_close(scope);
  return done;
}

double rill_item(rill_tensor *x) {
  rilli_check(x, "rill_item", "x");
  double value = NAN;
  if (!x->storage) return value;
  if (rill_count(x) != 1) {
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT, "rill_item: x %s must have one element",
              rill_shape_print(rill_shape_of(x)).text);
    return value;
  }
  return rill_read_f64(x, &value, 1) ? value : (double)NAN;
}

/* ---- gradients ---- */

rill_tensor *rill_require_grad(rill_tensor *x) {
  rilli_check(x, "rill_require_grad", "x");
  if (!x->storage) return x;
  if (!rill_dtype_is_float(x->array.dtype)) {
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT,
              "rill_require_grad: x is %s; gradients need f32, f64 or bf16",
              rill_dtype_name(x->array.dtype));
  } else if (x->node) {
    rill_fail(x->ctx, RILL_ERROR_STATE,
              "rill_require_grad: x was computed by %s; only leaves can be marked (rill_detach "
              "makes one)",
              x->made_by);
  } else {
    x->requires_grad = true;
  }
  return x;
}

bool rill_requires_grad(const rill_tensor *x) {
  rilli_check(x, "rill_requires_grad", "x");
  return x->requires_grad || x->node != NULL;
}
rill_tensor *rill_grad(const rill_tensor *x) { return rilli_check(x, "rill_grad", "x")->grad; }

void rill_zero_grad(rill_tensor *x) {
  rilli_check(x, "rill_zero_grad", "x");
  rilli_release(x->grad);
  x->grad = NULL;
}

/* ---- values without history ---- */

rill_tensor *rill_detach(rill_tensor *x) {
  rilli_check(x, "rill_detach", "x");
  return rilli_tensor_view(x, &x->array, "rill_detach");
}

rill_tensor *rill_copy(rill_tensor *x) {
  rilli_check(x, "rill_copy", "x");
  if (!x->storage) return x;
  rilli_device *device = x->storage->device;
  rill_tensor *y = tensor_on(x->ctx, device, x->array.dtype, rill_shape_of(x), "rill_copy");
  if (y->storage && !device->copy(device, &y->array, &x->array)) device_failed(x, "rill_copy");
  return y;
}

rill_tensor *rill_to_device(rill_tensor *x, rill_device_kind kind) {
  rilli_check(x, "rill_to_device", "x");
  if (!x->storage || x->storage->device->kind == kind) return x;
  rill_context *ctx = x->ctx;
  if (!may_wait(x, "rill_to_device")) return rilli_void(ctx);
  if (kind != RILL_CPU && ctx->device->kind != kind) {
    rill_fail(ctx, RILL_ERROR_DEVICE,
              "rill_to_device: the context has no such device (it was made for %s)",
              ctx->device->name);
    return rilli_void(ctx);
  }
  rilli_device *target = kind == RILL_CPU ? ctx->cpu : ctx->device;
  rill_tensor *flat = row_major(x);
  rill_tensor *y = tensor_on(ctx, target, x->array.dtype, rill_shape_of(x), "rill_to_device");
  if (!y->storage || !flat->storage) return rilli_void(ctx);
  bool done = kind == RILL_CPU
                  ? flat->storage->device->download(flat->storage->device, y->array.data,
                                                    flat->array.data, y->storage->bytes)
                  : target->upload(target, y->array.data, flat->array.data, y->storage->bytes);
  if (!done) device_failed(x, "rill_to_device");
  return y;
}
