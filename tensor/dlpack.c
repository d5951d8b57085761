/* DLPack both ways. Exported: one block holds the managed struct, sizes and strides, and one
 * reference to the tensor. Imported: a storage whose release calls the other library's deleter. */
#include "tensor/dlpack.h"

#include <stddef.h>

#include "tensor/checked.h"
#include "tensor/internal.h"

_Static_assert(sizeof(rill_dl_tensor) == 48 && sizeof(rill_dl_managed) == 64, "the DLPack ABI");
_Static_assert(offsetof(rill_dl_tensor, shape) == 24, "the DLPack ABI");

typedef struct {
  rill_dtype dtype;
  rill_dl_dtype dl;
} pairing;

static const pairing pairings[] = {
    {RILL_F32, {RILL_DL_FLOAT, 32, 1}},   {RILL_F64, {RILL_DL_FLOAT, 64, 1}},
    {RILL_BF16, {RILL_DL_BFLOAT, 16, 1}}, {RILL_I32, {RILL_DL_INT, 32, 1}},
    {RILL_I64, {RILL_DL_INT, 64, 1}},     {RILL_U8, {RILL_DL_UINT, 8, 1}},
    {RILL_BOOL, {RILL_DL_BOOL, 8, 1}},
};
enum { PAIRINGS = sizeof pairings / sizeof pairings[0] };

/* ---- out ---- */

typedef struct {
  rill_dl_managed managed;
  rill_tensor *tensor;
  int64_t size[RILL_MAX_RANK], stride[RILL_MAX_RANK];
} exported;

static void release_exported(rill_dl_managed *managed) {
  exported *e = managed->manager;
  rill_tensor *x = e->tensor;
  rill_context *ctx = x->ctx;
  rill_free(ctx, e);
  rilli_release(x);
}

rill_dl_managed *rill_to_dlpack(rill_tensor *x) {
  rilli_check(x, "rill_to_dlpack", "x");
  if (rilli_failed(x->ctx)) return NULL;
  if (rill_is_void(x)) {
    rill_fail(x->ctx, RILL_ERROR_ARGUMENT, "rill_to_dlpack: x is the void tensor");
    return NULL;
  }
  rill_synchronize(x->ctx);
  exported *e = rilli_failed(x->ctx) ? NULL : rill_alloc(x->ctx, sizeof *e);
  if (!e) return NULL;
  *e = (exported){.tensor = x};
  bool on_host = x->storage->device->kind == RILL_CPU;
  e->managed.tensor = (rill_dl_tensor){.data = x->array.data,
                                       .device = {on_host ? RILL_DL_CPU : RILL_DL_CUDA, 0},
                                       .ndim = x->array.rank,
                                       .shape = e->size,
                                       .strides = e->stride};
  for (int d = 0; d < x->array.rank; d++) {
    e->size[d] = x->array.size[d];
    e->stride[d] = x->array.stride[d];
  }
  for (int i = 0; i < PAIRINGS; i++)
    if (pairings[i].dtype == x->array.dtype) e->managed.tensor.dtype = pairings[i].dl;
  e->managed.manager = e;
  e->managed.deleter = release_exported;
  rilli_retain(x);
  return &e->managed;
}

/* ---- in ---- */

typedef struct {
  rill_context *ctx;
  rill_dl_managed *managed;
  bool owns; /* false until the import has succeeded */
} imported;

static void release_imported(void *owner) {
  imported *held = owner;
  if (!held->owns) return;
  if (held->managed->deleter) held->managed->deleter(held->managed);
  rill_free(held->ctx, held);
}

static bool refuse(rill_context *ctx, const char *what, long long value) {
  rill_fail(ctx, RILL_ERROR_ARGUMENT, "rill_from_dlpack: %s (%lld)", what, value);
  return false;
}

static bool find_dtype(rill_context *ctx, rill_dl_dtype dl, rill_dtype *dtype) {
  for (int i = 0; i < PAIRINGS; i++) {
    rill_dl_dtype p = pairings[i].dl;
    if (p.code != dl.code || p.bits != dl.bits || p.lanes != dl.lanes) continue;
    *dtype = pairings[i].dtype;
    return true;
  }
  rill_fail(ctx, RILL_ERROR_ARGUMENT,
            "rill_from_dlpack: elements of type code %d with %d bits and %d lanes have no dtype "
            "here",
            dl.code, dl.bits, dl.lanes);
  return false;
}

/* Sizes and strides; *bytes is the distance from the first to behind the last element. */
static bool read_layout(rill_context *ctx, const rill_dl_tensor *t, rill_array *a, size_t *bytes) {
  int64_t last = 0, reach, count;
  rill_shape shape = {.rank = t->ndim};
  if (t->ndim > 0 && !t->shape)
    return refuse(ctx, "shape is NULL for this number of axes", t->ndim);
  for (int d = 0; d < t->ndim; d++) {
    if (t->shape[d] < 0) return refuse(ctx, "a size is negative", (long long)t->shape[d]);
    shape.size[d] = t->shape[d];
  }
  if (!rill_shape_count(shape, &count)) return refuse(ctx, "too many elements; axes", t->ndim);
  rill_array_reshape(a, shape);
  for (int d = 0; d < t->ndim; d++) {
    if (t->strides) a->stride[d] = t->strides[d];
    if (a->stride[d] < 0) return refuse(ctx, "a stride is negative", (long long)a->stride[d]);
    if (count == 0) continue;
    if (!rilli_mul_i64(a->size[d] - 1, a->stride[d], &reach) || !rilli_add_i64(last, reach, &last))
      return refuse(ctx, "strides reach too far, at axis", d);
  }
  size_t elements = count == 0 ? 0 : (size_t)last + 1;
  if (!rilli_mul_size(elements, rill_dtype_size(a->dtype), bytes) || *bytes > INT64_MAX / 2)
    return refuse(ctx, "strides reach too far; elements", (long long)elements);
  return true;
}

static bool read_array(rill_context *ctx, const rill_dl_tensor *t, rill_array *a, size_t *bytes) {
  if (t->device.device_type != RILL_DL_CPU && t->device.device_type != RILL_DL_CUDA_HOST)
    return refuse(ctx, "memory is not on the CPU; its device type is", t->device.device_type);
  if (t->ndim < 0 || t->ndim > RILL_MAX_RANK)
    return refuse(ctx, "the number of axes is out of range", t->ndim);
  if (!find_dtype(ctx, t->dtype, &a->dtype) || !read_layout(ctx, t, a, bytes)) return false;
  if (!t->data && *bytes > 0)
    return refuse(ctx, "data is NULL for this many bytes", (long long)*bytes);
  if (t->data) a->data = (char *)t->data + t->byte_offset;
  uintptr_t misaligned = (uintptr_t)a->data % rill_dtype_size(a->dtype);
  if (misaligned)
    return refuse(ctx, "data is not aligned to its elements, by", (long long)misaligned);
  return true;
}

rill_tensor *rill_from_dlpack(rill_context *ctx, rill_dl_managed *managed) {
  rill_array array = {0};
  size_t bytes = 0;
  if (!managed) rilli_misuse("rill_from_dlpack", "managed", "is NULL");
  if (rilli_failed(ctx) || !read_array(ctx, &managed->tensor, &array, &bytes))
    return rilli_void(ctx);
  imported *held = rill_alloc(ctx, sizeof *held);
  if (!held) return rilli_void(ctx);
  *held = (imported){ctx, managed, false};
  if (!array.data) array.data = held; /* NULL would say that the operand is absent */
  rill_tensor *x =
      rilli_tensor_wrap(ctx, &array, bytes, release_imported, held, "rill_from_dlpack");
  if (rill_is_void(x)) {
    rill_free(ctx, held);
  } else {
    held->owns = true;
  }
  return x;
}
