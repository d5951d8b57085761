/* Activation checkpointing: time for memory.
 *
 *   forward    f runs without a graph; one node keeps f's inputs and the state of the random stream
 *   backward   f runs again, with a graph, on leaves that share the inputs' memory and from the
 * same random state; a backward of its own through that graph fills the leaves' gradients, which
 * are the node's. Leaves that f reaches by itself (parameters) are reached by the same walk.
 *
 * A tensor that f captures and that is neither a leaf nor among its inputs belongs to the graph
 * outside; its node would be needed once more than it is there, and backward says so. */
#include "autograd/autograd.h"
#include "autograd/graph_impl.h"

typedef struct {
  rill_function *f;
  void *user;
  int outputs;
  rill_random_state random;
} recompute_attr;

/* What f returned: no output may be missing or void. */
static bool complete(rill_context *ctx, int outputs, rill_tensor *const *out) {
  for (int j = 0; j < outputs && !rilli_failed(ctx); j++) {
    if (!out[j])
      rill_fail(ctx, RILL_ERROR_STATE, "rill_recompute: the function did not set output %d", j);
    else if (rill_is_void(out[j]))
      rill_fail(ctx, RILL_ERROR_STATE, "rill_recompute: output %d of the function is void", j);
  }
  return !rilli_failed(ctx);
}

/* Runs f again and walks back through it. leaf [inputs], out and seed [outputs] are room to work.
 */
static void replay(const rill_vjp *g, rill_tensor **leaf, rill_tensor **out, rill_tensor **seed) {
  const recompute_attr *attr = g->attr;
  rill_random_state now = rill_random_get(g->ctx);
  for (int i = 0; i < g->inputs; i++) {
    leaf[i] = g->in[i] ? rill_detach(g->in[i]) : NULL;
    if (leaf[i] && rill_vjp_wants(g, i)) rill_require_grad(leaf[i]);
  }
  for (int j = 0; j < g->outputs; j++) out[j] = NULL;
  if (rilli_failed(g->ctx)) return;
  rill_random_set(g->ctx, attr->random);
  attr->f(attr->user, g->inputs, leaf, g->outputs, out);
  rill_random_set(g->ctx, now);
  if (!complete(g->ctx, g->outputs, out)) return;
  int seeds = 0;
  for (int j = 0; j < g->outputs; j++) {
    if (!g->grad[j] || !rill_requires_grad(out[j])) continue;
    seed[seeds] = g->grad[j];
    out[seeds++] = out[j];
  }
  rill_backward_from(seeds, out, seed);
  for (int i = 0; i < g->inputs && !rilli_failed(g->ctx); i++)
    if (leaf[i] && rill_grad(leaf[i])) rill_vjp_give(g, i, rill_grad(leaf[i]));
}

static void recompute_vjp(rill_vjp *g) {
  size_t room = (size_t)g->inputs + 2 * (size_t)g->outputs;
  rill_tensor **work = rill_alloc(g->ctx, room * sizeof(rill_tensor *));
  rill_scope *scope = work ? rilli_scope_open_as(g->ctx, false) : NULL;
  if (scope) replay(g, work, work + g->inputs, work + g->inputs + g->outputs);
  rill_scope_close(scope);
  rill_free(g->ctx, work);
}

static const rill_op recompute_op = {.name = "recompute",
                                     .in = {"x..."},
                                     .attr_size = sizeof(recompute_attr),
                                     .vjp = recompute_vjp,
                                     .saves = RILL_SAVE_ALL_INPUTS};

static rill_context *context_of(int inputs, rill_tensor *const *in) {
  rill_context *ctx = NULL;
  for (int i = 0; i < inputs; i++) {
    if (!in[i]) continue;
    rilli_check(in[i], "rill_recompute", "an input");
    if (ctx && ctx != in[i]->ctx)
      rilli_misuse("rill_recompute", "an input", "belongs to another context");
    ctx = in[i]->ctx;
  }
  if (!ctx) rilli_misuse("rill_recompute", "in", "has no tensor");
  return ctx;
}

/* Runs f without a graph; its outputs, as tensors without history, go to the scope around. */
static bool run_forward(rill_context *ctx, const recompute_attr *attr, int inputs,
                        rill_tensor *const *in, rill_tensor **out) {
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  if (!scope) return false;
  attr->f(attr->user, inputs, in, attr->outputs, out);
  bool done = complete(ctx, attr->outputs, out);
  for (int j = 0; done && j < attr->outputs; j++) {
    out[j] = rill_hoist(rill_detach(out[j]));
    done = !rill_is_void(out[j]);
  }
  rill_scope_close(scope);
  return done && !rilli_failed(ctx);
}

void rill_recompute(rill_function *f, void *user, int inputs, rill_tensor *const *in, int outputs,
                    rill_tensor **out) {
  rill_context *ctx = context_of(inputs, in);
  recompute_attr attr = {f, user, outputs, rill_random_get(ctx)};
  bool done = !rilli_failed(ctx);
  for (int i = 0; i < inputs; i++) done = done && (!in[i] || !rill_is_void(in[i]));
  for (int j = 0; j < outputs; j++) out[j] = NULL;
  done = done && outputs > 0 && run_forward(ctx, &attr, inputs, in, out);
  if (done && rill_grad_enabled(ctx))
    done = rilli_graph_attach(&recompute_op, inputs, in, &attr, outputs, out);
  for (int j = 0; !done && j < outputs; j++) out[j] = rilli_void(ctx);
}
