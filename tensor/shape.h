/* Shapes and axis lists, by value. */
#ifndef RILL_TENSOR_SHAPE_H_
#define RILL_TENSOR_SHAPE_H_

#include "tensor/array.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int rank;
  int64_t size[RILL_MAX_RANK];
} rill_shape;

typedef struct {
  int count;
  int axis[RILL_MAX_RANK];
} rill_axes;

/* RILL_SHAPE(2, 3, 4) is a shape, RILL_AXES(0, 2, 1) a list of axes, RILL_SCALAR the shape of rank
 * 0. */
#define RILL_COUNT_OF_(...) RILL_COUNT_PICK_(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define RILL_COUNT_PICK_(a, b, c, d, e, f, g, h, n, ...) n
#ifdef __cplusplus
#define RILL_LITERAL_(type) type
#else
#define RILL_LITERAL_(type) (type)
#endif
#define RILL_SHAPE(...) (RILL_LITERAL_(rill_shape){RILL_COUNT_OF_(__VA_ARGS__), {__VA_ARGS__}})
#define RILL_AXES(...) (RILL_LITERAL_(rill_axes){RILL_COUNT_OF_(__VA_ARGS__), {__VA_ARGS__}})
#define RILL_SCALAR (RILL_LITERAL_(rill_shape){0, {0}})

/* Text of a shape, "[8, 256]", held by value so that it can be an argument of printf: .text */
typedef struct {
  char text[192];
} rill_shape_text;

rill_shape_text rill_shape_print(rill_shape shape);
bool rill_shape_equal(rill_shape a, rill_shape b);

/* Number of elements into *count; false when a size is negative, the rank is out of range, or the
 * number overflows int64_t. */
bool rill_shape_count(rill_shape shape, int64_t *count);

/* The shape a and b broadcast to (aligned at the last axis, 1 stretches); false if they do not. */
bool rill_shape_broadcast(rill_shape a, rill_shape b, rill_shape *out);

rill_shape rill_array_shape(const rill_array *a);
/* Gives *a the sizes of `shape` and row-major strides; data and dtype stay. */
void rill_array_reshape(rill_array *a, rill_shape shape);

/* axis in [-rank, rank) counted from the front, or -1 when it is out of range. */
int rill_axis(int axis, int rank);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_SHAPE_H_ */
