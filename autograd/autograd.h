/* Gradients: backward, recomputation, and their proof by finite differences. */
#ifndef RILL_AUTOGRAD_AUTOGRAD_H_
#define RILL_AUTOGRAD_AUTOGRAD_H_

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Computes d loss / d x for every leaf x that requires a gradient and adds it to rill_grad(x). loss
 * has one element and a floating dtype. The graph is released on the way: a second backward through
 * it is an error. */
void rill_backward(rill_tensor *loss);

/* The same from any tensors: d sum_i <outputs[i], gradients[i]>. A NULL gradient means ones. */
void rill_backward_from(int count, rill_tensor *const *outputs, rill_tensor *const *gradients);

/* A function of tensors: reads in[0 .. inputs), sets out[0 .. outputs). `user` is passed through.
 */
typedef void rill_function(void *user, int inputs, rill_tensor *const *in, int outputs,
                           rill_tensor **out);

/* Calls f and keeps only its inputs: backward calls f again (activation checkpointing). Gradients
 * also reach leaves that f uses without having them among its inputs (the parameters of a module).
 * Random numbers repeat. `user` must live until backward has run. The outputs belong to the
 * innermost scope. */
void rill_recompute(rill_function *f, void *user, int inputs, rill_tensor *const *in, int outputs,
                    rill_tensor **out);

/* ---- gradcheck ---- */

typedef struct {
  double step; /* h of the central difference, relative to max(1, |x|); 0 = 1e-5 */
  double rtol,
      atol; /* an entry fails when |tape - numeric| > atol + rtol * scale; 0 = 1e-6 and 1e-8 */
  int64_t samples; /* entries checked of each input, drawn evenly; 0 = all */
  int worst;       /* entries kept in the report; 0 = 5 */
  uint64_t seed;   /* of the random output gradients */
} rill_gradcheck_opts;

typedef struct {
  int input;
  int64_t index[RILL_MAX_RANK];
  double tape, numeric, error; /* error = |tape - numeric| / max(|tape|, |numeric|, largest gradient
                                * of the input x 1e-3)
                                */
} rill_gradcheck_entry;

typedef struct {
  bool passed;
  int64_t checked;  /* entries compared */
  double max_error; /* of all of them */
  int entries;      /* the worst ones, worst first */
  rill_gradcheck_entry entry[16];
  char message[256]; /* why it could not be checked, or empty */
} rill_gradcheck_report;

/* Compares the tape's gradient of f with central differences, in f64: the inputs that require a
 * gradient must be f64 leaves (others are passed through). Random output gradients make all outputs
 * count. */
rill_gradcheck_report rill_gradcheck(rill_function *f, void *user, int inputs,
                                     rill_tensor *const *in, int outputs, rill_gradcheck_opts opts);

/* The report as a table. */
void rill_gradcheck_print(FILE *file, const rill_gradcheck_report *report, const char *title);

#ifdef __cplusplus
}
#endif

#endif /* RILL_AUTOGRAD_AUTOGRAD_H_ */
