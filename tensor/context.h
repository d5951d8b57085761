/* Contexts, scopes and errors: who owns a tensor, and what happens when something fails.
 *
 * A context owns everything made in it. Tensors belong to its innermost open scope; closing a scope
 * releases them, closing the context releases all. The first failure is recorded; from then on ops
 * return the context's void tensor and do nothing, so code reads straight through and asks once. */
#ifndef RILL_TENSOR_CONTEXT_H_
#define RILL_TENSOR_CONTEXT_H_

#include "tensor/shape.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_VERSION_MAJOR 0
#define RILL_VERSION_MINOR 1
#define RILL_VERSION_PATCH 0
#define RILL_VERSION "0.1.0"

typedef struct rill_context rill_context;
typedef struct rill_scope rill_scope;
typedef struct rill_tensor rill_tensor;

typedef enum {
  RILL_OK = 0,
  RILL_ERROR_ARGUMENT, /* a shape, dtype, option or value that a function refuses */
  RILL_ERROR_MEMORY,   /* an allocation failed */
  RILL_ERROR_FILE, /* a file could not be read or written, or holds something else than it should */
  RILL_ERROR_DEVICE, /* a device is missing or failed */
  RILL_ERROR_NUMBER, /* a number that must be finite is not */
  RILL_ERROR_STATE,  /* a call that does not fit what came before it (backward twice, say) */
} rill_status;

/* What the first error does: print it and exit with status 1, or be kept for rill_error. */
typedef enum { RILL_ABORT = 0, RILL_CONTINUE } rill_on_error;

typedef enum { RILL_CPU = 0, RILL_CUDA } rill_device_kind;

/* Host memory. alloc returns `bytes` bytes aligned to 64, or NULL. Every host allocation of a
 * context goes through its table. */
typedef struct {
  void *(*alloc)(void *user, size_t bytes);
  void (*free)(void *user, void *memory, size_t bytes);
  void *user;
} rill_allocator;

struct rill_files;      /* tensor/io.h */
struct rill_cuda_calls; /* tensor/cuda_calls.h */

typedef struct {
  uint64_t seed; /* of all random numbers */
  rill_on_error on_error;
  rill_device_kind device;            /* where tensors are made */
  int threads;                        /* CPU threads; 0 = the cores this process may use */
  const rill_allocator *allocator;    /* NULL = aligned_alloc and free */
  const struct rill_files *files;     /* NULL = the operating system's */
  const struct rill_cuda_calls *cuda; /* NULL = the CUDA runtime's; for tests */
} rill_context_opts;

/* A new context, or NULL when there is not even memory for it. A device that is missing is recorded
 * as the context's first error (and so exits the program under RILL_ABORT). */
rill_context *rill_context_new(rill_context_opts opts);

/* Releases everything that was made in the context. Returns 0, or 1 if an error had been recorded:
 * the value for `return` from main. NULL is allowed. */
int rill_context_free(rill_context *ctx);

rill_device_kind rill_context_device(const rill_context *ctx);
const char *rill_context_device_name(const rill_context *ctx); /* "cpu", or the GPU's name */
int rill_context_threads(const rill_context *ctx);
void rill_context_set_threads(rill_context *ctx, int threads); /* 0 = the default */

/* Blocks until the device has finished all work; records what failed in it. */
void rill_synchronize(rill_context *ctx);

/* ---- errors ---- */

const char *rill_error(const rill_context *ctx); /* the first error's message, or NULL */
rill_status rill_error_status(const rill_context *ctx);
void rill_error_clear(rill_context *ctx); /* forgets it, so that a service can go on */

/* Records an error as the library does: for ops and modules of your own. The message is prefixed by
 * the module path. Only the first one is kept. */
void rill_fail(rill_context *ctx, rill_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Names a part of the model for error messages until the matching rill_leave; text must outlive it.
 */
void rill_enter(rill_context *ctx, const char *path);
void rill_leave(rill_context *ctx);

/* ---- scopes ---- */

rill_scope *rill_scope_open(rill_context *ctx);
/* The same, and ops inside it record no graph. */
rill_scope *rill_scope_open_no_grad(rill_context *ctx);
/* Releases the scope's tensors; scopes still open inside it are closed first. NULL is allowed. */
void rill_scope_close(rill_scope *scope);
/* Releases the scope's tensors and keeps it open. False once an error is recorded: the condition of
 * a loop. */
bool rill_scope_reset(rill_scope *scope);
/* Moves a tensor of the innermost scope to the scope around it, and returns it. A tensor that lives
 * elsewhere (a parameter, say) stays where it is. */
rill_tensor *rill_hoist(rill_tensor *x);
/* Moves a tensor, wherever it is, to the outermost scope, and returns it: it lives until the
 * context is freed (a parameter, say) or until rill_drop releases it. */
rill_tensor *rill_keep(rill_tensor *x);
void rill_drop(rill_tensor *x); /* NULL, and a tensor that was not kept, are ignored */
/* Is a graph recorded in the innermost scope? */
bool rill_grad_enabled(const rill_context *ctx);

/* ---- random numbers: Philox 4x32-10, the same on every device ---- */

/* The state is the seed and the number of draws so far; save both to continue a stream. */
typedef struct {
  uint64_t seed, counter;
} rill_random_state;
rill_random_state rill_random_get(const rill_context *ctx);
void rill_random_set(rill_context *ctx, rill_random_state state);
/* Reserves `draws` numbers of the stream and returns the state at their start: for ops of your own.
 */
rill_random_state rill_random_take(rill_context *ctx, uint64_t draws);

/* ---- accounting ---- */

typedef struct {
  int64_t live_bytes, peak_bytes; /* of tensor buffers on the device */
  int64_t live_tensors;
} rill_memory;
rill_memory rill_memory_used(const rill_context *ctx);
void rill_memory_reset_peak(rill_context *ctx);

#ifdef __cplusplus
}
#endif

#endif /* RILL_TENSOR_CONTEXT_H_ */
