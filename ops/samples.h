/* Samples that whole families of ops share: shapes that go wrong elsewhere (rank 0, no elements,
 * axes of size 1, primes, powers of two and their neighbours, more than 10^6 elements) and the
 * refusals that belong to the family. */
#ifndef RILL_OPS_SAMPLES_H_
#define RILL_OPS_SAMPLES_H_

#include "autograd/op.h"

/* Values of an operand: uniform in [low, high), or standard normal when both are 0. */
typedef struct {
  double low, high;
} rilli_range;

/* Adds one sample for every shape, all `inputs` operands having it, operand i in range[i]; the
 * last shape, of more than 10^6 elements, without gradients. No refusals. */
void rilli_sample_shapes(rill_samples *s, int inputs, const rilli_range *range, const void *attr);

/* The shapes for y = f(x), floating, with the refusals of rilli_infer_float. */
void rilli_sample_unary(rill_samples *s, double low, double high, const void *attr);
/* The shapes for a derivative of operands that are alike, with its refusals. */
void rilli_sample_alike(rill_samples *s, int inputs, const rilli_range *range, const void *attr);

/* Every way in which two shapes broadcast, with a in range[0] and b in range[1], and the refusals
 * of rilli_infer_broadcast for shapes and mixed dtypes. */
void rilli_sample_binary(rill_samples *s, const rilli_range *range);
/* The same operation on i64, i32 and u8. */
void rilli_sample_binary_integers(rill_samples *s);

/* A refusal: one operand of `dtype` (values 0 and 1), the others like it. */
void rilli_sample_refused_dtype(rill_samples *s, int inputs, rill_dtype dtype, const void *attr,
                                const char *refused);

#endif /* RILL_OPS_SAMPLES_H_ */
