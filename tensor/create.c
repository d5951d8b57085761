/* Tensors with values: constants, host data, counting, random numbers; and overwriting leaves. */
#include <math.h>

#include "tensor/context_impl.h"

static bool device_failed(rill_context *ctx, const char *function) {
  return rilli_device_failed(ctx, ctx->device, function);
}

static bool refuse_host_values(rill_context *ctx, const char *function) {
  return rilli_refuse_captured(
      ctx, function,
      "bring host values: they would be the same in every replay; rill_write "
      "them into a tensor before it");
}

static rill_tensor *filled(rill_context *ctx, rill_dtype dtype, rill_shape shape, double value,
                           const char *made_by) {
  rill_tensor *x = rilli_tensor_new(ctx, dtype, shape, made_by);
  if (x->storage && !ctx->device->fill(ctx->device, &x->array, value)) device_failed(ctx, made_by);
  return x;
}

rill_tensor *rill_zeros(rill_context *ctx, rill_dtype dtype, rill_shape shape) {
  return filled(ctx, dtype, shape, 0, "rill_zeros");
}
rill_tensor *rill_full(rill_context *ctx, rill_dtype dtype, rill_shape shape, double value) {
  return filled(ctx, dtype, shape, value, "rill_full");
}
rill_tensor *rill_scalar(rill_context *ctx, rill_dtype dtype, double value) {
  return filled(ctx, dtype, RILL_SCALAR, value, "rill_scalar");
}

static rill_tensor *from_host(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                              const void *values, const char *made_by) {
  rill_tensor *x = rilli_tensor_new(ctx, dtype, shape, made_by);
  if (!x->storage || x->storage->bytes == 0) return x;
  if (!values) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "%s: values is NULL for shape %s", made_by,
              rill_shape_print(shape).text);
  } else if (!ctx->device->upload(ctx->device, x->array.data, values, x->storage->bytes)) {
    device_failed(ctx, made_by);
  }
  return x;
}

rill_tensor *rill_from(rill_context *ctx, rill_dtype dtype, rill_shape shape, const void *values) {
  if (refuse_host_values(ctx, "rill_from")) return rilli_void(ctx);
  return from_host(ctx, dtype, shape, values, "rill_from");
}

rill_tensor *rill_arange(rill_context *ctx, rill_dtype dtype, int64_t count) {
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_tensor *x = rilli_tensor_new(ctx, dtype, RILL_SHAPE(count), "rill_arange");
  int64_t *values = x->storage ? rill_alloc(ctx, (size_t)count * sizeof *values) : NULL;
  for (int64_t i = 0; values && i < count; i++) values[i] = i;
  rill_tensor *counted =
      values ? from_host(ctx, RILL_I64, RILL_SHAPE(count), values, "rill_arange") : rilli_void(ctx);
  rill_free(ctx, values);
  bool done = counted->storage && ctx->device->copy(ctx->device, &x->array, &counted->array);
  x = done ? rill_hoist(x) : rilli_void(ctx);
  rill_scope_close(scope);
  return x;
}

static rill_tensor *random_tensor(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                                  rilli_random_kind kind, int64_t low, int64_t high,
                                  const char *made_by) {
  if (kind != RILLI_RANDOM_INTEGER && !rill_dtype_is_float(dtype)) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "%s: dtype %s is not f32, f64 or bf16", made_by,
              rill_dtype_name(dtype));
    return rilli_void(ctx);
  }
  rill_tensor *x = rilli_tensor_new(ctx, dtype, shape, made_by);
  if (!x->storage) return x;
  rill_random_state state = rill_random_take(ctx, (uint64_t)rill_count(x));
  if (!ctx->device->random(ctx->device, &x->array, kind, state, low, high))
    device_failed(ctx, made_by);
  return x;
}

rill_tensor *rill_randn(rill_context *ctx, rill_dtype dtype, rill_shape shape) {
  return random_tensor(ctx, dtype, shape, RILLI_RANDOM_NORMAL, 0, 0, "rill_randn");
}
rill_tensor *rill_rand(rill_context *ctx, rill_dtype dtype, rill_shape shape) {
  return random_tensor(ctx, dtype, shape, RILLI_RANDOM_UNIFORM, 0, 0, "rill_rand");
}
rill_tensor *rill_randint(rill_context *ctx, rill_dtype dtype, rill_shape shape, int64_t low,
                          int64_t high) {
  if (low >= high || high - low < 0) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_randint: [%lld, %lld) is no range of integers",
              (long long)low, (long long)high);
    return rilli_void(ctx);
  }
  return random_tensor(ctx, dtype, shape, RILLI_RANDOM_INTEGER, low, high, "rill_randint");
}

/* ---- overwriting ---- */

static bool writable(rill_tensor *x, const char *function) {
  rilli_check(x, function, "x");
  if (!x->storage || rilli_failed(x->ctx)) return false;
  if (x->node) {
    rill_fail(x->ctx, RILL_ERROR_STATE, "%s: x was computed by %s; only leaves may be overwritten",
              function, x->made_by);
    return false;
  }
  return true;
}

bool rill_write(rill_tensor *x, const void *values, size_t bytes) {
  if (!writable(x, "rill_write") || refuse_host_values(x->ctx, "rill_write")) return false;
  size_t have = (size_t)rill_count(x) * rill_dtype_size(x->array.dtype);
  if (have != bytes || (bytes && !values)) {
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT, "rill_write: x %s %s takes %zu bytes, %zu were given",
              rill_dtype_name(x->array.dtype), rill_shape_print(rill_shape_of(x)).text, have,
              values ? bytes : (size_t)0);
    return false;
  }
  rill_scope *scope = rill_scope_open_no_grad(x->ctx);
  if (!scope) return false;
  x->storage->version++;
  rill_tensor *y = from_host(x->ctx, x->array.dtype, rill_shape_of(x), values, "rill_write");
  bool done = y->storage && x->storage->device->copy(x->storage->device, &x->array, &y->array);
  rill_scope_close(scope);
  return done;
}

bool rill_assign(rill_tensor *x, rill_tensor *y) {
  rilli_check(y, "rill_assign", "y");
  if (!writable(x, "rill_assign") || !y->storage) return false;
  if (x->ctx != y->ctx || x->storage->device != y->storage->device ||
      !rill_shape_equal(rill_shape_of(x), rill_shape_of(y))) {
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT, "rill_assign: x %s on %s cannot take y %s on %s",
              rill_shape_print(rill_shape_of(x)).text, x->storage->device->name,
              rill_shape_print(rill_shape_of(y)).text, y->storage->device->name);
    return false;
  }
  x->storage->version++;
  return x->storage->device->copy(x->storage->device, &x->array, &y->array) ||
         device_failed(x->ctx, "rill_assign");
}

bool rill_fill(rill_tensor *x, double value) {
  if (!writable(x, "rill_fill")) return false;
  x->storage->version++;
  return x->storage->device->fill(x->storage->device, &x->array, value) ||
         device_failed(x->ctx, "rill_fill");
}
