/* Small matrix products on padded scratch matrices.
 *
 * The matrices of a chunk are at most a few hundred wide and stay in the caches, so nothing is
 * packed: a tile of TILE_ROWS rows and TILE_VECTORS vectors is summed in registers straight from
 * the operands. At 64 x 64 this is as fast as OpenBLAS, and it lets a triangle be walked at half
 * the cost. A triangular operand is never read outside its triangle, so what comes later in a
 * sequence (even an infinity) cannot touch what comes before. */
#ifndef RILL_OPS_RECURRENCE_PRODUCT_IMPL_H_
#define RILL_OPS_RECURRENCE_PRODUCT_IMPL_H_

#include "ops/recurrence/simd_impl.h"

/* Element (i, j) is at[i * down + j * right]. Sizes are multiples of PAD. */
typedef struct {
  real *at;
  int64_t rows, columns, down, right;
} matrix;

RILLI_INLINE matrix turned(matrix a) { return (matrix){a.at, a.columns, a.rows, a.right, a.down}; }
RILLI_INLINE real *row(matrix a, int64_t i) { return a.at + i * a.down; }

/* Row i of a square matrix of pairs (i, j), j <= i, up to whole vectors. */
RILLI_INLINE int64_t row_end(int64_t i) { return (i / LANES + 1) * LANES; }

typedef enum {
  WHOLE = 0,
  BELOW,    /* the left operand counts only strictly below its diagonal */
  ABOVE,    /* only strictly above */
  TO_LOWER, /* of the result, rows are wanted up to row_end() only */
} product_part;

typedef struct {
  product_part part;
  real keep;         /* c = keep c + ...; with 0, c is not read */
  const real *scale; /* factor of each row of the product; NULL = 1 */
} product_opts;

/* acc[r][v] += sum over k in [from, to) of a[r, k] b[k, v]. */
RILLI_INLINE void tile_sum(int vectors, matrix a, matrix b, int64_t from, int64_t to,
                           vec acc[TILE_ROWS][TILE_VECTORS]) {
  const real *left = a.at + from * a.right, *right = row(b, from);
  for (int64_t k = from; k < to; k++, left += a.right, right += b.down) {
    vec line[TILE_VECTORS];
    RILLI_UNROLL for (int v = 0; v < vectors; v++) line[v] = load(right + v * LANES);
    RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) {
      vec x = broadcast(left[r * a.down]);
      RILLI_UNROLL for (int v = 0; v < vectors; v++) acc[r][v] =
          multiply_add(x, line[v], acc[r][v]);
    }
  }
}

/* The same for the triangle within the tile's own rows, which begin at row i. */
RILLI_INLINE void tile_corner(int vectors, product_part part, matrix a, matrix b, int64_t i,
                              vec acc[TILE_ROWS][TILE_VECTORS]) {
  RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) {
    RILLI_UNROLL for (int s = 0; s < TILE_ROWS; s++) {
      if (part == BELOW ? s >= r : s <= r) continue;
      vec x = broadcast(a.at[r * a.down + (i + s) * a.right]);
      RILLI_UNROLL for (int v = 0; v < vectors; v++) acc[r][v] =
          multiply_add(x, load(row(b, i + s) + v * LANES), acc[r][v]);
    }
  }
}

/* The tile of c with rows from i and columns from j. */
RILLI_INLINE void tile_product(int vectors, matrix c, matrix a, matrix b, int64_t i, int64_t j,
                               product_opts how) {
  vec acc[TILE_ROWS][TILE_VECTORS];
  RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) RILLI_UNROLL for (int v = 0; v < vectors; v++)
      acc[r][v] = broadcast(0);
  a.at += i * a.down;
  b.at += j;
  tile_sum(vectors, a, b, how.part == ABOVE ? i + TILE_ROWS : 0, how.part == BELOW ? i : a.columns,
           acc);
  if (how.part == BELOW || how.part == ABOVE) tile_corner(vectors, how.part, a, b, i, acc);
  vec keep = broadcast(how.keep);
  RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) {
    real *out = row(c, i + r) + j;
    vec scale = broadcast(how.scale ? how.scale[i + r] : 1);
    RILLI_UNROLL for (int v = 0; v < vectors; v++) {
      vec x = scale * acc[r][v];
      if (how.keep != 0) x = multiply_add(keep, load(out + v * LANES), x);
      store(out + v * LANES, x);
    }
  }
}

/* Calls of an inlined function with the number of vectors as a constant. */
#define RILLI_FOR_VECTORS(vectors, call)   \
  do {                                     \
    if ((vectors) == TILE_VECTORS) {       \
      enum { VECTORS = TILE_VECTORS };     \
      call;                                \
    } else if ((vectors) == 3) {           \
      enum { VECTORS = TILE_VECTORS - 1 }; \
      call;                                \
    } else if ((vectors) == 2) {           \
      enum { VECTORS = 2 };                \
      call;                                \
    } else {                               \
      enum { VECTORS = 1 };                \
      call;                                \
    }                                      \
  } while (0)

RILLI_INLINE int vectors_until(int64_t from, int64_t end) {
  int64_t n = (end - from + LANES - 1) / LANES;
  return n < TILE_VECTORS ? (int)n : TILE_VECTORS;
}

/* c = a b. Rows of b and c are contiguous (right == 1); a may be turned. */
static void product(matrix c, matrix a, matrix b, product_opts how) {
  for (int64_t j = 0; j < c.columns; j += TILE_VECTORS * LANES) {
    for (int64_t i = 0; i < c.rows; i += TILE_ROWS) {
      int64_t end = how.part == TO_LOWER ? row_end(i + TILE_ROWS - 1) : c.columns;
      int vectors = vectors_until(j, end < c.columns ? end : c.columns);
      if (vectors <= 0) continue;
      RILLI_FOR_VECTORS(vectors, tile_product(VECTORS, c, a, b, i, j, how));
    }
  }
}

/* to = from transposed; rows of both are contiguous. */
static void transpose(matrix to, matrix from) {
  typedef real quad __attribute__((vector_size(4 * sizeof(real)), may_alias, aligned(16)));
  for (int64_t i = 0; i < from.rows; i += 4) {
    for (int64_t j = 0; j < from.columns; j += 4) {
      quad a = *(const quad *)(row(from, i) + j), b = *(const quad *)(row(from, i + 1) + j),
           c = *(const quad *)(row(from, i + 2) + j), d = *(const quad *)(row(from, i + 3) + j);
      quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
           cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
           ef = __builtin_shufflevector(a, b, 2, 6, 3, 7),
           gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      *(quad *)(row(to, j) + i) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
      *(quad *)(row(to, j + 1) + i) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
      *(quad *)(row(to, j + 2) + i) = __builtin_shufflevector(ef, gh, 0, 1, 4, 5);
      *(quad *)(row(to, j + 3) + i) = __builtin_shufflevector(ef, gh, 2, 3, 6, 7);
    }
  }
}

#endif /* RILL_OPS_RECURRENCE_PRODUCT_IMPL_H_ */
