/* The graph: what apply records and backward walks. For autograd/ only.
 *
 *   node ---- edge[i] --> node that made input i, or the leaf itself
 *     |------ in[i], out[j]: saved tensors (outputs as views without a node, so that there is no
 * cycle)
 *     `------ grad[j]: gradient of output j, only while a backward runs */
#ifndef RILL_AUTOGRAD_GRAPH_IMPL_H_
#define RILL_AUTOGRAD_GRAPH_IMPL_H_

#include "autograd/op.h"
#include "tensor/internal.h"

typedef struct {
  rilli_node *node;  /* of the op that made the input, or NULL */
  int output;        /* which of its outputs */
  rill_tensor *leaf; /* the input itself when it is a leaf that requires a gradient, or NULL */
  uint64_t version;  /* of the saved input's storage */
} rilli_edge;

typedef struct {
  rilli_node base;
  uint64_t serial;
  const rill_op *op;
  int inputs, outputs;
  bool done; /* backward has been here: nothing is saved any more */
  void *attr;
  rilli_edge *edge;   /* [inputs] */
  rill_array *like;   /* [inputs] */
  rill_tensor **in;   /* [inputs] */
  rill_tensor **out;  /* [outputs] */
  rill_tensor **grad; /* [outputs] */
} rilli_graph_node;

/* Does a gradient flow into x? */
static inline bool rilli_tracks(const rill_tensor *x) { return x && (x->requires_grad || x->node); }

/* Makes `out` the outputs of a node with derivative op->vjp. Outputs must be fresh (no node).
 * False, with an error recorded, when memory is short. */
bool rilli_graph_attach(const rill_op *op, int inputs, rill_tensor *const *in, const void *attr,
                        int outputs, rill_tensor *const *out);

/* Drops edges and saved tensors: what remains is an empty node that says it is done. */
void rilli_graph_clear(rill_context *ctx, rilli_graph_node *node);

#endif /* RILL_AUTOGRAD_GRAPH_IMPL_H_ */
