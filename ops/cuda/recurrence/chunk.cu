/* The chunked form on the host's side: when it runs, its scratch memory, and its stages in order.
 *
 * What `prepare` finds of a chunk and head takes 11 to 27 kB: scratch, or kept for the backward with
 * the states (32 or 64 kB at D = 128) and slopes. The backward's scratch are the gradients of states
 * and writes, 48 or 96 kB. Where there are fewer heads than multiprocessors, sequences are cut into
 * segments, and where they cannot be, V into slices. */
#include "ops/cuda/recurrence/chunk.cuh"
#include "ops/cuda/wgmma.cuh"

/* Cards whose blocks have 99 kB of shared memory: too little for D = 128. */
static bool has_little_shared(const rill_cuda_card *card) {
  return card->major > 8 ? card->major >= 12 : card->minor != 0 && card->minor != 7;
}

/* bf16 elements that the forward keeps of a chunk and head: states, slopes of the clip, and what
 * `prepare` has found. */
struct kept {
  int64_t states, slopes, pairs, own_r;
  bool reads;
  kept(const rill_rule *rule, int64_t D) {
    bool fitted = rule->residual == RILL_RESIDUAL_FITTED, delta = rule->write == RILL_WRITE_DELTA;
    states = (fitted ? 2 : 1) * D * D;
    slopes = rule->residual != RILL_RESIDUAL_NONE ? CHUNK * D : 0;
    reads = delta || rule->residual != RILL_RESIDUAL_NONE;
    own_r = delta && fitted && rule->gamma != RILL_GAMMA_TIED;
    pairs = 1 + reads + own_r;
  }
  int64_t prepared() const { return pairs * PAIRS + NUMBERS * CHUNK * 2; }
};
static int64_t growths(int64_t items) { return (items + 3) / 4 * 4; } /* f32, 16 bytes each time */

extern "C" int64_t rilli_cuda_recur_chunk_keeps(const rill_env *env,
                                                const rilli_recur_attributes *attr,
                                                const rill_array *in) {
  const rill_array *q = &in[Q], *v = &in[V];
  int64_t D = q->size[3], items = attr->chunks * q->size[2];
  if (attr->impl == RILL_IMPL_REFERENCE || q->dtype != RILL_BF16) return 0;
  if (attr->rule.decay == RILL_DECAY_CHANNEL || attr->chunk != CHUNK) return 0;
  if (D != v->size[3] || (D != 64 && D != 128)) return 0;
  if (attr->impl != RILL_IMPL_CHUNK && q->size[1] < 16) return 0;
  const rill_cuda_card *card = &rilli_cuda_of(env)->card;
  if (card->major < 8 || (D == 128 && has_little_shared(card))) return 0;
  kept k(&attr->rule, D);
  return items * (k.states + k.slopes + k.prepared()) / 2 + growths(items);
}
extern "C" bool rilli_cuda_recur_chunk_fits(const rill_call *call) {
  return rilli_cuda_recur_chunk_keeps(call->env, (const rilli_recur_attributes *)call->attr,
                                      call->in) > 0;
}

/* Hands out memory of a call: of `rest` if there is one, else scratch. */
struct memory {
  rill_env *env;
  char *rest;
};
template <typename X>
static X *take(memory *m, int64_t count) {
  size_t bytes = (size_t)count * sizeof(X);
  if (!m->rest) return (X *)rill_env_alloc(m->env, bytes);
  X *at = (X *)m->rest;
  m->rest += bytes;
  return at;
}

/* Copies take 16 bytes at once: an operand where it is, or a copy at such a place; NULL when
 * absent. */
template <typename X>
static bool aligned(const rill_call *call, int which, const X **to) {
  const rill_array *a = &call->in[which];
  *to = rilli_recur_operand<const X>(a);
  if (!*to || (uintptr_t)*to % 16 == 0) return true;
  size_t bytes = (size_t)rill_array_count(a) * sizeof(X);
  rilli_cuda *dev = rilli_cuda_of(call->env);
  void *copy = rill_env_alloc(call->env, bytes);
  *to = (const X *)copy;
  if (!copy) return false;
  int error = dev->calls->copy(copy, a->data, bytes, dev->stream);
  return error == 0 || rilli_cuda_fail(dev, "copying an operand", error);
}

/* How many segments and slices make enough blocks for the processors, from sizes alone. Segments
 * cost least, but go back some chunks; slices read keys and queries again. */
static void cut(rilli_recur_chunked *p, int64_t processors) {
  enum { LEAST = 8 }; /* chunks of a segment */
  int64_t heads = p->N * p->H, most = p->per_row / LEAST;
  p->segments = 1;
  bool decays = p->g != nullptr || rilli_recur_is_sum(*p);
  if (!p->token_start && decays && heads > 0) p->segments = processors / heads;
  if (p->segments > most) p->segments = most;
  if (p->segments < 1) p->segments = 1;
  p->length = rilli_ceil_div(p->per_row, p->segments);
  if (p->length < 1) p->length = 1;
  p->slice = (int)p->D;
  while (p->slice > 32 && heads * p->segments * (p->D / p->slice) < processors / 2 + 1)
    p->slice /= 2;
}

/* `states`: what the forward leaves for the backward, or NULL. */
static bool lay_out(const rill_call *call, const rill_array *states, rilli_recur_chunked *p) {
  if (!rilli_recur_problem_of(call, p)) return false;
  if (!aligned(call, Q, &p->q) || !aligned(call, K, &p->k) || !aligned(call, V, &p->v) ||
      !aligned(call, S0, &p->s0) || !aligned(call, R0, &p->r0))
    return false;
  rill_env *env = call->env;
  kept k(&((const rilli_recur_attributes *)call->attr)->rule, p->D);
  int64_t items = p->chunks * p->H, D = p->D;
  memory m = {env, states ? (char *)states->data : nullptr};
  if (states) {
    p->states = take<rilli_bf16>(&m, items * k.states);
    p->slopes = take<rilli_bf16>(&m, items * k.slopes);
  }
  p->numbers = take<float>(&m, items * NUMBERS * CHUNK);
  p->growth = take<float>(&m, growths(items));
  p->pairs = take<rilli_bf16>(&m, items * PAIRS);
  if (k.reads) p->solve_s = take<rilli_bf16>(&m, items * PAIRS);
  if (p->delta && p->fitted)
    p->solve_r = k.own_r ? take<rilli_bf16>(&m, items * PAIRS) : p->solve_s;
  if (!p->numbers || !p->growth || !p->pairs || (k.reads && !p->solve_s)) return false;
  if (p->delta && p->fitted && !p->solve_r) return false;
  bool none = !p->residual || p->clip == RILL_CLIP_NONE;
  p->smooth = p->clip == RILL_CLIP_TANH;
  p->most = none ? INFINITY : (float)p->bound;
  p->inverse = 1 / p->most;
  const rill_cuda_card *card = &rilli_cuda_of(env)->card;
  p->most_shared = (card->major == 8 ? 163 : 227) * 1024;
  if (has_little_shared(card)) p->most_shared = 99 * 1024;
  cut(p, card->multiprocessors);
  p->stages = 2;
  if (p->segments > 1 && rilli_recur_is_sum(*p)) {
    p->carried =
        (float *)rill_env_alloc(env, (size_t)(p->N * p->segments * p->H * D * D) * sizeof(float));
    if (!p->carried) return false;
  }
  p->hopper = RILLI_BUILT_FOR_HOPPER && card->major == 9;
  return true;
}

extern "C" bool rilli_cuda_recur_chunk(const rill_call *call) {
  rilli_recur_chunked p = {};
  bool training = rill_array_count(&call->out[OUT_STATES]) > 0;
  if (!lay_out(call, training ? &call->out[OUT_STATES] : nullptr, &p)) return false;
  p.o = (rilli_bf16 *)call->out[OUT_O].data;
  p.s = (float *)call->out[OUT_S].data;
  p.r = p.fitted ? (float *)call->out[OUT_R].data : nullptr;
  return rilli_recur_prepare(call->env, p) &&
         (p.fitted ? rilli_recur_sweep_two : rilli_recur_sweep_one)(call->env, p);
}

extern "C" bool rilli_cuda_recur_chunk_backward(const rill_call *call) {
  const rill_array *in = call->in;
  rill_env *env = call->env;
  rilli_recur_chunked p = {};
  if (!lay_out(call, &in[STATES], &p)) return false;
  int64_t states = p.chunks * p.H * (p.fitted ? 2 : 1);
  p.dstates = (rilli_bf16 *)rill_env_alloc(env, (size_t)(states * p.V * p.D) * sizeof(rilli_bf16));
  p.dwrites =
      (rilli_bf16 *)rill_env_alloc(env, (size_t)(states * CHUNK * p.V) * sizeof(rilli_bf16));
  if (!p.dstates || !p.dwrites) return false;
  if (!aligned(call, DO, &p.go) || !aligned(call, DS, &p.ds_end) || !aligned(call, DR, &p.dr_end))
    return false;
  void *to[R0 + 1];
  for (int i = Q; i <= R0; i++) to[i] = rill_present(&in[i]) ? call->out[i].data : nullptr;
  p.dq = (rilli_bf16 *)to[Q], p.dk = (rilli_bf16 *)to[K], p.dv = (rilli_bf16 *)to[V];
  p.dg = (float *)to[G], p.dbeta = (float *)to[BETA], p.dgamma = (float *)to[GAMMA];
  p.ds0 = (float *)to[S0], p.dr0 = (float *)to[R0];
  return (p.fitted ? rilli_recur_reverse_two : rilli_recur_reverse_one)(env, p) &&
         (p.hopper ? rilli_recur_gradients_hopper : rilli_recur_gradients)(env, p);
}
