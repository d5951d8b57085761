/* Softmax attention: which kernel runs, and delta = sum(do o) - dlse for the backward.
 *
 * delta: a warp takes a query of a head, eight in a block of 256 threads; a lane owns every 32nd
 * channel. Sums in f32 (f64 for f64). No shared memory. Limits: 2^31 - 1 blocks. */
#include "ops/cuda/attention.cuh"

template <typename X>
static __global__ void deltas(rilli_attention_job<X> a) {
  typedef rilli_real<X> R;
  typedef rilli_group<32> warp;
  int64_t row = (int64_t)blockIdx.x * warp::GROUPS + warp::number(); /* (b, t, h) */
  if (row >= a.B * a.T * a.H) return;
  int64_t h = row % a.H, t = row / a.H % a.T, b = row / a.H / a.T, to = a.lse_at(b, t, h);
  R sum = 0;
  for (int64_t i = warp::lane(); a.do_ && i < a.D; i += 32)
    sum += rilli_load(a.do_[row * a.D + i]) * rilli_load(a.o[row * a.D + i]);
  sum = warp::sum(sum);
  if (warp::lane() == 0) a.delta[to] = sum - (a.dlse ? a.dlse[to] : (R)0);
}

/* Operands of call->in[at ...]: q, k, v. */
template <typename X>
static rilli_attention_job<X> job_of(const rill_call *call, int at) {
  const rilli_attention_attr *attr = (const rilli_attention_attr *)call->attr;
  const rill_array *q = &call->in[at], *k = q + 1;
  rilli_attention_job<X> a = {};
  a.B = q->size[0], a.T = q->size[1], a.H = q->size[2], a.D = q->size[3];
  a.S = k->size[1], a.G = k->size[2];
  a.causal = attr->causal;
  a.scale = attr->scale;
  a.q = (const X *)q->data, a.k = (const X *)k->data, a.v = (const X *)q[2].data;
  return a;
}

/* Inputs: q, k, v. */
template <typename X>
static rilli_attention_job<X> forward_of(const rill_call *call) {
  rilli_attention_job<X> a = job_of<X>(call, 0);
  a.o = (X *)call->out[0].data;
  a.lse = (rilli_real<X> *)call->out[1].data;
  return a;
}

/* Inputs: do, dlse, q, k, v, o, lse. delta is allocated and computed. */
template <typename X>
static bool backward_of(const rill_call *call, rilli_attention_job<X> *a) {
  typedef rilli_real<X> R;
  *a = job_of<X>(call, 2);
  a->do_ = (const X *)rilli_data_of(&call->in[0]);
  a->dlse = (const R *)rilli_data_of(&call->in[1]);
  a->o = (X *)call->in[5].data;
  a->lse = (R *)call->in[6].data;
  a->dq = (X *)call->out[0].data;
  a->dk = (X *)call->out[1].data;
  a->dv = (X *)call->out[2].data;
  int64_t rows = a->B * a->T * a->H;
  a->delta = (R *)rill_env_alloc(call->env, (size_t)rows * sizeof(R));
  return a->delta && rilli_launch(call->env, deltas<X>, rilli_blocks(rows, rilli_group<32>::GROUPS),
                                  rilli_group<32>::BLOCK, 0, *a);
}

/* ---- kernels of the op ---- */

static bool channels_fit(const rill_array *q) { return q->size[3] <= RILLI_ATTENTION_CHANNELS; }
static bool mma_fits(const rill_array *q) {
  return q->dtype == RILL_BF16 && (q->size[3] == 64 || q->size[3] == 128);
}
extern "C" bool rilli_cuda_attention_fits(const rill_call *call) {
  return channels_fit(&call->in[0]);
}
extern "C" bool rilli_cuda_attention_backward_fits(const rill_call *call) {
  return channels_fit(&call->in[2]);
}
extern "C" bool rilli_cuda_attention_mma_fits(const rill_call *call) {
  return mma_fits(&call->in[0]);
}
extern "C" bool rilli_cuda_attention_mma_backward_fits(const rill_call *call) {
  return mma_fits(&call->in[2]);
}

extern "C" bool rilli_cuda_attention(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[0].dtype, X,
                       done = rilli_attention_tiles(call->env, forward_of<X>(call)));
  return done;
}
extern "C" bool rilli_cuda_attention_backward(const rill_call *call) {
  bool done = false;
  RILLI_DISPATCH_FLOAT(call->in[2].dtype, X, {
    rilli_attention_job<X> a;
    done = backward_of(call, &a) && rilli_attention_tiles_backward(call->env, a);
  });
  return done;
}

/* Views may begin anywhere; those that do not suit the tensor cores' kernels take the others. */
extern "C" bool rilli_cuda_attention_mma(const rill_call *call) {
  rilli_attention_job<__nv_bfloat16> a = forward_of<__nv_bfloat16>(call);
  if (!rilli_aligned(a.q, a.k, a.v, a.o)) return rilli_attention_tiles(call->env, a);
  return rilli_attention_mma(call->env, a);
}
extern "C" bool rilli_cuda_attention_mma_backward(const rill_call *call) {
  rilli_attention_job<__nv_bfloat16> a;
  if (!backward_of(call, &a)) return false;
  if (!a.do_ || !rilli_aligned(a.q, a.k, a.v, a.do_, a.dq, a.dk, a.dv))
    return rilli_attention_tiles_backward(call->env, a);
  return rilli_attention_mma_backward(call->env, a);
}
