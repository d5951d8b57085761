/* The chunked form on tensor cores: what its kernels share.
 *
 * All that token i reads from a state before it, with its key or its query x, is one form:
 *     S_{i-1} x_i = am_i (S_0 x_i) + sum_{j < i} (x_i . k_j) decay_ij w_j,     w_j = beta_j e_j
 * with S_0 the state at the chunk's start, am_i the decay from there to before i, decay_ij that
 * between j and i, both excluded. With N_ij = (k_i . k_j) decay_ij, d = alpha (delta rule) or 0:
 *     z = am (S_0 k) + N w,  e = v - d z      solved as      z = am (S_0 k) + J beta (v - d am S_0
 * k), J = (I + N diag(d beta))^-1 N           strictly lower; |J_ij| <= 1 for unit keys One product
 * gives the error e and the residual v - z, and nothing is divided by a decay or a gate. R is the
 * same with gamma and the clipped residual in place of beta and v.
 *
 *   forward    prepare (chunks)  ->  sweep (sequences)
 *   backward   reverse sweep (sequences)  ->  gradients (chunks)
 *
 * Gradients have a kernel for Hopper besides (hopper_gradients.cuh).
 *
 * prepare: all that depends on keys, queries and gates alone. The sweeps carry S and R, or their
 * gradients, from chunk to chunk, for slices of V that do not meet. gradients: sums over V.
 *
 * Where a call has fewer sequences and heads than the GPU can take, the sweeps cut sequences into
 * segments that run side by side (chunk_segment.cuh). */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_CUH_

#include "ops/cuda/mma.cuh"
#include "ops/cuda/recurrence/problem.cuh"

enum { CHUNK = 64, PAIRS = CHUNK * CHUNK };

/* Numbers of a token that `prepare` leaves, f32 [CHUNK] each. Tokens behind the sequence's end have
 * alpha = 1, beta = gamma = 0, and q = k = v = 0 when they are read. */
enum {
  ALPHA,
  BEFORE, /* am: decay from the chunk's start to before the token */
  TAIL,   /* decay from after the token to the chunk's end */
  WRITE,  /* beta */
  FIT,    /* gamma */
  OWN,    /* q . k */
  LOG_BEFORE,
  LOG_AFTER, /* sums of log alpha from the chunk's start: without and with the token */
  DECAYED,   /* d: alpha for the delta rule, else 0 */
  READ_S,    /* what o reads S_{i-1} q with: alpha, or 1 where o is a plain sum of reads */
  READ_R,    /* and R_{i-1} q: gbar alpha, gbar being gamma or 1 */
  OWN_OUT,   /* the factor of the token's own write in o: q . k, times gbar with a residual */
  NUMBERS
};

struct rilli_recur_chunked : rilli_recur_problem<rilli_bf16> {
  /* Of every chunk and head in this order; scratch, or kept for the backward. */
  float *numbers;    /* [NUMBERS, CHUNK] */
  float *growth;     /* log of a bound on what the chunk multiplies a state's size by */
  rilli_bf16 *pairs; /* [CHUNK, CHUNK] (q_i . k_j) decay_ij, j < i */
  rilli_bf16
      *solve_s; /* [CHUNK, CHUNK] J of S, or N where S is a plain sum that keys read; or NULL */
  rilli_bf16 *solve_r; /* [CHUNK, CHUNK] J of R; NULL where R is a plain sum */

  /* Kept for the backward: S and R at the start of each chunk [P, V, D] as bf16, and the slope of
   * the clip in packed order (chunk_values.cuh). NULL when not training. */
  rilli_bf16 *states, *slopes;

  /* Forward. */
  rilli_bf16 *o;
  float *s, *r; /* [N, H, V, D] */

  /* Backward. */
  const rilli_bf16 *go;
  const float *ds_end, *dr_end; /* [N, H, V, D] or NULL */
  rilli_bf16 *dq, *dk, *dv;
  float *dg, *dbeta, *dgamma, *ds0, *dr0; /* or NULL */
  rilli_bf16 *dstates; /* scratch: gradients of S and R at the end of each chunk, [P, V, D] */
  rilli_bf16 *dwrites; /* scratch: those of the writes beta e (and gamma f), [P] packed */

  /* The clip: the bound (infinite: none) and its inverse; tanh, or hard. */
  float most, inverse;
  bool smooth;

  bool hopper;        /* the card runs sm_90a's kernels, and they were built */
  size_t most_shared; /* bytes of shared memory that a block can have */
  int slice, stages;  /* V columns of a sweep's block; chunks in shared memory at once, 1 or 2 */

  int64_t segments, length; /* of a sequence; chunks in one, the last may have fewer */
  float *carried; /* plain sums: S at the start of each segment, or dS at its end, [N, segments, H,
                     V, D]; else NULL */

  __device__ bool reads() const { return delta || residual; }
  __device__ int parts() const { return fitted ? 2 : 1; }
};

/* The tokens of a chunk of the whole call. */
struct rilli_recur_span {
  int64_t first;
  int tokens;
};
static __device__ inline rilli_recur_span rilli_recur_span_at(const rilli_recur_shape &p,
                                                              int64_t sequence, int64_t chunk) {
  int64_t first = p.first_token(sequence) + (chunk - p.first_chunk(sequence)) * CHUNK;
  int64_t left = p.first_token(sequence + 1) - first;
  return {first, left < CHUNK ? (int)left : CHUNK};
}
static __device__ inline rilli_recur_span rilli_recur_span_of(const rilli_recur_shape &p,
                                                              int64_t chunk) {
  if (!p.chunk_start) return rilli_recur_span_at(p, chunk / p.per_row, chunk);
  int64_t low = 0, high = p.N; /* the last sequence that starts at or before the chunk */
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    if (p.chunk_start[middle] <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return rilli_recur_span_at(p, low, chunk);
}

/* Begins to copy `rows` rows of WIDTH elements, `apart` elements apart, into a tile; rows from
 * `valid` on are zeros. */
template <int WIDTH>
static __device__ __forceinline__ void rilli_recur_copy(rilli_bf16 *tile, const rilli_bf16 *from,
                                                        int64_t apart, int rows, int valid) {
  int row = threadIdx.x / (WIDTH / 8), column = threadIdx.x % (WIDTH / 8) * 8;
  int step = blockDim.x / (WIDTH / 8);
  const rilli_bf16 *at = from + row * apart + column;
#pragma unroll 4
  for (; row < rows; row += step, at += step * apart) {
    bool there = row < valid;
    rilli_copy_async(tile + rilli_tile_at<WIDTH>(row, column), there ? at : from, there);
  }
}

/* Plain sums of writes, S alone: what a segment adds does not depend on where it starts. */
static inline bool rilli_recur_is_sum(const rilli_recur_chunked &p) {
  return !p.delta && !p.residual;
}

/* The stages; false when a launch failed. _one: rules with S alone, _two: S and R. */
bool rilli_recur_prepare(rill_env *env, const rilli_recur_chunked &p);
bool rilli_recur_sweep_one(rill_env *env, const rilli_recur_chunked &p);
bool rilli_recur_sweep_two(rill_env *env, const rilli_recur_chunked &p);
bool rilli_recur_carry(rill_env *env, const rilli_recur_chunked &p, bool backward);
bool rilli_recur_reverse_one(rill_env *env, const rilli_recur_chunked &p);
bool rilli_recur_reverse_two(rill_env *env, const rilli_recur_chunked &p);
bool rilli_recur_gradients(rill_env *env, const rilli_recur_chunked &p);
/* The same where p.hopper. */
bool rilli_recur_gradients_hopper(rill_env *env, const rilli_recur_chunked &p);

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_CUH_ */
