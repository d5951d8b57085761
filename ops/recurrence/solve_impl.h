/* The reads of a state within a chunk, and their adjoint: two triangular sweeps.
 *
 * What the state before token i answers to key i is
 *     z_i = am_i (k_i S_0) + sum_{j < i} N_ij w_j,    w_j = gate_j e_j,    e_j = source_j - d_j z_j
 * with N_ij = (k_i . k_j) times the decay between j and i, am_i the decay before i, and d_j alpha_j
 * for the delta rule, 0 for a plain sum. Row after row this is the recurrence itself in the
 * precision of the state: no inverse is formed, and nothing is divided by a gate or a decay. The
 * sums over earlier tiles are ordinary products; only the corner of a tile is sequential. */
#ifndef RILL_OPS_RECURRENCE_SOLVE_IMPL_H_
#define RILL_OPS_RECURRENCE_SOLVE_IMPL_H_

#include "ops/recurrence/product_impl.h"

typedef struct {
  matrix n;         /* N, read strictly below the diagonal */
  const real *am;   /* decay from the chunk's start to before each token */
  const real *d;    /* alpha for the delta rule, else 0 */
  const real *gate; /* beta or gamma */
} reading;

RILLI_INLINE void read_tile(int vectors, reading of, matrix source, matrix z, matrix e, matrix w,
                            int64_t i, int64_t j) {
  vec acc[TILE_ROWS][TILE_VECTORS];
  RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) RILLI_UNROLL for (int v = 0; v < vectors; v++)
      acc[r][v] = broadcast(0);
  matrix n = of.n, before = w;
  n.at += i * n.down;
  before.at += j;
  tile_sum(vectors, n, before, 0, i, acc);
  RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) {
    int64_t t = i + r;
    vec am = broadcast(of.am[t]), d = broadcast(of.d[t]), gate = broadcast(of.gate[t]);
    RILLI_UNROLL for (int v = 0; v < vectors; v++) {
      int64_t at = j + v * LANES;
      vec read = multiply_add(am, load(row(z, t) + at), acc[r][v]);
      vec error = load(row(source, t) + at) - d * read, write = gate * error;
      store(row(z, t) + at, read);
      store(row(e, t) + at, error);
      store(row(w, t) + at, write);
      RILLI_UNROLL for (int s = r + 1; s < TILE_ROWS; s++) acc[s][v] =
          multiply_add(broadcast(row(n, s)[t]), write, acc[s][v]);
    }
  }
}

/* z holds k S_0 and becomes z; e and w are written. */
static void read_down(reading of, matrix source, matrix z, matrix e, matrix w) {
  for (int64_t j = 0; j < z.columns; j += TILE_VECTORS * LANES) {
    int vectors = vectors_until(j, z.columns);
    for (int64_t i = 0; i < z.rows; i += TILE_ROWS)
      RILLI_FOR_VECTORS(vectors, read_tile(VECTORS, of, source, z, e, w, i, j));
  }
}

RILLI_INLINE void unread_tile(int vectors, reading of, matrix dw, const matrix *du, matrix dz,
                              int64_t i, int64_t j) {
  vec acc[TILE_ROWS][TILE_VECTORS];
  RILLI_UNROLL for (int r = 0; r < TILE_ROWS; r++) RILLI_UNROLL for (int v = 0; v < vectors; v++)
      acc[r][v] = load(row(dw, i + r) + j + v * LANES);
  matrix later = turned(of.n), after = dz;
  later.at += i * later.down;
  after.at += j;
  tile_sum(vectors, later, after, i + TILE_ROWS, dz.rows, acc);
  RILLI_UNROLL for (int back = 0; back < TILE_ROWS; back++) {
    int r = TILE_ROWS - 1 - back;
    int64_t t = i + r;
    vec minus = broadcast(-of.d[t] * of.gate[t]);
    RILLI_UNROLL for (int v = 0; v < vectors; v++) {
      int64_t at = j + v * LANES;
      vec change = minus * acc[r][v];
      if (du) change -= load(row(*du, t) + at);
      store(row(dw, t) + at, acc[r][v]);
      store(row(dz, t) + at, change);
      RILLI_UNROLL for (int s = 0; s < r; s++) acc[s][v] =
          multiply_add(broadcast(row(of.n, t)[i + s]), change, acc[s][v]);
    }
  }
}

/* The adjoint. dw holds the gradient that reaches w from outputs and the final state, and gains
 * what reaches it through later reads; dz = -(d gate dw + du), with du the gradient of source - z
 * (NULL = 0). */
static void read_up(reading of, matrix dw, const matrix *du, matrix dz) {
  for (int64_t j = 0; j < dz.columns; j += TILE_VECTORS * LANES) {
    int vectors = vectors_until(j, dz.columns);
    for (int64_t i = dz.rows - TILE_ROWS; i >= 0; i -= TILE_ROWS)
      RILLI_FOR_VECTORS(vectors, unread_tile(VECTORS, of, dw, du, dz, i, j));
  }
}

#endif /* RILL_OPS_RECURRENCE_SOLVE_IMPL_H_ */
