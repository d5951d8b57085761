/* Ops of a training step on a GPU, in bf16: products in TFLOP/s (`peers.py products` gives
 * PyTorch's, that is cuBLAS's, at the same shapes), and what is bound by memory in percent of a
 * copy's bandwidth measured in the same run.
 *
 *   ops_gpu_bench
 *
 * Sizes are those of the paper's models at 8 x 4096 tokens. Bytes are what an op must move: its
 * operands read once, its results written once; of a backward what it reads and writes again. */
#include <inttypes.h>

#include "ops/ops.h"
#include "tests/bench/bench.h"
#include "tests/bench/between.h"

enum { ROWS = 8 * 4096, WIDTH = 2048, HEADS = 16, REPEATS = 10 };

typedef struct {
  rill_context *ctx;
  rill_tensor *x, *y, *z, *weight, *grad; /* [ROWS, WIDTH] three times, [WIDTH], [ROWS, WIDTH] */
  rill_tensor *heads;                     /* x [1, ROWS, HEADS, WIDTH / HEADS] */
  rill_tensor *a, *b;                     /* of a product */
  rill_tensor *(*op)(void *);
} job;

static rill_tensor *copy(void *user) { return rill_copy(((job *)user)->x); }
static rill_tensor *add(void *user) { return rill_add(((job *)user)->x, ((job *)user)->y); }
static rill_tensor *scale(void *user) { return rill_scale(((job *)user)->x, 0.5); }
static rill_tensor *silu(void *user) { return rill_silu(((job *)user)->x); }
static rill_tensor *swiglu(void *user) { return rill_swiglu(((job *)user)->x, ((job *)user)->y); }
static rill_tensor *to_f32(void *user) { return rill_cast(((job *)user)->x, RILL_F32); }
static rill_tensor *dropout(void *user) { return rill_dropout(((job *)user)->x, 0.1); }
static rill_tensor *rmsnorm(void *user) {
  return rill_rmsnorm_op(((job *)user)->x, ((job *)user)->weight, 0);
}
static rill_tensor *layernorm(void *user) {
  return rill_layernorm_op(((job *)user)->x, ((job *)user)->weight, NULL, 0);
}
static rill_tensor *softmax(void *user) { return rill_softmax(((job *)user)->x, -1); }
static rill_tensor *qk_prepare(void *user) {
  return rill_qk_prepare(((job *)user)->heads, true, true, 0);
}

/* Elements read and written of each [ROWS, WIDTH], forward and backward; 0 backward: not measured.
 */
static const struct {
  const char *name;
  rill_tensor *(*op)(void *);
  double forward, backward;
} bound_by_memory[] = {
    {"copy", copy, 2, 0},
    {"add", add, 3, 0},
    {"scale", scale, 2, 0},
    {"cast to f32", to_f32, 3, 0},
    {"silu", silu, 2, 3},
    {"swiglu", swiglu, 3, 5},
    {"dropout", dropout, 2, 0},
    {"rmsnorm", rmsnorm, 2, 3},
    {"layernorm", layernorm, 2, 3},
    {"softmax", softmax, 2, 3},
    {"qk_prepare", qk_prepare, 2, 3},
};

static void forward(void *user) {
  job *j = user;
  rill_scope *scope = rill_scope_open_no_grad(j->ctx);
  for (int i = 0; i < REPEATS; i++) j->op(j);
  rill_scope_close(scope);
  rill_synchronize(j->ctx);
}

static void both(void *user) {
  job *j = user, now = *j;
  rill_scope *scope = rill_scope_open(j->ctx);
  for (int i = 0; i < REPEATS; i++) {
    now.x = bench_between(j->x);
    now.y = bench_between(j->y);
    now.heads = bench_between(j->heads);
    rill_tensor *out = j->op(&now), *grad = rill_reshape(j->grad, rill_shape_of(out));
    rill_backward_from(1, &out, &grad);
  }
  rill_scope_close(scope);
  rill_synchronize(j->ctx);
}

static void measure_memory(rill_context *ctx) {
  rill_scope *scope = rill_scope_open(ctx);
  rill_shape shape = RILL_SHAPE(ROWS, WIDTH);
  job j = {.ctx = ctx};
  j.x = rill_require_grad(rill_randn(ctx, RILL_BF16, shape));
  j.y = rill_require_grad(rill_randn(ctx, RILL_BF16, shape));
  j.weight = rill_randn(ctx, RILL_BF16, RILL_SHAPE(WIDTH));
  j.grad = rill_randn(ctx, RILL_BF16, shape);
  j.heads =
      rill_require_grad(rill_detach(rill_reshape(j.x, RILL_SHAPE(1, ROWS, HEADS, WIDTH / HEADS))));
  double bytes = 2.0 * ROWS * WIDTH, bandwidth = 0;
  printf("%-14s %10s %8s %7s   %10s %8s %7s\n", "[32768, 2048]", "forward us", "GB/s", "copy",
         "backward us", "GB/s", "copy");
  for (size_t i = 0; i < sizeof bound_by_memory / sizeof bound_by_memory[0]; i++) {
    j.op = bound_by_memory[i].op;
    double s = bench_run(forward, &j, 0.3).median / REPEATS;
    double rate = bound_by_memory[i].forward * bytes / s;
    if (i == 0) bandwidth = rate;
    printf("%-14s %10.1f %8.0f %6.0f%%", bound_by_memory[i].name, 1e6 * s, 1e-9 * rate,
           100 * rate / bandwidth);
    if (bound_by_memory[i].backward > 0) {
      double b = bench_run(both, &j, 0.3).median / REPEATS - s;
      rate = bound_by_memory[i].backward * bytes / b;
      printf("   %10.1f %8.0f %6.0f%%", 1e6 * b, 1e-9 * rate, 100 * rate / bandwidth);
    }
    printf("\n");
  }
  rill_scope_close(scope);
}

/* x w^T, dy w and dy^T x: a layer's forward, and the backward of its input and of its weight. */
static rill_tensor *product(void *user) {
  job *j = user;
  return rill_linear_op(j->a, j->b, NULL);
}
static rill_tensor *plain(void *user) { return rill_matmul(((job *)user)->a, ((job *)user)->b); }
static rill_tensor *turned(void *user) {
  job *j = user;
  return rill_matmul(rill_transpose(j->a, 0, 1), j->b);
}

static void measure_products(rill_context *ctx) {
  static const int64_t size[][3] = {
      {32768, 2048, 2048}, {32768, 8192, 2048}, {32768, 2048, 8192}, {8192, 8192, 8192}};
  printf("%-14s %-20s %8s %9s\n", "product", "M x N x K", "ms", "TFLOP/s");
  for (int i = 0; i < 4; i++) {
    rill_scope *scope = rill_scope_open(ctx);
    int64_t m = size[i][0], n = size[i][1], k = size[i][2];
    rill_tensor *x = rill_randn(ctx, RILL_BF16, RILL_SHAPE(m, k));
    rill_tensor *w = rill_randn(ctx, RILL_BF16, RILL_SHAPE(n, k));
    rill_tensor *dy = rill_randn(ctx, RILL_BF16, RILL_SHAPE(m, n));
    job jobs[3] = {{.ctx = ctx, .a = x, .b = w, .op = product},
                   {.ctx = ctx, .a = dy, .b = w, .op = plain},
                   {.ctx = ctx, .a = dy, .b = x, .op = turned}};
    static const char *const names[3] = {"x w^T", "dy w", "dy^T x"};
    char text[64];
    snprintf(text, sizeof text, "%" PRId64 " x %" PRId64 " x %" PRId64, m, n, k);
    for (int which = 0; which < 3; which++) {
      double s = bench_run(forward, &jobs[which], 0.3).median / REPEATS;
      printf("%-14s %-20s %8.3f %9.0f\n", names[which], text, 1e3 * s,
             2e-12 * (double)m * (double)n * (double)k / s);
    }
    rill_scope_close(scope);
  }
}

int main(void) {
  rill_context *ctx = rill_context_new((rill_context_opts){.seed = 1, .device = RILL_CUDA});
  bench_machine(ctx);
  measure_memory(ctx);
  measure_products(ctx);
  return rill_context_free(ctx);
}
