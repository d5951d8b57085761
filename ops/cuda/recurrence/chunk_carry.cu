/* States between segments (chunk_segment.cuh): where each segment left, at the next one's place,
 * what it adds, this leaves the state itself, segment after segment: carried[n] += exp(sum of g
 * over segment n - 1) carried[n - 1]        backward from the other end
 *
 * Grid: 256 threads, each 4 elements of a state of a sequence and head. f32. No shared memory, no
 * barrier. Bytes: a state read and written for each segment. */
#include "ops/cuda/recurrence/chunk_segment.cuh"

static __global__ void __launch_bounds__(256) carry(rilli_recur_chunked p, bool backward) {
  int64_t pieces = p.D * p.D / 4, i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  int64_t item = i / pieces, sequence = item / p.H, head = item % p.H;
  if (sequence >= p.N) return;
  float4 sum = make_float4(0, 0, 0, 0);
  int64_t last = (p.first_chunk(sequence + 1) - p.first_chunk(sequence) - 1) / p.length;
  for (int64_t n = 1; n <= last; n++) {
    int64_t number = backward ? last - n : n, passed = backward ? number + 1 : number - 1;
    rilli_recur_segment at =
        rilli_recur_segment_of(p, (sequence * p.segments + passed) * p.H + head);
    float g = 0;
    for (int64_t chunk = at.first; chunk < at.end; chunk++) g += p.growth[chunk * p.H + head];
    float decay = n == 1 ? 0.f : expf(g);
    float4 *place =
        (float4 *)p.carried + ((sequence * p.segments + number) * p.H + head) * pieces + i % pieces;
    float4 x = *place;
    sum.x = x.x + decay * sum.x, sum.y = x.y + decay * sum.y;
    sum.z = x.z + decay * sum.z, sum.w = x.w + decay * sum.w;
    *place = sum;
  }
}

bool rilli_recur_carry(rill_env *env, const rilli_recur_chunked &p, bool backward) {
  return rilli_launch(env, carry, rilli_blocks(p.N * p.H * (p.D * p.D / 4), 256), 256, 0, p,
                      backward);
}
