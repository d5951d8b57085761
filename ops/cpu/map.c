/* The driver of elementwise kernels: strides, broadcasting and bf16 around a function of rows. */
#include "ops/cpu/map.h"

#include "tensor/iterate.h"

enum { PIECE = 512, OPERANDS = RILL_ITERATE_MAX };

typedef struct {
  int outputs, inputs;
  rill_dtype dtype[OPERANDS]; /* outputs first */
  rilli_map_fn *function;
  const void *attr;
} job;

typedef struct {
  _Alignas(64) char bytes[OPERANDS][PIECE * 8];
} buffers;

/* Size of an element as the function sees it. */
static int64_t real_size(rill_dtype dtype) {
  return dtype == RILL_BF16 ? 4 : (int64_t)rill_dtype_size(dtype);
}

RILLI_CLONES static void widen(int64_t n, const uint16_t *restrict from, uint32_t *restrict to) {
  for (int64_t i = 0; i < n; i++) to[i] = (uint32_t)from[i] << 16;
}

RILLI_CLONES static void narrow(int64_t n, const uint32_t *restrict from, uint16_t *restrict to) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t u = from[i], rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    to[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
  }
}

/* n elements from p into a buffer, bf16 as f32. */
static void load(rill_dtype dtype, const char *p, int64_t step, int64_t n, char *to) {
  if (dtype == RILL_BF16 && step == 2) {
    widen(n, (const void *)p, (void *)to);
    return;
  }
  switch (dtype) {
    case RILL_BF16:
      for (int64_t i = 0; i < n; i++, p += step)
        ((float *)(void *)to)[i] = rill_bf16_to_f32(*(const rill_bf16 *)(const void *)p);
      return;
    case RILL_F32:
    case RILL_I32:
      for (int64_t i = 0; i < n; i++, p += step) memcpy(to + 4 * i, p, 4);
      return;
    case RILL_F64:
    case RILL_I64:
      for (int64_t i = 0; i < n; i++, p += step) memcpy(to + 8 * i, p, 8);
      return;
    default:
      for (int64_t i = 0; i < n; i++, p += step) to[i] = *p;
      return;
  }
}

static bool in_place(const job *j, int k, const int64_t *step) {
  return j->dtype[k] != RILL_BF16 && step[k] == real_size(j->dtype[k]);
}

static void map_piece(const job *j, int64_t n, int64_t at, char *const *ptr, const int64_t *step,
                      buffers *b) {
  const void *in[OPERANDS];
  void *out[OPERANDS];
  for (int k = 0; k < j->outputs; k++)
    out[k] = in_place(j, k, step) ? ptr[k] + at * step[k] : b->bytes[k];
  for (int i = 0; i < j->inputs; i++) {
    int k = j->outputs + i;
    bool ready = in_place(j, k, step);
    in[i] = ready ? ptr[k] + at * step[k] : b->bytes[k];
    bool repeated = step[k] == 0 && at > 0; /* the buffer holds it already */
    if (!ready && !repeated) load(j->dtype[k], ptr[k] + at * step[k], step[k], n, b->bytes[k]);
  }
  j->function(n, in, out, j->attr);
  for (int k = 0; k < j->outputs; k++)
    if (!in_place(j, k, step))
      narrow(n, (const void *)b->bytes[k], (uint16_t *)(void *)(ptr[k] + at * step[k]));
}

static void map_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  const job *j = user;
  bool all = true;
  for (int k = 0; k < j->outputs + j->inputs; k++) all = all && in_place(j, k, step);
  if (all) {
    map_piece(j, n, 0, ptr, step, NULL);
    return;
  }
  buffers b;
  for (int64_t at = 0; at < n; at += PIECE)
    map_piece(j, n - at < PIECE ? n - at : PIECE, at, ptr, step, &b);
}

static rilli_map_fn *function_for(rill_dtype dtype, const rilli_map *map) {
  switch (dtype) {
    case RILL_F64:
      return map->f64;
    case RILL_I32:
      return map->i32;
    case RILL_I64:
      return map->i64;
    case RILL_U8:
    case RILL_BOOL:
      return map->u8;
    default:
      return map->f32;
  }
}

bool rilli_map_run(const rill_call *call, int lead, const rilli_map *map) {
  job j = {.outputs = call->outputs,
           .inputs = call->inputs,
           .function = function_for(call->in[lead].dtype, map),
           .attr = call->attr};
  rill_array arrays[OPERANDS];
  const rill_array *shape = &call->out[0];
  for (int k = 0; k < j.outputs; k++) arrays[k] = call->out[k];
  for (int i = 0; i < j.inputs; i++)
    arrays[j.outputs + i] = rill_array_broadcast(&call->in[i], shape->rank, shape->size);
  for (int k = 0; k < j.outputs + j.inputs; k++) j.dtype[k] = arrays[k].dtype;
  rill_iterate(call->env, j.outputs + j.inputs, arrays, map_row, &j);
  return true;
}
