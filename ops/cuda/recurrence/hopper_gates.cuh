/* The gradients of the gates, from the sums that hopper_gradients.cuh leaves. A warp; a lane has
 * tokens 2l and 2l + 1. */
#ifndef RILL_OPS_CUDA_RECURRENCE_HOPPER_GATES_CUH_
#define RILL_OPS_CUDA_RECURRENCE_HOPPER_GATES_CUH_

#include "ops/cuda/recurrence/hopper_block.cuh"

/* The sum of x over all lanes before this one, and after it. */
static __device__ __forceinline__ float rilli_lanes_before(float x) {
  int lane = threadIdx.x % 32;
  for (int step = 1; step < 32; step *= 2) {
    float other = __shfl_up_sync(~0u, x, step);
    if (lane >= step) x += other;
  }
  float before = __shfl_up_sync(~0u, x, 1);
  return lane == 0 ? 0.f : before;
}
static __device__ __forceinline__ float rilli_lanes_after(float x) {
  int lane = threadIdx.x % 32;
  for (int step = 1; step < 32; step *= 2) {
    float other = __shfl_down_sync(~0u, x, step);
    if (lane + step < 32) x += other;
  }
  float after = __shfl_down_sync(~0u, x, 1);
  return lane == 31 ? 0.f : after;
}

template <int D, bool FITTED>
static __device__ __forceinline__ void rilli_hopper_gates(const rilli_recur_chunked &p,
                                                          const rilli_hopper_block<D, FITTED> &c,
                                                          int64_t at, int tokens) {
  float late[2], read[2], row[2], column[2], dbeta[2], dgamma[2], dg[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    int token = 2 * (threadIdx.x % 32) + i;
    auto number = [&](int which) { return c.numbers[which * CHUNK + token]; };
    auto one = [&](int state, int slot) {
      return c.all_sums[(state * SUMS + slot) * CHUNK + token];
    };
    auto both = [&](int state, int slot) {
      return D > 64 ? one(state, slot) + one(state, slot + 1) : one(state, slot);
    };
    late[i] = read[i] = row[i] = column[i] = dg[i] = dgamma[i] = 0;
#pragma unroll
    for (int state = 0; state < (FITTED ? 2 : 1); state++) {
      float factor = number(state ? READ_R : READ_S);
      float query = both(state, SUM_QUERY), pairs = one(state, SUM_PAIRS);
      bool delta = p.delta, reads = state ? delta : p.reads();
      late[i] += both(state, SUM_LATE);
      read[i] += factor * query + (reads ? both(state, SUM_KEY) : 0.f);
      row[i] += factor * pairs + one(state, SUM_KEYS);
      for (int warp = 0; warp < 8; warp++) column[i] += one(state, SUM_COLUMN + warp);
      if (delta) dg[i] += both(state, SUM_READ);
      if (state || !p.residual || p.gated) dg[i] += factor * (query + pairs);
      if (state && p.gated) dgamma[i] += number(ALPHA) * (query + pairs);
    }
    dbeta[i] = both(0, SUM_ERROR);
    if (FITTED) dgamma[i] += both(1, SUM_ERROR);
    if (p.gated) dgamma[i] += number(OWN) * one(FITTED ? 1 : 0, SUM_OWN);
  }
  float through = 0;
  for (int i = 0; i < rilli_hopper_block<D, FITTED>::THREADS / 32; i++) through += c.warps[i];
  float late_before = rilli_lanes_before(late[0] + late[1]);
  float read_after = rilli_lanes_after(read[0] + read[1]);
  float rows = rilli_lanes_before(row[0] + row[1]) + row[0];
  float columns = rilli_lanes_before(column[0] + column[1]);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    int token = 2 * (threadIdx.x % 32) + i;
    float sum = dg[i] + (columns + (i ? column[0] : 0.f)) - (rows + (i ? row[1] : 0.f));
    sum += late_before + (i ? late[0] : 0.f);
    sum += read_after + (i ? 0.f : read[1]);
    sum += c.whole() * through;
    if (token >= tokens) continue;
    int64_t element = at + token * p.H;
    if (p.dg) p.dg[element] = sum;
    if (p.dbeta) p.dbeta[element] = dbeta[i] + (p.tied ? dgamma[i] : 0.f);
    if (p.dgamma && !p.tied) p.dgamma[element] = dgamma[i];
  }
}

#endif /* RILL_OPS_CUDA_RECURRENCE_HOPPER_GATES_CUH_ */
