/* Stands for the layers before an op that is timed with its backward: a view whose gradient goes no
 * further. Without it the operands were leaves, and the time that of turning their gradients into
 * f32, too. */
#ifndef RILL_TESTS_BENCH_BETWEEN_H_
#define RILL_TESTS_BENCH_BETWEEN_H_

#include "autograd/op.h"

static inline bool bench_between_infer(rill_infer *q) {
  return rill_infer_output(q, 0, q->in[0].dtype, rill_array_shape(&q->in[0]));
}
static inline bool bench_between_view(const rill_array *in, const void *attr, rill_array *out) {
  (void)attr, (void)out;
  return rill_array_contiguous(in);
}
static inline void bench_between_vjp(rill_vjp *g) { (void)g; }
static const rill_op bench_between_op = {.name = "between",
                                         .in = {"x"},
                                         .out = {"y"},
                                         .infer = bench_between_infer,
                                         .view = bench_between_view,
                                         .vjp = bench_between_vjp};
static inline rill_tensor *bench_between(rill_tensor *x) {
  return RILL_APPLY(&bench_between_op, NULL, x);
}

#endif /* RILL_TESTS_BENCH_BETWEEN_H_ */
