/* Where packed sequences begin, in chunks: chunk_start[n] = sum over m < n of
 * ceil((offsets[m + 1] - offsets[m]) / C), and what else a call says.
 *
 * One warp; a lane takes every 32nd sequence, a shuffle scan adds 32 of them. 16 bytes a sequence
 * are read, 8 written. No shared memory, no barrier. */
#include "ops/cuda/recurrence/problem.cuh"

static __global__ void start_chunks(int64_t n, int64_t C, const int64_t *offsets, int64_t *start) {
  int lane = threadIdx.x;
  int64_t before = 0;
  if (lane == 0) start[0] = 0;
  for (int64_t i = lane; i - lane < n; i += 32) {
    long long chunks = i < n ? (offsets[i + 1] - offsets[i] + C - 1) / C : 0;
    for (int step = 1; step < 32; step *= 2) {
      long long other = __shfl_up_sync(~0u, chunks, step);
      if (lane >= step) chunks += other;
    }
    if (i < n) start[i + 1] = before + chunks;
    before += __shfl_sync(~0u, chunks, 31);
  }
}

bool rilli_recur_shape_of(const rill_call *call, rilli_recur_shape *shape) {
  const rilli_recur_attributes *attr = (const rilli_recur_attributes *)call->attr;
  const rill_array *in = call->in;
  const rill_rule *rule = &attr->rule;
  bool f64 = in[Q].dtype == RILL_F64;
  shape->delta = rule->write == RILL_WRITE_DELTA;
  shape->residual = rule->residual != RILL_RESIDUAL_NONE;
  shape->fitted = rule->residual == RILL_RESIDUAL_FITTED;
  shape->gated = shape->residual && rule->output == RILL_OUTPUT_GATED;
  shape->tied = shape->residual && rule->gamma == RILL_GAMMA_TIED;
  shape->channel = rule->decay == RILL_DECAY_CHANNEL;
  shape->bound = fmax(attr->clip, f64 ? 1e-290 : 1e-30);
  bool unbounded = f64 ? isinf(shape->bound) : isinf((float)shape->bound);
  shape->clip = unbounded ? RILL_CLIP_NONE : rule->clip;
  shape->N = attr->sequences;
  shape->H = in[Q].size[2];
  shape->D = in[Q].size[3];
  shape->V = in[V].size[3];
  shape->C = attr->chunk;
  shape->chunks = attr->chunks;
  shape->length = in[Q].size[1];
  shape->per_row = rilli_ceil_div(shape->length, shape->C);
  shape->token_start = shape->chunk_start = nullptr;
  if (!attr->packed) return true;
  int64_t *start = (int64_t *)rill_env_alloc(call->env, (size_t)(shape->N + 1) * sizeof(int64_t));
  shape->token_start = (const int64_t *)in[OFFSETS].data;
  shape->chunk_start = start;
  return start && rilli_launch(call->env, start_chunks, rilli_grid_of(1), 32, 0, shape->N, shape->C,
                               shape->token_start, start);
}
