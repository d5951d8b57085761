/* Nodes: recording what an op's derivative will need, and letting go of it. */
#include <string.h>

#include "autograd/graph_impl.h"

void rilli_graph_clear(rill_context *ctx, rilli_graph_node *node) {
  for (int i = 0; i < node->inputs; i++) {
    rilli_node *source = node->edge[i].node;
    rill_tensor *leaf = node->edge[i].leaf, *in = node->in[i];
    node->edge[i] = (rilli_edge){0};
    node->in[i] = NULL;
    rilli_release(leaf);
    rilli_release(in);
    rilli_node_release(ctx, source);
  }
  for (int j = 0; j < node->outputs; j++) {
    rill_tensor *out = node->out[j], *grad = node->grad[j];
    node->out[j] = node->grad[j] = NULL;
    rilli_release(out);
    rilli_release(grad);
  }
  node->done = true;
}

static void node_free(rill_context *ctx, rilli_node *base) {
  rilli_graph_clear(ctx, (rilli_graph_node *)base);
  rill_free(ctx, base);
}

/* One block for the node and its arrays; each part is a multiple of 8 bytes. */
static rilli_graph_node *node_new(rill_context *ctx, const rill_op *op, int inputs, int outputs) {
  size_t n = (size_t)inputs, m = (size_t)outputs, attr = (op->attr_size + 7) / 8 * 8;
  size_t edges = n * sizeof(rilli_edge), likes = n * sizeof(rill_array);
  size_t head = (sizeof(rilli_graph_node) + 15) / 16 * 16,
         whole = head + edges + likes + (n + 2 * m) * sizeof(rill_tensor *) + attr;
  char *p = rill_alloc(ctx, whole);
  if (!p) return NULL;
  memset(p, 0, whole);
  rilli_graph_node *node = (rilli_graph_node *)(void *)p;
  *node = (rilli_graph_node){.base = {.refs = 1, .free = node_free},
                             .op = op,
                             .inputs = inputs,
                             .outputs = outputs,
                             .serial = rilli_next_serial(ctx)};
  node->edge = (rilli_edge *)(void *)(p += head);
  node->like = (rill_array *)(void *)(p += edges);
  node->in = (rill_tensor **)(void *)(p += likes);
  node->out = node->in + n;
  node->grad = node->out + m;
  node->attr = node->grad + m;
  return node;
}

static void record_input(rilli_graph_node *node, int i, rill_tensor *x) {
  node->like[i] = x ? x->array : (rill_array){.rank = -1};
  node->like[i].data = NULL;
  if (!x) return;
  if (x->node) {
    node->edge[i].node = x->node;
    node->edge[i].output = x->output;
    rilli_node_retain(x->node);
  } else if (x->requires_grad) {
    node->edge[i].leaf = x;
    rilli_retain(x);
  }
  int bit = i < 16 ? i : 15;
  bool saved = (node->op->saves & RILL_SAVE_ALL_INPUTS) == RILL_SAVE_ALL_INPUTS ||
               (i < 16 && (node->op->saves & RILL_SAVE_INPUT(bit)));
  if (saved) {
    node->in[i] = x;
    node->edge[i].version = x->storage->version;
    rilli_retain(x);
  }
}

/* Saved outputs are views of their own: the output itself would hold the node that holds it. */
static bool record_output(rilli_graph_node *node, int j, rill_tensor *y) {
  if (node->op->saves & RILL_SAVE_OUTPUT(j)) {
    rill_tensor *view = rilli_tensor_view(y, &y->array, node->op->name);
    if (rill_is_void(view)) return false;
    node->out[j] = view;
    rilli_retain(view);
  }
  return true;
}

bool rilli_graph_attach(const rill_op *op, int inputs, rill_tensor *const *in, const void *attr,
                        int outputs, rill_tensor *const *out) {
  rill_context *ctx = out[0]->ctx;
  rilli_graph_node *node = node_new(ctx, op, inputs, outputs);
  if (!node) return false;
  if (op->attr_size) memcpy(node->attr, attr, op->attr_size);
  for (int i = 0; i < inputs; i++) record_input(node, i, in[i]);
  bool recorded = true;
  for (int j = 0; recorded && j < outputs; j++) recorded = record_output(node, j, out[j]);
  for (int j = 0; recorded && j < outputs; j++) {
    if (!rill_dtype_is_float(out[j]->array.dtype) || op->hidden >> j & 1u) continue;
    out[j]->node = &node->base;
    out[j]->output = j;
    rilli_node_retain(&node->base);
  }
  rilli_node_release(ctx, &node->base);
  return recorded;
}
