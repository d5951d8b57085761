/* The products of chunk_gradients.cuh that sum over V or over tokens. A warp has 16 tokens; of
 * gradients [CHUNK, D] 64 columns, of pairs [CHUNK, CHUNK] 64 / GROUPS columns. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_KEYS_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_KEYS_CUH_

#include "ops/cuda/recurrence/chunk_gradients_block.cuh"

template <int D>
struct rilli_recur_keys {
  enum { GROUPS = D / 64, COLUMNS = CHUNK / GROUPS, TILES = COLUMNS / 8 };
  typedef float pair_values[TILES][4];

  const rilli_recur_chunked &p;
  const rilli_recur_gradients_block<D> &c;
  const rilli_bf16 *forward;    /* the chunk's pairs (q_i . k_j) decay_ij */
  int row, block, column, pair; /* first token, token / 16, column of D and column of pairs */
  rilli_values dq, dk;          /* [16 tokens, 64 of D] */
  pair_values db, dn;           /* gradients of the pairs of q and of k, without the decay */
  /* Of tokens g and g + 8, over the warp's columns: q with what it reads from the chunk's first
   * states (of R without its factor), k with that and with what it writes to the last; and pairs.
   */
  float query_s[2], query_r[2], key[2], late[2], pairs_s[2], pairs_r[2], through;

  __device__ rilli_recur_keys(const rilli_recur_chunked &problem,
                              const rilli_recur_gradients_block<D> &block_of, int64_t item)
      : p(problem), c(block_of), forward(problem.pairs + item * PAIRS) {
    int warp = threadIdx.x / 32;
    block = warp % 4, row = 16 * block, column = warp / 4 * 64, pair = warp / 4 * COLUMNS;
    rilli_zero(dq);
    rilli_zero(dk);
    for (int n = 0; n < TILES; n++)
      for (int e = 0; e < 4; e++) db[n][e] = dn[n][e] = 0;
    for (int i = 0; i < 2; i++)
      query_s[i] = query_r[i] = key[i] = late[i] = pairs_s[i] = pairs_r[i] = 0;
    through = 0;
  }

  __device__ int token(int half) const { return row + threadIdx.x % 32 / 4 + 8 * half; }
  __device__ float of(int number, int half) const {
    return c.numbers[number * CHUNK + token(half)];
  }

  /* x += a b: `load` gives 16 tokens by 16 of the summed axis, b is a tile [CHUNK or D, D]. */
  template <typename A>
  __device__ __forceinline__ void add(rilli_values &x, int from, int to, const rilli_bf16 *b_tile,
                                      A &&load) const {
    uint32_t place = rilli_block_at<D>(rilli_straight<D>(b_tile), 0, column);
#pragma unroll 4
    for (int m = from; m < to; m += 16) {
      uint32_t a[4], b[4];
      load(a, m);
#pragma unroll
      for (int n = 0; n < 64; n += 16) {
        rilli_ldmatrix_transposed_at(b, rilli_block_at<D>(place, m, n));
        rilli_mma(x[n / 8], a, b[0], b[1]);
        rilli_mma(x[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }
  /* Loads of 16 tokens' rows of a tile [CHUNK, WIDTH], or columns of one [_, CHUNK]. */
  template <int WIDTH>
  struct tokens_of_rows {
    uint32_t place;
    __device__ tokens_of_rows(const rilli_bf16 *tile, int row)
        : place(rilli_straight<WIDTH>(tile + row * WIDTH)) {}
    __device__ __forceinline__ void operator()(uint32_t (&a)[4], int m) const {
      rilli_ldmatrix_at(a, rilli_block_at<WIDTH>(place, 0, m));
    }
  };
  struct tokens_of_columns {
    uint32_t place;
    __device__ tokens_of_columns(const rilli_bf16 *tile, int row)
        : place(rilli_block_at<CHUNK>(rilli_across<CHUNK>(tile), 0, row)) {}
    __device__ __forceinline__ void operator()(uint32_t (&a)[4], int m) const {
      rilli_ldmatrix_transposed_at(a, rilli_block_at<CHUNK>(place, m, 0));
    }
  };

  /* x += factor y; sums += weight y . (row of the tile) */
  __device__ __forceinline__ void take(rilli_values &x, const rilli_values &y, const float *factor,
                                       const rilli_bf16 *tile, float *sums, const float *weight) {
    int t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = 0;
#pragma unroll
      for (int n = 0; n < 8; n++) {
        uint32_t two =
            *(const uint32_t *)(tile + rilli_tile_at<D>(token(half), column + 8 * n) + 2 * t);
        float left = y[n][2 * half], right = y[n][2 * half + 1];
        sum += left * rilli_low(two) + right * rilli_high(two);
        x[n][2 * half] += factor[half] * left;
        x[n][2 * half + 1] += factor[half] * right;
      }
      sums[half] += weight[half] * sum;
    }
  }

  /* The pairs of one state: db += factor do . w, dn += dz . w, and do . w against the forward's. */
  __device__ __forceinline__ void pair_sums(int which, bool dz) {
    pair_values by;
    int t = threadIdx.x % 4;
    uint32_t pairs_of[2][TILES];
    for (int n = 0; n < TILES; n++) {
      for (int e = 0; e < 4; e++) by[n][e] = 0;
      for (int half = 0; half < 2; half++)
        pairs_of[half][n] =
            *(const uint32_t *)(forward + token(half) * CHUNK + pair + 8 * n + 2 * t);
    }
    tokens_of_rows<D> of_go(c.go, row);
    tokens_of_columns of_dz(c.dz, row);
    uint32_t place = rilli_block_at<CHUNK>(rilli_straight<CHUNK>(c.w), 0, pair);
#pragma unroll 4
    for (int m = 0; m < D; m += 16) {
      uint32_t a[4], a_dz[4], b[4];
      of_go(a, m);
      if (dz) of_dz(a_dz, m);
#pragma unroll
      for (int n = 0; n < TILES / 2; n++) {
        if (pair / 16 + n > block) continue;
        rilli_ldmatrix_transposed_at(b, rilli_block_at<CHUNK>(place, m, 16 * n));
        rilli_mma(by[2 * n], a, b[0], b[1]);
        rilli_mma(by[2 * n + 1], a, b[2], b[3]);
        if (!dz) continue;
        rilli_mma(dn[2 * n], a_dz, b[0], b[1]);
        rilli_mma(dn[2 * n + 1], a_dz, b[2], b[3]);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float factor = of(which ? READ_R : READ_S, half), sum = 0;
#pragma unroll
      for (int n = 0; n < TILES; n++) {
        uint32_t two = pairs_of[half][n];
        sum += by[n][2 * half] * rilli_low(two) + by[n][2 * half + 1] * rilli_high(two);
        db[n][2 * half] += factor * by[n][2 * half];
        db[n][2 * half + 1] += factor * by[n][2 * half + 1];
      }
      if (which) {
        pairs_r[half] = sum;
      } else {
        pairs_s[half] = factor * sum;
      }
    }
  }

  /* What the chunk's first state gives. */
  __device__ __forceinline__ void state_products(int which, bool dz) {
    float before[2], read[2];
    for (int i = 0; i < 2; i++) {
      before[i] = of(BEFORE, i);
      read[i] = before[i] * of(which ? READ_R : READ_S, i);
    }
    rilli_values y;
    rilli_zero(y);
    add(y, 0, D, c.state, tokens_of_rows<D>(c.go, row));
    float sums[2] = {0, 0};
    take(dq, y, read, c.q, sums, before);
    for (int i = 0; i < 2; i++) {
      if (which) {
        query_r[i] = sums[i];
      } else {
        query_s[i] = of(READ_S, i) * sums[i];
      }
    }
    if (!dz) return;
    rilli_zero(y);
    add(y, 0, D, c.state, tokens_of_columns(c.dz, row));
    take(dk, y, before, c.k, key, before);
  }

  /* What the gradient of its last state gives. */
  __device__ __forceinline__ void dstate_products() {
    float tail[2] = {of(TAIL, 0), of(TAIL, 1)};
    rilli_values y;
    rilli_zero(y);
    add(y, 0, D, c.dstate, tokens_of_columns(c.w, row));
    take(dk, y, tail, c.k, late, tail);
  }
  /* <dstate, state>, the same place in both. */
  __device__ __forceinline__ void whole_products() {
    const uint4 *x = (const uint4 *)c.state, *d = (const uint4 *)c.dstate;
    auto two = [](uint32_t a, uint32_t b) {
      return rilli_low(a) * rilli_low(b) + rilli_high(a) * rilli_high(b);
    };
#pragma unroll 2
    for (int i = threadIdx.x; i < D * D / 8; i += 2 * D) {
      uint4 a = x[i], b = d[i];
      through += (two(a.x, b.x) + two(a.y, b.y)) + (two(a.z, b.z) + two(a.w, b.w));
    }
  }

  /* The gradients of the pairs as bf16 tiles, and their share of d log alpha at `cross` [CHUNK,
   * CROSS_APART]. */
  __device__ __forceinline__ void pair_gradients(rilli_bf16 *db_tile, rilli_bf16 *dn_tile,
                                                 float *cross) {
    pair_values kk;
    for (int n = 0; n < TILES; n++)
      for (int e = 0; e < 4; e++) kk[n][e] = 0;
    if (p.reads()) {
      tokens_of_rows<D> of_k(c.k, row);
      uint32_t place = rilli_block_at<D>(rilli_across<D>(c.k), pair, 0);
#pragma unroll 4
      for (int d = 0; d < D; d += 16) {
        uint32_t a[4], b[4];
        of_k(a, d);
#pragma unroll
        for (int n = 0; n < TILES / 2; n++) {
          if (pair / 16 + n > block) continue;
          rilli_ldmatrix_at(b, rilli_block_at<D>(place, 16 * n, d));
          rilli_mma(kk[2 * n], a, b[0], b[1]);
          rilli_mma(kk[2 * n + 1], a, b[2], b[3]);
        }
      }
    }
    int t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float until = of(LOG_BEFORE, half);
      int i = token(half);
#pragma unroll
      for (int n = 0; n < TILES; n++) {
        int j = pair + 8 * n + 2 * t, place = rilli_tile_at<CHUNK>(i, pair + 8 * n) + 2 * t;
        uint32_t two = *(const uint32_t *)(forward + i * CHUNK + j);
        float2 after = *(const float2 *)(c.numbers + LOG_AFTER * CHUNK + j);
        float first = j < i ? __expf(until - after.x) : 0.f;
        float second = j + 1 < i ? __expf(until - after.y) : 0.f;
        float dk0 = dn[n][2 * half] * first, dk1 = dn[n][2 * half + 1] * second;
        float db0 = db[n][2 * half], db1 = db[n][2 * half + 1];
        cross[i * CROSS_APART + j] = db0 * rilli_low(two) + dk0 * kk[n][2 * half];
        cross[i * CROSS_APART + j + 1] = db1 * rilli_high(two) + dk1 * kk[n][2 * half + 1];
        *(uint32_t *)(db_tile + place) = rilli_pack(db0 * first, db1 * second);
        *(uint32_t *)(dn_tile + place) = rilli_pack(dk0, dk1);
      }
    }
  }

  /* dq += dB k, dk += dB^T q + (dN + dN^T) k, and the tokens' own pairs. */
  __device__ __forceinline__ void pair_products(const rilli_bf16 *db_tile,
                                                const rilli_bf16 *dn_tile) {
    add(dq, 0, row + 16, c.k, tokens_of_rows<CHUNK>(db_tile, row));
    add(dk, row, CHUNK, c.q, tokens_of_columns(db_tile, row));
    if (p.reads()) {
      add(dk, 0, row + 16, c.k, tokens_of_rows<CHUNK>(dn_tile, row));
      add(dk, row, CHUNK, c.k, tokens_of_columns(dn_tile, row));
    }
    const float *own = c.totals + ((p.fitted ? STATE_SUMS : 0) + OWN_SUM) * CHUNK;
    int t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float down = own[token(half)] * (p.gated ? of(FIT, half) : 1.f);
#pragma unroll
      for (int n = 0; n < 8; n++) {
        int at = rilli_tile_at<D>(token(half), column + 8 * n) + 2 * t;
        uint32_t two_q = *(const uint32_t *)(c.q + at), two_k = *(const uint32_t *)(c.k + at);
        dq[n][2 * half] += down * rilli_low(two_k);
        dq[n][2 * half + 1] += down * rilli_high(two_k);
        dk[n][2 * half] += down * rilli_low(two_q);
        dk[n][2 * half + 1] += down * rilli_high(two_q);
      }
    }
  }

  /* Lanes exchange, and each writes eight columns. */
  __device__ __forceinline__ void store(rilli_bf16 *to, int64_t at, int tokens,
                                        const rilli_values &x) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      rilli_bf16 *line = to + (at + token(half) * p.H) * D + column + threadIdx.x % 4 * 8;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t four[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
          four[i] = rilli_pack(x[n + i][2 * half], x[n + i][2 * half + 1]);
        rilli_exchange(four);
        if (token(half) < tokens)
          *(uint4 *)(line + 8 * n) = make_uint4(four[0], four[1], four[2], four[3]);
      }
    }
  }
};

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_KEYS_CUH_ */
