/* What an op is: one constant struct in one file, applied by rill_apply.
 *
 * Adding an op touches one new .c (and one .cu), one documented prototype in ops/ops.h and one line
 * in ops/all_ops.c; your own ops outside the library are the same struct, without the last two
 * (examples/03_own_op.c). The samples of an op feed every test: gradients against finite
 * differences, kernels against `compose`, CPU against CUDA, layouts, refusals. */
#ifndef RILL_AUTOGRAD_OP_H_
#define RILL_AUTOGRAD_OP_H_

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_MAX_INPUTS 16 /* named inputs; a variadic op has any number */
#define RILL_MAX_OUTPUTS 8

typedef struct rill_op rill_op;

/* ---- infer: dtype and shape of every output, or a refusal ---- */

typedef struct {
  const rill_op *op;
  int inputs;           /* how many were given, absent optional ones included */
  const rill_array *in; /* [inputs]; data may be looked at only for rank -1 = absent */
  const void *attr;     /* the op's attributes, attr_size bytes */
  const rill_env *env;  /* the machine it will run on */
  bool training; /* will the outputs get a graph? (hidden outputs for backward may be empty if not)
                  */
  int outputs;   /* preset to the number of named outputs; an op may set another */
  rill_dtype dtype[RILL_MAX_OUTPUTS];
  rill_shape shape[RILL_MAX_OUTPUTS];
  char message[256];
} rill_infer;

/* Refuses the call: `return rill_refuse(q, "inner sizes %" PRId64 " and ... differ", ...)`. The
 * engine puts the op's name before and the operands (name, dtype, shape) behind it. Always false.
 */
bool rill_refuse(rill_infer *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The commonest output: dtype and shape of output i. Always true. */
bool rill_infer_output(rill_infer *q, int i, rill_dtype dtype, rill_shape shape);
static inline bool rill_present(const rill_array *a) { return a->rank >= 0; }

/* ---- kernels ---- */

typedef struct {
  const rill_op *op;
  int inputs, outputs;
  const rill_array
      *in; /* [inputs]; contiguous unless the op is `strided`; absent: data NULL, rank -1 */
  const rill_array *out; /* [outputs]; contiguous, to be filled wholly */
  const void *attr;
  rill_env *env;
  char *message; /* set by rill_kernel_fail */
} rill_call;

/* A kernel that finds bad values (an index out of range) says so here; always false. A plain
 * `return false` means that memory was short. */
bool rill_kernel_fail(const rill_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

typedef struct {
  rill_device_kind device;
  const char *name; /* "blas", "chunk", "sm90": what rill_op_kernel_used reports */
  bool (*fits)(const rill_call *call); /* NULL = always; looks at shapes, dtypes, attributes */
  bool (*run)(const rill_call *call);
} rill_kernel;

/* A CUDA kernel in an op's list: there in builds with CUDA, the end of the list in others, so it
 * comes behind the CPU's. `run` is an extern "C" function of a .cu file. */
#ifdef RILL_WITH_CUDA
#define RILL_CUDA_KERNEL(name, fits, run) \
  { RILL_CUDA, (name), (fits), (run) }
#else
#define RILL_CUDA_KERNEL(name, fits, run) \
  { RILL_CUDA, NULL, NULL, NULL }
#endif

/* ---- compose: the op written in other ops ---- */

typedef struct {
  int inputs;
  rill_tensor *const *in; /* [inputs]; absent = NULL */
  const void *attr;
  rill_context *ctx;
  rill_tensor **out; /* to be set */
} rill_compose;

/* ---- vjp: the derivative ---- */

typedef struct rill_vjp {
  const rill_op *op;
  int inputs, outputs;
  rill_tensor *const *in;  /* [inputs]; NULL where absent or not in `saves` */
  rill_tensor *const *out; /* [outputs]; NULL where not in `saves` */
  rill_tensor *const
      *grad; /* [outputs] gradients of the outputs; NULL = zero. At least one is there */
  const rill_array *like; /* [inputs] shape and dtype of every input; data is NULL */
  const void *attr;
  rill_context *ctx;
  struct rilli_vjp_sink *sink;
} rill_vjp;

/* Is the gradient of input i wanted? */
bool rill_vjp_wants(const rill_vjp *g, int i);
/* Contributes to the gradient of input i. The engine sums over axes that were broadcast and
 * converts the dtype, so rules mention neither. Ignored when the gradient is not wanted. */
void rill_vjp_give(const rill_vjp *g, int i, rill_tensor *grad);

/* ---- samples: what the tests (and benchmarks) call the op with ---- */

typedef struct {
  rill_shape shape;
  double low, high; /* values uniform in [low, high); both 0 = standard normal */
  int64_t below;    /* > 0: integers in [0, below), and `dtype` holds */
  rill_dtype
      dtype;   /* of inputs that are not of the dtype under test: when `below` > 0 or `fixed` */
  bool fixed;  /* the dtype is `dtype` whatever dtype is under test */
  bool state;  /* f64 when the dtype under test is f64, else f32 (gates, states, statistics) */
  bool absent; /* an optional input that is left out */
} rill_sample_input;

typedef struct {
  const char *name; /* a few words; shown when it fails */
  int inputs;       /* 0 = all named inputs of the op */
  rill_sample_input in[RILL_MAX_INPUTS];
  const void *attr; /* copied; NULL for ops without attributes */
  const char
      *refused;     /* not NULL: the call must be refused with a message that contains this text */
  bool no_gradient; /* leave this sample out of gradient checks (a kink in range, say) */
} rill_sample;

typedef struct rill_samples rill_samples;
void rill_sample_add(rill_samples *samples, rill_sample sample);
/* Calls `each` for every sample of the op; `sample` and its attributes live during the call only.
 */
void rill_op_samples(const rill_op *op, void (*each)(void *user, const rill_sample *sample),
                     void *user);
/* Draws the inputs of a sample into in[] (room for RILL_MAX_INPUTS; absent ones are NULL), with
 * `dtype` as the dtype under test. Returns how many there are. */
int rill_sample_tensors(rill_context *ctx, const rill_op *op, const rill_sample *sample,
                        rill_dtype dtype, rill_tensor **in);

/* ---- the op ---- */

#define RILL_SAVE_INPUT(i) (1u << (i))
#define RILL_SAVE_OUTPUT(i) (1u << (16 + (i)))
#define RILL_SAVE_ALL_INPUTS 0xffffu /* also those of a variadic op */
#define RILL_WRITES_ALL 0xffffffffu  /* the same */

struct rill_op {
  const char *name;
  const char *in[RILL_MAX_INPUTS]; /* names; "weight?" is optional; "x..." (alone or last) takes any
                                      number */
  const char *out[RILL_MAX_OUTPUTS]; /* names; at least one, except for ops that write */
  size_t attr_size;

  bool (*infer)(rill_infer *q);
  /* Kernels are tried in order; the first whose device and `fits` agree runs. Ends with a zeroed
   * entry. */
  rill_kernel kernels[6];
  bool strided; /* kernels take any strides; otherwise the engine makes inputs contiguous first */
  /* Instead of kernels: the (single) output shares input 0's memory. Sets strides and moves data
   * (by elements of the dtype); sizes are as inferred. False when it cannot be a view: the engine
   * then copies input 0 and asks again. */
  bool (*view)(const rill_array *in, const void *attr, rill_array *out);
  /* Fallback on every device, oracle in tests, and the derivative when there is no vjp. */
  void (*compose)(rill_compose *c);

  void (*vjp)(rill_vjp *g);
  /* What vjp reads: RILL_SAVE_INPUT(0) | RILL_SAVE_OUTPUT(0) ... */
  uint32_t saves;
  /* Bit j: output j is kept for vjp only; no gradient flows into it. */
  uint32_t hidden;
  /* Why there is no gradient, for ops with neither vjp nor a differentiable compose. */
  const char *no_grad;
  /* Bit i: input i is overwritten (optimizer updates); such ops have no gradient. RILL_WRITES_ALL:
   * any input may be. */
  uint32_t writes;

  void (*sample)(rill_samples *samples);
};

/* Applies an op to `inputs` tensors (NULL for absent optional ones) and returns output 0 in the
 * innermost scope. At least one operand must be given: the context comes from it. attr may be NULL
 * when attr_size is 0. An op without outputs (one that writes) returns input 0. */
rill_tensor *rill_apply(const rill_op *op, int inputs, rill_tensor *const *in, const void *attr);
/* The same for ops with several outputs; out has room for as many as the op has. */
void rill_apply_all(const rill_op *op, int inputs, rill_tensor *const *in, const void *attr,
                    rill_tensor **out);
/* RILL_APPLY(op, attr, a, b): rill_apply with the operands listed. */
#define RILL_APPLY(op, attr, ...)                                                         \
  rill_apply((op), (int)(sizeof((rill_tensor *[]){__VA_ARGS__}) / sizeof(rill_tensor *)), \
             (rill_tensor *[]){__VA_ARGS__}, (attr))

/* Name of the kernel that would run, "compose", or "view"; NULL and a message in *why when the call
 * is refused. */
const char *rill_op_kernel_used(const rill_op *op, int inputs, rill_tensor *const *in,
                                const void *attr, char why[256]);

#ifdef __cplusplus
}
#endif

#endif /* RILL_AUTOGRAD_OP_H_ */
