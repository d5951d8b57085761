/* The products of chunk_gradients.cuh that sum over V or over tokens. A warp has 16 tokens; of
 * gradients [CHUNK, D] 64 columns, of pairs [CHUNK, CHUNK] 64 / GROUPS columns. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_KEYS_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_KEYS_CUH_

#include "ops/cuda/recurrence/chunk_gradients_block.cuh"

template <int D, bool FITTED>
struct rilli_recur_keys {
  enum { GROUPS = D / 64, COLUMNS = CHUNK / GROUPS, TILES = COLUMNS / 8 };
  typedef float pair_values[TILES][4];

  const rilli_recur_chunked &p;
  const rilli_recur_gradients_block<D> &c;
  int row, block, column, pair; /* first token, token / 16, column of D and column of pairs */
  rilli_values dq, dk;          /* [16 tokens, 64 of D] */
  pair_values by_s, by_r, dn;   /* do . w of S and R, dz . w */
  /* Of tokens g and g + 8, over the warp's columns: q and k with what they read from the chunk's
   * first states (of R without its gate), k with what it writes to the last; pairs of S and of R.
   */
  float query_s[2], query_r[2], key[2], late[2], pairs_s[2], pairs_r[2], through;

  __device__ rilli_recur_keys(const rilli_recur_chunked &problem,
                              const rilli_recur_gradients_block<D> &block_of)
      : p(problem), c(block_of) {
    int warp = threadIdx.x / 32;
    block = warp % 4, row = 16 * block, column = warp / 4 * 64, pair = warp / 4 * COLUMNS;
    rilli_zero(dq);
    rilli_zero(dk);
    for (int n = 0; n < TILES; n++)
      for (int e = 0; e < 4; e++) by_s[n][e] = by_r[n][e] = dn[n][e] = 0;
    for (int i = 0; i < 2; i++)
      query_s[i] = query_r[i] = key[i] = late[i] = pairs_s[i] = pairs_r[i] = 0;
    through = 0;
  }

  __device__ int token(int half) const { return row + threadIdx.x % 32 / 4 + 8 * half; }
  __device__ float of(int number, int half) const {
    return c.numbers[number * CHUNK + token(half)];
  }
  /* The factors with which o reads S and R. */
  __device__ float of_s(int half) const { return p.residual && !p.gated ? 1.f : of(ALPHA, half); }
  __device__ float of_r(int half) const {
    return (p.gated ? of(FIT, half) : 1.f) * of(ALPHA, half);
  }

  /* x += a b: `a` loads 16 tokens by 16 of the summed axis, b is a tile [CHUNK or D, D]. */
  template <typename A>
  __device__ __forceinline__ void add(rilli_values &x, int from, int to, const rilli_bf16 *b_tile,
                                      A &&load) const {
#pragma unroll
    for (int m = from; m < to; m += 16) {
      uint32_t a[4], b[4];
      load(a, m);
#pragma unroll
      for (int n = 0; n < 4; n++) {
        rilli_load_b<D>(b, b_tile, m, column + 16 * n);
        rilli_mma(x[2 * n], a, b[0], b[1]);
        rilli_mma(x[2 * n + 1], a, b[2], b[3]);
      }
    }
  }

  /* x += factor y; sums += factor y . (row of the tile) */
  __device__ __forceinline__ void take(rilli_values &x, const rilli_values &y, const float *factor,
                                       const rilli_bf16 *tile, float *sums, const float *weight) {
    int t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        uint32_t two =
            *(const uint32_t *)(tile + rilli_tile_at<D>(token(half), column + 8 * n) + 2 * t);
        float left = y[n][2 * half], right = y[n][2 * half + 1];
        sums[half] += weight[half] * (left * rilli_low(two) + right * rilli_high(two));
        x[n][2 * half] += factor[half] * left;
        x[n][2 * half + 1] += factor[half] * right;
      }
  }

  /* Everything that one state gives. */
  template <bool OF_R>
  __device__ __forceinline__ void state_products(bool dz) {
    auto of_w = [&](uint32_t(&a)[4], int m) { rilli_load_a_turned<CHUNK>(a, c.w, m, row); };
    auto of_dz = [&](uint32_t(&a)[4], int m) { rilli_load_a_turned<CHUNK>(a, c.dz, m, row); };
    auto of_go = [&](uint32_t(&a)[4], int m) { rilli_load_a<D>(a, c.go, row, m); };
    pair_values &by = OF_R ? by_r : by_s;
#pragma unroll
    for (int m = 0; m < D; m += 16) {
      uint32_t a[4], a_dz[4], b[4];
      of_go(a, m);
      if (dz) of_dz(a_dz, m);
#pragma unroll
      for (int n = 0; n < TILES / 2; n++) {
        if (pair / 16 + n > block) continue;
        rilli_load_b<CHUNK>(b, c.w, m, pair + 16 * n);
        rilli_mma(by[2 * n], a, b[0], b[1]);
        rilli_mma(by[2 * n + 1], a, b[2], b[3]);
        if (!dz) continue;
        rilli_mma(dn[2 * n], a_dz, b[0], b[1]);
        rilli_mma(dn[2 * n + 1], a_dz, b[2], b[3]);
      }
    }
    float before[2], tail[2], read[2];
    for (int i = 0; i < 2; i++) {
      before[i] = of(BEFORE, i), tail[i] = of(TAIL, i);
      read[i] = before[i] * (OF_R ? of_r(i) : of_s(i));
    }
    rilli_values y;
    rilli_zero(y);
    add(y, 0, D, c.state, of_go);
    take(dq, y, read, c.q, OF_R ? query_r : query_s, OF_R ? before : read);
    if (dz) {
      rilli_zero(y);
      add(y, 0, D, c.state, of_dz);
      take(dk, y, before, c.k, key, before);
    }
    rilli_zero(y);
    add(y, 0, D, c.dstate, of_w);
    take(dk, y, tail, c.k, late, tail);
    for (int i = threadIdx.x; i < D * D / 2; i += blockDim.x) {
      uint32_t x = ((const uint32_t *)c.state)[i], d = ((const uint32_t *)c.dstate)[i];
      through += rilli_low(x) * rilli_low(d) + rilli_high(x) * rilli_high(d);
    }
  }

  /* The gradients of the pairs as bf16 tiles, and their share of d log alpha at
   * `cross` [CHUNK, CROSS_APART]. */
  __device__ __forceinline__ void pair_gradients(rilli_bf16 *db_tile, rilli_bf16 *dn_tile,
                                                 float *cross) {
    pair_values qk, kk;
    for (int n = 0; n < TILES; n++)
      for (int e = 0; e < 4; e++) qk[n][e] = kk[n][e] = 0;
#pragma unroll
    for (int d = 0; d < D; d += 16) {
      uint32_t a_q[4], a_k[4], b[4];
      rilli_load_a<D>(a_q, c.q, row, d);
      rilli_load_a<D>(a_k, c.k, row, d);
#pragma unroll
      for (int n = 0; n < TILES / 2; n++) {
        if (pair / 16 + n > block) continue;
        rilli_load_b_of_rows<D>(b, c.k, pair + 16 * n, d);
        rilli_mma(qk[2 * n], a_q, b[0], b[1]);
        rilli_mma(qk[2 * n + 1], a_q, b[2], b[3]);
        rilli_mma(kk[2 * n], a_k, b[0], b[1]);
        rilli_mma(kk[2 * n + 1], a_k, b[2], b[3]);
      }
    }
    int t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < TILES; n++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float until = of(LOG_BEFORE, half), to_s = of_s(half), to_r = FITTED ? of_r(half) : 0.f;
        float db[2], dkk[2];
        int i = token(half), j = pair + 8 * n + 2 * t;
        for (int e = 0; e < 2; e++) {
          int at = 2 * half + e;
          float decay = j + e < i ? expf(until - c.numbers[LOG_AFTER * CHUNK + j + e]) : 0.f;
          float s = to_s * by_s[n][at], both = s + to_r * by_r[n][at], b = qk[n][at] * decay;
          pairs_s[half] += s * b;
          if (FITTED) pairs_r[half] += by_r[n][at] * b;
          cross[i * CROSS_APART + j + e] = both * b + dn[n][at] * kk[n][at] * decay;
          db[e] = both * decay, dkk[e] = dn[n][at] * decay;
        }
        int place = rilli_tile_at<CHUNK>(i, j - 2 * t) + 2 * t;
        *(uint32_t *)(db_tile + place) = rilli_pack(db[0], db[1]);
        *(uint32_t *)(dn_tile + place) = rilli_pack(dkk[0], dkk[1]);
      }
  }

  /* dq += dB k, dk += dB^T q + (dN + dN^T) k, and the tokens' own pairs. */
  __device__ __forceinline__ void pair_products(const rilli_bf16 *db_tile,
                                                const rilli_bf16 *dn_tile) {
#pragma unroll
    for (int m = 0; m < CHUNK; m += 16) {
      if (m <= row) {
        add(dq, m, m + 1, c.k,
            [&](uint32_t(&a)[4], int at) { rilli_load_a<CHUNK>(a, db_tile, row, at); });
        if (p.reads())
          add(dk, m, m + 1, c.k,
              [&](uint32_t(&a)[4], int at) { rilli_load_a<CHUNK>(a, dn_tile, row, at); });
      }
      if (m >= row) {
        add(dk, m, m + 1, c.q,
            [&](uint32_t(&a)[4], int at) { rilli_load_a_turned<CHUNK>(a, db_tile, at, row); });
        if (p.reads())
          add(dk, m, m + 1, c.k,
              [&](uint32_t(&a)[4], int at) { rilli_load_a_turned<CHUNK>(a, dn_tile, at, row); });
      }
    }
    const float *own = c.totals + ((FITTED ? STATE_SUMS : 0) + OWN_SUM) * CHUNK;
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

  __device__ __forceinline__ void store(rilli_bf16 *to, int64_t at, int tokens,
                                        const rilli_values &x) const {
    int t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (token(half) >= tokens) continue;
      rilli_bf16 *line = to + (at + token(half) * p.H) * D + column + 2 * t;
#pragma unroll
      for (int n = 0; n < 8; n++)
        *(uint32_t *)(line + 8 * n) = rilli_pack(x[n][2 * half], x[n][2 * half + 1]);
    }
  }
};

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_GRADIENTS_KEYS_CUH_ */
