/* Modules: trees of named parameters.
 *
 * A model is a struct of your own; a module only remembers which tensors are its parameters and
 * what their paths are ("block.3.mixer.q_proj.weight"). Optimizers and checkpoints work on these
 * lists.
 *
 *   rill_module *net = rill_module_new(ctx);
 *   rill_tensor *w = rill_param(rill_submodule(net, "part.%d", 1), "w", RILL_SHAPE(3, 4),
 *                               rill_init_normal(0.02));       the parameter "part.1.w" of net
 *
 * Modules and parameters live until their context is freed. When memory is short a module is NULL,
 * the error is in the context, and every function here and every layer accepts that NULL. */
#ifndef RILL_NN_MODULE_H_
#define RILL_NN_MODULE_H_

#include "nn/init.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_module rill_module;

typedef struct {
  rill_dtype dtype; /* of parameters; the default is f32. bf16 keeps gates in f32 */
  double std;       /* of weights that say nothing else; 0 = 0.02 */
  bool shapes_only; /* parameters have shapes but no memory (each is one zero, broadcast): for
                       counting the parameters of a model that is too large to be made here */
} rill_module_opts;

rill_module *rill_module_new(rill_context *ctx);
rill_module *rill_module_new_with(rill_context *ctx, rill_module_opts opts);

/* A module inside m; its name is formatted as by printf and may contain dots. */
rill_module *rill_submodule(rill_module *m, const char *name, ...)
    __attribute__((format(printf, 2, 3)));

/* Registers a leaf that requires a gradient, and returns it. Parameters of rank 0 and 1 are spared
 * by weight decay. An error when m has that name already. */
rill_tensor *rill_param(rill_module *m, const char *name, rill_shape shape, rill_init init);
/* The same in a dtype of its own. */
rill_tensor *rill_param_as(rill_module *m, const char *name, rill_dtype dtype, rill_shape shape,
                           rill_init init);
/* Registers x as a tensor that is not trained but saved with the module. It is kept until the
 * context is freed. */
rill_tensor *rill_buffer(rill_module *m, const char *name, rill_tensor *x);

/* All parameters (buffers) of m and of the modules inside it, in the order of their making, with
 * paths from the outermost module. The list does not show what is registered later. */
rill_parameters rill_params(const rill_module *m);
rill_parameters rill_buffers(const rill_module *m);

int64_t rill_params_count(rill_parameters params); /* number of elements, all together */
/* The entry of that path, or NULL. */
const rill_parameter *rill_params_find(rill_parameters params, const char *path);
/* Forgets the gradients of all of them. */
void rill_params_zero_grad(rill_parameters params);

rill_context *rill_module_context(const rill_module *m);
const char *rill_module_path(const rill_module *m); /* "block.3.mixer"; "" for the outermost */
rill_module_opts rill_module_options(const rill_module *m);

/* What a layer's apply function does around its body: names the layer in error messages, opens a
 * scope for its temporaries, and at the end hands the result to the scope around.
 *
 *   rill_scope *scope = rill_module_enter(f->module, x);
 *   ...
 *   return rill_module_leave(f->module, scope, y);
 */
rill_scope *rill_module_enter(const rill_module *m, rill_tensor *x);
rill_tensor *rill_module_leave(const rill_module *m, rill_scope *scope, rill_tensor *y);

#ifdef __cplusplus
}
#endif

#endif /* RILL_NN_MODULE_H_ */
