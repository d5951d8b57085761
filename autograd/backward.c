/* Backward: from output gradients to leaf gradients.
 *
 * Nodes are taken from a heap by serial number, newest first: a node's consumers are all newer, so
 * when it is taken its gradient is complete. Each derivative rule runs in a no-grad scope of its
 * own; what it gives is summed to the shape of its source and added up. A gradient that nobody else
 * holds is added to in place. A node lets go of its saved tensors as soon as it has run, so memory
 * falls on the way. */
#include "autograd/autograd.h"
#include "autograd/graph_impl.h"

/* What one rule gave, before it is handed on. */
typedef struct {
  int input;
  rill_tensor *grad; /* one reference */
} gift;

enum { GIFTS_ON_STACK = 32 };

struct rilli_vjp_sink {
  const rilli_graph_node *node;
  gift *gifts;
  int count, capacity;
  bool failed;
};

typedef struct {
  rill_context *ctx;
  rilli_graph_node **heap;
  int64_t count, capacity;
} walk;

/* ---- the heap ---- */

static bool heap_push(walk *w, rilli_graph_node *node) {
  if (w->count == w->capacity) {
    int64_t capacity = w->capacity ? 2 * w->capacity : 64;
    rilli_graph_node **heap = rill_alloc(w->ctx, (size_t)capacity * sizeof *heap);
    if (!heap) return false;
    for (int64_t i = 0; i < w->count; i++) heap[i] = w->heap[i];
    rill_free(w->ctx, w->heap);
    w->heap = heap;
    w->capacity = capacity;
  }
  int64_t i = w->count++;
  while (i > 0 && w->heap[(i - 1) / 2]->serial < node->serial) {
    w->heap[i] = w->heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  w->heap[i] = node;
  rilli_node_retain(&node->base);
  return true;
}

static rilli_graph_node *heap_pop(walk *w) {
  rilli_graph_node *top = w->heap[0], *last = w->heap[--w->count];
  int64_t i = 0;
  for (;;) {
    int64_t child = 2 * i + 1;
    if (child >= w->count) break;
    if (child + 1 < w->count && w->heap[child + 1]->serial > w->heap[child]->serial) child++;
    if (w->heap[child]->serial < last->serial) break;
    w->heap[i] = w->heap[child];
    i = child;
  }
  w->heap[i] = last;
  return top;
}

/* ---- adding gradients up ---- */

static bool ours_alone(const rill_tensor *x) {
  return x->refs == 1 && x->storage->refs == 1 && rill_array_contiguous(&x->array);
}

static bool add_into(rill_tensor *to, const rill_tensor *from) {
  rilli_device *device = to->storage->device;
  if (device->accumulate(device, &to->array, &from->array)) return true;
  rill_fail(to->ctx, RILL_ERROR_DEVICE, "rill_backward: %s: %s", device->name,
            device->why ? device->why : "adding gradients failed");
  return false;
}

/* A copy with a reference of its own. */
static rill_tensor *own_copy(rill_tensor *x) {
  rill_scope *scope = rill_scope_open_no_grad(x->ctx);
  rill_tensor *y = scope ? rill_copy(x) : NULL;
  if (y && !rill_is_void(y)) rilli_retain(y);
  rill_scope_close(scope);
  return y && !rill_is_void(y) ? y : NULL;
}

/* *slot += grad; takes over the reference to grad. */
static bool add_to_slot(rill_tensor **slot, rill_tensor *grad) {
  bool done = true;
  if (!*slot) {
    *slot = grad;
    return true;
  }
  if (!ours_alone(*slot)) {
    rill_tensor *base = ours_alone(grad) ? grad : own_copy(grad);
    if (base != grad) rilli_release(grad);
    grad = *slot;
    *slot = base;
    done = base != NULL;
  }
  done = done && add_into(*slot, grad);
  rilli_release(grad);
  return done;
}

/* The same for a leaf, whose gradient must be memory of its own from the start. */
static bool add_to_leaf(rill_tensor *leaf, rill_tensor *grad) {
  if (!leaf->grad && !ours_alone(grad)) {
    rill_tensor *copy = own_copy(grad);
    rilli_release(grad);
    leaf->grad = copy;
    return copy != NULL;
  }
  return add_to_slot(&leaf->grad, grad);
}

/* ---- one node ---- */

bool rill_vjp_wants(const rill_vjp *g, int i) {
  const rilli_edge *edge = &g->sink->node->edge[i];
  return edge->node || edge->leaf;
}

/* grad summed to the shape of `like`, in the dtype that its receiver wants: the source's, but f32
 * for a leaf in bf16, where many small contributions add up. */
static rill_tensor *fit(rill_tensor *grad, const rill_array *like, bool leaf, const rill_op *op,
                        int input) {
  rill_dtype dtype = leaf && like->dtype == RILL_BF16 ? RILL_F32 : like->dtype;
  rill_context *ctx = grad->ctx;
  rill_shape want = rill_array_shape(like), have = rill_array_shape(&grad->array), both;
  if (rill_shape_equal(want, have) && grad->array.dtype == dtype) return grad;
  if (!rill_shape_broadcast(want, have, &both) || !rill_shape_equal(both, have)) {
    rill_fail(ctx, RILL_ERROR_STATE,
              "%s: its derivative gave input %d, of shape %s, a gradient of shape %s", op->name,
              input, rill_shape_print(want).text, rill_shape_print(have).text);
    return NULL;
  }
  rill_tensor *fitted = rilli_tensor_new(ctx, dtype, want, op->name);
  if (rill_is_void(fitted)) return NULL;
  rill_array to = fitted->array;
  int missing = have.rank - want.rank;
  for (int d = have.rank - 1; d >= 0; d--) {
    to.size[d] = d < missing ? 1 : to.size[d - missing];
    to.stride[d] = d < missing ? 0 : to.stride[d - missing];
  }
  to.rank = have.rank;
  rilli_device *device = fitted->storage->device;
  bool done = rill_shape_equal(want, have) ? device->copy(device, &to, &grad->array)
                                           : device->reduce_to(device, &to, &grad->array);
  if (!done) rill_fail(ctx, RILL_ERROR_DEVICE, "rill_backward: summing a gradient failed");
  return done ? fitted : NULL;
}

void rill_vjp_give(const rill_vjp *g, int i, rill_tensor *grad) {
  struct rilli_vjp_sink *sink = g->sink;
  if (!rill_vjp_wants(g, i) || sink->failed) return;
  rilli_check(grad, g->op->name, "a gradient given by its derivative");
  rill_tensor *fitted =
      rill_is_void(grad) ? NULL : fit(grad, &g->like[i], sink->node->edge[i].leaf, g->op, i);
  if (!fitted || sink->count == sink->capacity) {
    sink->failed = true;
    return;
  }
  rilli_retain(fitted);
  sink->gifts[sink->count++] = (gift){i, fitted};
}

/* A saved input that was overwritten since would give a wrong gradient without a word. */
static bool saved_unchanged(const rilli_graph_node *node) {
  for (int i = 0; i < node->inputs; i++) {
    if (!node->in[i] || node->in[i]->storage->version == node->edge[i].version) continue;
    rill_fail(
        node->in[i]->ctx, RILL_ERROR_STATE,
        "rill_backward: %s: input %d was overwritten after it was used; its old value is needed",
        node->op->name, i);
    return false;
  }
  return true;
}

/* Hands a gift to the leaf or to the node that made the input; takes over the reference. */
static bool hand_on(walk *w, const rilli_edge *edge, rill_tensor *grad) {
  if (edge->leaf) return add_to_leaf(edge->leaf, grad);
  rilli_graph_node *source = (rilli_graph_node *)edge->node;
  bool waiting = false;
  for (int j = 0; j < source->outputs; j++) waiting = waiting || source->grad[j];
  if (!add_to_slot(&source->grad[edge->output], grad)) return false;
  return waiting || heap_push(w, source);
}

static bool run_node(walk *w, rilli_graph_node *node) {
  if (node->done) {
    rill_fail(w->ctx, RILL_ERROR_STATE,
              "rill_backward: the graph through %s was released by an earlier backward; compute "
              "the loss again",
              node->op->name);
    return false;
  }
  if (!saved_unchanged(node)) return false;
  gift on_stack[GIFTS_ON_STACK];
  struct rilli_vjp_sink sink = {.node = node, .gifts = on_stack, .capacity = GIFTS_ON_STACK};
  int most = 2 * node->inputs;
  if (most > GIFTS_ON_STACK) {
    sink.gifts = rill_alloc(w->ctx, (size_t)most * sizeof(gift));
    sink.capacity = most;
  }
  rill_scope *scope = sink.gifts ? rill_scope_open_no_grad(w->ctx) : NULL;
  if (scope) {
    rill_vjp g = {.op = node->op,
                  .inputs = node->inputs,
                  .outputs = node->outputs,
                  .in = node->in,
                  .out = node->out,
                  .grad = node->grad,
                  .like = node->like,
                  .attr = node->attr,
                  .ctx = w->ctx,
                  .sink = &sink};
    node->op->vjp(&g);
  }
  rill_scope_close(scope);
  if (sink.failed && !rilli_failed(w->ctx))
    rill_fail(w->ctx, RILL_ERROR_STATE, "rill_backward: %s gave more gradients than it has inputs",
              node->op->name);
  bool done = scope && !rilli_failed(w->ctx);
  for (int i = 0; i < sink.count; i++) {
    rill_tensor *grad = sink.gifts[i].grad;
    if (done) {
      done = hand_on(w, &node->edge[sink.gifts[i].input], grad);
    } else {
      rilli_release(grad);
    }
  }
  if (sink.gifts != on_stack) rill_free(w->ctx, sink.gifts);
  rilli_graph_clear(w->ctx, node);
  return done;
}

/* ---- the walk ---- */

/* Puts one output and its gradient (NULL = ones) at the start of the walk. */
static bool seed(walk *w, rill_tensor *output, rill_tensor *gradient) {
  rilli_check(output, "rill_backward_from", "an output");
  if (rill_is_void(output)) return false;
  if (!rill_requires_grad(output)) {
    rill_fail(w->ctx, RILL_ERROR_STATE,
              "rill_backward: the output, made by %s, does not depend on a leaf that requires a "
              "gradient (or was computed "
              "in a no-grad scope)",
              output->made_by);
    return false;
  }
  rill_tensor *grad = gradient;
  if (grad &&
      (rill_is_void(grad) || !rill_shape_equal(rill_shape_of(grad), rill_shape_of(output)) ||
       rill_dtype_of(grad) != rill_dtype_of(output))) {
    rill_fail(w->ctx, RILL_ERROR_ARGUMENT,
              "rill_backward_from: a gradient %s %s was given for an output %s %s; they must agree",
              rill_dtype_name(rill_dtype_of(grad)), rill_shape_print(rill_shape_of(grad)).text,
              rill_dtype_name(rill_dtype_of(output)), rill_shape_print(rill_shape_of(output)).text);
    return false;
  }
  if (!grad) grad = rill_full(w->ctx, output->array.dtype, rill_shape_of(output), 1);
  if (rill_is_void(grad)) return false;
  rilli_retain(grad);
  rilli_edge edge = {
      .node = output->node, .output = output->output, .leaf = output->node ? NULL : output};
  return hand_on(w, &edge, grad);
}

void rill_backward_from(int count, rill_tensor *const *outputs, rill_tensor *const *gradients) {
  if (count <= 0) return;
  walk w = {.ctx = rilli_check(outputs[0], "rill_backward_from", "output 0")->ctx};
  if (rilli_failed(w.ctx)) return;
  rill_scope *scope = rill_scope_open_no_grad(w.ctx);
  bool going = scope != NULL;
  for (int i = 0; going && i < count; i++)
    going = seed(&w, outputs[i], gradients ? gradients[i] : NULL);
  rill_scope_close(scope);
  while (w.count > 0) {
    rilli_graph_node *node = heap_pop(&w);
    if (going) going = run_node(&w, node);
    for (int j = 0; j < node->outputs; j++) { /* what a walk that failed leaves behind */
      rilli_release(node->grad[j]);
      node->grad[j] = NULL;
    }
    rilli_node_release(w.ctx, &node->base);
  }
  rill_free(w.ctx, w.heap);
}

void rill_backward(rill_tensor *loss) {
  rilli_check(loss, "rill_backward", "loss");
  if (rill_is_void(loss)) return;
  if (rill_count(loss) != 1 || !rill_dtype_is_float(rill_dtype_of(loss))) {
    rill_fail(
        loss->ctx, RILL_ERROR_ARGUMENT,
        "rill_backward: loss %s %s must be one floating number (rill_backward_from takes others)",
        rill_dtype_name(rill_dtype_of(loss)), rill_shape_print(rill_shape_of(loss)).text);
    return;
  }
  rill_backward_from(1, &loss, NULL);
}
