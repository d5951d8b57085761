/* Elementwise kernels: an op gives a function of contiguous rows, the driver here does the rest.
 *
 * Operands are broadcast to the shape of output 0. Rows that lie contiguously in their own type
 * are used in place; others (strided, broadcast, bf16) pass through buffers that stay in cache, a
 * piece at a time. bf16 is computed in f32. */
#ifndef RILL_OPS_CPU_MAP_H_
#define RILL_OPS_CPU_MAP_H_

#include "autograd/op.h"
#include "ops/cpu/clones.h"
#include "ops/cpu/vmath.h"

/* out[k][i] = f(in[0][i], in[1][i], ...) for i < n. Rows do not overlap. */
typedef void rilli_map_fn(int64_t n, const void *const *in, void *const *out, const void *attr);

/* The function for each type of arithmetic: f32 serves bf16, u8 serves bool. NULL where infer
 * refuses the type. */
typedef struct {
  rilli_map_fn *f32, *f64, *i32, *i64, *u8;
} rilli_map;

/* Runs the function that belongs to the dtype of operand `lead`. Operands and outputs of other
 * dtypes are passed as they are, bf16 always as f32. Outputs have one shape. Always true. */
bool rilli_map_run(const rill_call *call, int lead, const rilli_map *map);

/* Defines such a function from a scalar one, y = f(x), y = f(a, b) or y = f(a, b, c). */
#define RILLI_MAP_1(name, in_type, out_type, f)                                     \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    const in_type *restrict x = in[0];                                              \
    out_type *restrict y = out[0];                                                  \
    (void)attr;                                                                     \
    for (int64_t i = 0; i < n; i++) y[i] = f(x[i]);                                 \
  }
#define RILLI_MAP_2(name, in_type, out_type, f)                                     \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    const in_type *restrict a = in[0], *restrict b = in[1];                         \
    out_type *restrict y = out[0];                                                  \
    (void)attr;                                                                     \
    for (int64_t i = 0; i < n; i++) y[i] = f(a[i], b[i]);                           \
  }
#define RILLI_MAP_3(name, in_type, out_type, f)                                     \
  RILLI_CLONES static void name(int64_t n, const void *const *in, void *const *out, \
                                const void *attr) {                                 \
    const in_type *restrict a = in[0], *restrict b = in[1], *restrict c = in[2];    \
    out_type *restrict y = out[0];                                                  \
    (void)attr;                                                                     \
    for (int64_t i = 0; i < n; i++) y[i] = f(a[i], b[i], c[i]);                     \
  }

#endif /* RILL_OPS_CPU_MAP_H_ */
