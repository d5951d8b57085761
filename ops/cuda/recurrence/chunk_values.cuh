/* Values in registers: a warp holds 16 columns of v (or z, e, r, o, ...) of all 64 tokens of a
 * chunk, transposed, as the C of tensor-core products; and 16 rows of a state [16, D]. So every
 * step of the recurrence is a product of what the warp holds with a tile that all warps share, and
 * nothing but the tiles goes through shared memory.
 *
 * With g = lane / 4 and t = lane % 4, x[n][0], x[n][1] are columns g of tokens 8n + 2t and + 1, and
 * x[n][2], x[n][3] columns g + 8 of these. "Packed" are the same values as bf16, the operand A of a
 * product over tokens; in memory 16 bytes a lane for 16 tokens, so that a warp's access is 512
 * bytes in a row. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_VALUES_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_VALUES_CUH_

#include "ops/cuda/recurrence/chunk.cuh"

enum { VALUE_TILES = CHUNK / 8, PACKS = CHUNK / 16 };
typedef float rilli_values[VALUE_TILES][4];
typedef uint32_t rilli_packed[PACKS][4];
template <int D>
using rilli_state = float[D / 8][4];

/* x = f(x, token's number, n, element): the loops that every formula below is written in. */
template <typename F>
static __device__ __forceinline__ void rilli_each_value(F &&f) {
#pragma unroll
  for (int n = 0; n < VALUE_TILES; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) f(n, e);
}
/* A number [CHUNK] of the token that element e of tile n belongs to. */
static __device__ __forceinline__ float rilli_of_token(const float *number, int n, int e) {
  float2 two = ((const float2 *)number)[n * 4 + threadIdx.x % 4];
  return e % 2 ? two.y : two.x;
}
static __device__ __forceinline__ float rilli_unpacked(const rilli_packed &x, int n, int e) {
  uint32_t both = x[n / 2][n % 2 * 2 + e / 2];
  return e % 2 ? rilli_high(both) : rilli_low(both);
}
/* packed = f(n, e) */
template <typename F>
static __device__ __forceinline__ void rilli_pack_values(rilli_packed &to, F &&f) {
#pragma unroll
  for (int k = 0; k < PACKS; k++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      to[k][i] = rilli_pack(f(2 * k + i / 2, i % 2 * 2), f(2 * k + i / 2, i % 2 * 2 + 1));
}

/* packed = f(n, e), and late = tail f(n, e) for what reaches the chunk's end. */
template <typename F>
static __device__ __forceinline__ void rilli_pack_writes(rilli_packed &to, rilli_packed &late,
                                                         const float *tail, F &&f) {
#pragma unroll
  for (int k = 0; k < PACKS; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int n = 2 * k + i / 2, e = i % 2 * 2;
      float x = f(n, e), y = f(n, e + 1);
      to[k][i] = rilli_pack(x, y);
      late[k][i] = rilli_pack(rilli_of_token(tail, n, e) * x, rilli_of_token(tail, n, e + 1) * y);
    }
}

static __device__ __forceinline__ void rilli_zero(rilli_values &x) {
  rilli_each_value([&](int n, int e) { x[n][e] = 0; });
}

/* x becomes clip(x); `slope`, where it is wanted, its slope there, packed. tanh x =
 * 1 - 2 / (1 + exp 2x). One branch for all, not one an element. */
template <bool SMOOTH>
static __device__ __forceinline__ void rilli_clip_as(const rilli_recur_chunked &p, rilli_values &x,
                                                     bool wanted, rilli_packed &slope) {
  float most = p.most, twice = 2.f * p.inverse;
  if (SMOOTH)
    rilli_each_value([&](int n, int e) {
      x[n][e] = 1.f - __fdividef(2.f, 1.f + __expf(twice * x[n][e])); /* r / most */
    });
  if (wanted)
    rilli_pack_values(slope, [&](int n, int e) {
      float u = x[n][e];
      if (SMOOTH) return 1.f - u * u;
      return u <= most && u >= -most ? 1.f : 0.f;
    });
  rilli_each_value([&](int n, int e) {
    float u = x[n][e];
    x[n][e] = SMOOTH ? most * u : u > most ? most : u < -most ? -most : u;
  });
}
static __device__ __forceinline__ void rilli_clip(const rilli_recur_chunked &p, rilli_values &x,
                                                  bool wanted, rilli_packed &slope) {
  if (p.smooth) {
    rilli_clip_as<true>(p, x, wanted, slope);
  } else {
    rilli_clip_as<false>(p, x, wanted, slope);
  }
}

/* ---- products ---- */

/* x += state y^T for the tokens' rows y of a tile [CHUNK, D]. */
template <int D>
static __device__ __forceinline__ void rilli_read_state(rilli_values &x,
                                                        const rilli_state<D> &state,
                                                        const rilli_bf16 *tile) {
  uint32_t place = rilli_across<D>(tile);
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t a[4], b[4];
    rilli_as_a(a, state[k / 8], state[k / 8 + 1]);
#pragma unroll
    for (int n = 0; n < CHUNK; n += 16) {
      rilli_ldmatrix_at(b, rilli_block_at<D>(place, n, k));
      rilli_mma(x[n / 8], a, b[0], b[1]);
      rilli_mma(x[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

/* Two reads of one state at once. */
template <int D>
static __device__ __forceinline__ void rilli_read_state_twice(rilli_values &x, rilli_values &y,
                                                              const rilli_state<D> &state,
                                                              const rilli_bf16 *x_tile,
                                                              const rilli_bf16 *y_tile) {
  uint32_t x_place = rilli_across<D>(x_tile), y_place = rilli_across<D>(y_tile);
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t a[4], b[4];
    rilli_as_a(a, state[k / 8], state[k / 8 + 1]);
#pragma unroll
    for (int n = 0; n < CHUNK; n += 16) {
      rilli_ldmatrix_at(b, rilli_block_at<D>(x_place, n, k));
      rilli_mma(x[n / 8], a, b[0], b[1]);
      rilli_mma(x[n / 8 + 1], a, b[2], b[3]);
      rilli_ldmatrix_at(b, rilli_block_at<D>(y_place, n, k));
      rilli_mma(y[n / 8], a, b[0], b[1]);
      rilli_mma(y[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

/* state += w y: what the tokens write with the rows y of a tile [CHUNK, D]. */
template <int D>
static __device__ __forceinline__ void rilli_write_state(rilli_state<D> &state,
                                                         const rilli_packed &w,
                                                         const rilli_bf16 *tile) {
  uint32_t place = rilli_straight<D>(tile);
#pragma unroll
  for (int k = 0; k < CHUNK; k += 16)
#pragma unroll
    for (int n = 0; n < D; n += 16) {
      uint32_t b[4];
      rilli_ldmatrix_transposed_at(b, rilli_block_at<D>(place, k, n));
      rilli_mma(state[n / 8], w[k / 16], b[0], b[1]);
      rilli_mma(state[n / 8 + 1], w[k / 16], b[2], b[3]);
    }
}

/* x_i += sum_j m_ij w_j for a lower triangular tile m. */
static __device__ __forceinline__ void rilli_mix_down(rilli_values &x, const rilli_packed &w,
                                                      const rilli_bf16 *m) {
  uint32_t place = rilli_across<CHUNK>(m);
#pragma unroll
  for (int k = 0; k < CHUNK; k += 16)
#pragma unroll
    for (int n = k; n < CHUNK; n += 16) {
      uint32_t b[4];
      rilli_ldmatrix_at(b, rilli_block_at<CHUNK>(place, n, k));
      rilli_mma(x[n / 8], w[k / 16], b[0], b[1]);
      rilli_mma(x[n / 8 + 1], w[k / 16], b[2], b[3]);
    }
}

/* x_j += sum_i m_ij w_i */
static __device__ __forceinline__ void rilli_mix_up(rilli_values &x, const rilli_packed &w,
                                                    const rilli_bf16 *m) {
  uint32_t place = rilli_straight<CHUNK>(m);
#pragma unroll
  for (int k = 0; k < CHUNK; k += 16)
#pragma unroll
    for (int n = 0; n <= k; n += 16) {
      uint32_t b[4];
      rilli_ldmatrix_transposed_at(b, rilli_block_at<CHUNK>(place, k, n));
      rilli_mma(x[n / 8], w[k / 16], b[0], b[1]);
      rilli_mma(x[n / 8 + 1], w[k / 16], b[2], b[3]);
    }
}

/* ---- memory ---- */

/* A warp's columns from `column` on of a tile [CHUNK, WIDTH]. */
template <int WIDTH>
static __device__ __forceinline__ void rilli_load_values(rilli_packed &x, const rilli_bf16 *tile,
                                                         int column) {
#pragma unroll
  for (int k = 0; k < PACKS; k++) rilli_load_a_turned<WIDTH>(x[k], tile, 16 * k, column);
}

/* Writes a warp's 16 columns of `tokens` tokens, `apart` elements apart. */
static __device__ __forceinline__ void rilli_store_values(rilli_bf16 *to, int64_t apart, int tokens,
                                                          const rilli_values &x) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < VALUE_TILES; n++) {
    uint32_t left = rilli_turn(rilli_pack(x[n][0], x[n][1]));
    uint32_t right = rilli_turn(rilli_pack(x[n][2], x[n][3]));
    int token = 8 * n + g;
    if (token >= tokens) continue;
    *(uint32_t *)(to + token * apart + 2 * t) = left;
    *(uint32_t *)(to + token * apart + 2 * t + 8) = right;
  }
}

/* Packed values: [PACKS, 32 lanes, 8]. */
enum { PACKED_WARP = CHUNK * 16 };
static __device__ __forceinline__ void rilli_store_packed(rilli_bf16 *to, const rilli_packed &x) {
  uint4 *at = (uint4 *)to + threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < PACKS; k++) at[k * 32] = make_uint4(x[k][0], x[k][1], x[k][2], x[k][3]);
}
static __device__ __forceinline__ void rilli_load_packed(rilli_packed &x, const rilli_bf16 *from) {
  const uint4 *at = (const uint4 *)from + threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < PACKS; k++) {
    uint4 four = at[k * 32];
    x[k][0] = four.x, x[k][1] = four.y, x[k][2] = four.z, x[k][3] = four.w;
  }
}

/* A warp's 16 rows [16, D] of a state, `at` being the first. */
template <int D>
static __device__ __forceinline__ void rilli_load_state(rilli_state<D> &x, const float *at) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < D / 8; n++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float2 two = make_float2(0, 0);
      if (at) two = *(const float2 *)(at + (g + 8 * half) * D + 8 * n + 2 * t);
      x[n][2 * half] = two.x, x[n][2 * half + 1] = two.y;
    }
}
template <int D>
static __device__ __forceinline__ void rilli_store_state(float *at, const rilli_state<D> &x) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < D / 8; n++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      *(float2 *)(at + (g + 8 * half) * D + 8 * n + 2 * t) =
          make_float2(x[n][2 * half], x[n][2 * half + 1]);
}
/* Exchanges among four neighbouring lanes: lane t gets what each of them had in x[t]. */
static __device__ __forceinline__ void rilli_exchange(uint32_t (&x)[4]) {
#pragma unroll
  for (int step = 1; step < 4; step *= 2) {
    bool upper = threadIdx.x & step;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (i & step) continue;
      uint32_t give = upper ? x[i] : x[i + step];
      uint32_t got = __shfl_xor_sync(~0u, give, step);
      if (upper) {
        x[i] = got;
      } else {
        x[i + step] = got;
      }
    }
  }
}
/* As bf16: the very values that products read. 32 columns, of which a lane writes eight. */
template <int D>
static __device__ __forceinline__ void rilli_store_tiles(rilli_bf16 *at, const float (&x)[4][4]) {
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    uint32_t four[4];
#pragma unroll
    for (int i = 0; i < 4; i++) four[i] = rilli_pack(x[i][2 * half], x[i][2 * half + 1]);
    rilli_exchange(four);
    *(uint4 *)(at + (g + 8 * half) * D + 8 * t) = make_uint4(four[0], four[1], four[2], four[3]);
  }
}
template <int D>
static __device__ __forceinline__ void rilli_store_state(rilli_bf16 *at, const rilli_state<D> &x) {
#pragma unroll
  for (int n = 0; n < D / 8; n += 4)
    rilli_store_tiles<D>(at + 8 * n, *(const float(*)[4][4]) & x[n]);
}
template <int D>
static __device__ __forceinline__ void rilli_fade_state(rilli_state<D> &x, float decay) {
#pragma unroll
  for (int n = 0; n < D / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) x[n][e] *= decay;
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_VALUES_CUH_ */
