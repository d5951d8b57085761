/* Segments of a sequence, for the sweeps: where a block begins, and with what state.
 *
 *   | segment 0 | segment 1 | segment 2 | ...          forward; backward the same from the other
 * end s0 -------> 0 --->|---------->                           a sum: each segment's own first,
 * added up, then 0 ---------- ->|---------->                  all again; else: from as far back as
 * counts
 *
 * A chunk multiplies the state it finds by exp(growth) at most: by its decays, and with the delta
 * rule by max(1, |1 - beta |k|^2|) of each token besides. So a sweep that starts with zero n chunks
 * earlier ends with the same state as one from the sequence's start, but for a part exp(sum of
 * growths) of it. A block goes back until that is less than f32 can tell (or to the start), and
 * keeps nothing of these chunks. Where nothing decays all segments run from the start: not slower
 * than one alone would be.
 *
 * A state that is a plain sum needs no going back: the sweep runs over every segment from zero
 * (LOCAL), `rilli_recur_carry` adds up, and the sweep runs again. */
#ifndef RILL_OPS_CUDA_RECURRENCE_CHUNK_SEGMENT_CUH_
#define RILL_OPS_CUDA_RECURRENCE_CHUNK_SEGMENT_CUH_

#include "ops/cuda/recurrence/chunk_values.cuh"

static constexpr float NEGLIGIBLE = -17; /* e^-17 < 2^-24 */

struct rilli_recur_segment {
  int64_t sequence, number, head;
  int64_t first, end;  /* its chunks */
  int64_t from, until; /* the sequence's */
  int64_t start; /* the first chunk of the sweep: `first`, or before it; backward the last: end - 1,
                    or behind it */
  __device__ bool empty() const { return first >= end && number > 0; }
  __device__ bool is_first() const { return number == 0; }
  __device__ bool is_last() const { return end >= until; }
  /* Place of a state [V, D] of the segment in p.carried. */
  __device__ int64_t place(const rilli_recur_chunked &p) const {
    return ((sequence * p.segments + number) * p.H + head) * p.D * p.D;
  }
};

/* Segment `item`, counted over heads, segments and sequences. */
static __device__ inline rilli_recur_segment rilli_recur_segment_of(const rilli_recur_chunked &p,
                                                                    int64_t item) {
  rilli_recur_segment s;
  s.head = item % p.H;
  s.number = item / p.H % p.segments;
  s.sequence = item / p.H / p.segments;
  s.from = p.first_chunk(s.sequence);
  s.until = p.first_chunk(s.sequence + 1);
  s.first = s.from + s.number * p.length;
  s.end = s.number + 1 < p.segments && s.first + p.length < s.until ? s.first + p.length : s.until;
  s.start = s.first;
  return s;
}

/* How many of the `most` chunks at, at + step, ... must be gone back over. All lanes of a warp. */
static __device__ inline int64_t rilli_recur_far(const rilli_recur_chunked &p, int64_t head,
                                                 int64_t at, int64_t step, int64_t most) {
  int lane = threadIdx.x % 32;
  float sum = 0;
  for (int64_t done = 0; done < most; done += 32) {
    float x = done + lane < most ? p.growth[(at + (done + lane) * step) * p.H + head] : 0.f;
    for (int i = 1; i < 32; i *= 2) {
      float other = __shfl_up_sync(~0u, x, i);
      if (lane >= i) x += other;
    }
    unsigned enough = __ballot_sync(~0u, sum + x <= NEGLIGIBLE);
    if (enough) return min(done + __ffs(enough), most);
    sum += __shfl_sync(~0u, x, 31);
  }
  return most;
}

#endif /* RILL_OPS_CUDA_RECURRENCE_CHUNK_SEGMENT_CUH_ */
