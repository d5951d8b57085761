// The CUDA device without a GPU: a runtime whose memory is the host's and whose kernels do nothing,
// and which fails its Nth call. Whatever fails, the error is recorded, nothing crashes, and all
// memory goes back.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "ops/ops.h"
#include "tensor/capture.h"
#include "tensor/cuda_calls.h"

namespace {

struct Stub {
  int calls = 0, fail_at = 0, launches = 0;
  bool fail_on = false;  // from then on, every call fails
  int blocks = 0;        // of memory, streams and events that are out
  size_t most = SIZE_MAX;
  void *captured = nullptr;  // the stream whose work is recorded
  int misused = 0;           // calls that a stream must not be given then
  int replays = 0;
};
Stub stub;

int call() {
  stub.calls++;
  return stub.fail_at && (stub.fail_on ? stub.calls >= stub.fail_at : stub.calls == stub.fail_at)
             ? 999
             : 0;
}
int call_on(void *stream) {
  stub.misused += stream && stream == stub.captured;
  return call();
}
int take(void **memory, size_t bytes) {
  if (int error = call()) return error;
  if (bytes > stub.most) return 2;
  *memory = std::malloc(bytes ? bytes : 1);
  stub.blocks++;
  return 0;
}
int give(void *memory) {
  std::free(memory);  // even when the call fails: there is no second try
  stub.blocks--;
  return call();
}

const rill_cuda_calls table = {
    .open =
        [](rill_cuda_card *card) {
          *card = {"stub", 132, 9, 0};
          return call();
        },
    .stream_new = [](void **stream) { return take(stream, 1); },
    .stream_free = give,
    .stream_wait = call_on,
    .alloc =
        [](void **memory, size_t bytes, void *stream) {
          stub.misused += stream == stub.captured;
          return take(memory, bytes);
        },
    .free =
        [](void *memory, void *stream) {
          stub.misused += stream == stub.captured;
          return give(memory);
        },
    .trim = call,
    .pinned_alloc = take,
    .pinned_free = give,
    .copy =
        [](void *to, const void *from, size_t bytes, void *) {
          if (int error = call()) return error;
          std::memcpy(to, from, bytes);
          return 0;
        },
    .set =
        [](void *to, int byte, size_t bytes, void *) {
          if (int error = call()) return error;
          std::memset(to, byte, bytes);
          return 0;
        },
    .launch =
        [](const void *, const unsigned *, unsigned, void **, size_t, void *) {
          stub.launches++;
          return call();
        },
    .event_new = [](void **event) { return take(event, 1); },
    .event_free = give,
    .event_record = [](void *, void *stream) { return call_on(stream); },
    .event_wait = [](void *) { return call(); },
    .capture_begin =
        [](void *stream) {
          if (int error = call()) return error;
          stub.captured = stream;
          return 0;
        },
    .capture_end =
        [](void *, void **graph) {
          stub.captured = nullptr;
          *graph = nullptr;
          return take(graph, 1);
        },
    .graph_launch =
        [](void *, void *) {
          stub.replays++;
          return call();
        },
    .graph_free = give,
    .error_text = [](int error) { return error == 2 ? "out of memory" : "a planned failure"; },
};

rill_context *open() {
  return rill_context_new(
      rill_context_opts{.on_error = RILL_CONTINUE, .device = RILL_CUDA, .cuda = &table});
}

// Some of everything: uploads, elementwise kernels, sums, backward, a read.
bool work(rill_context *ctx) {
  float values[6] = {1, 2, 3, 4, 5, 6}, back[6];
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *x = rill_require_grad(rill_from(ctx, RILL_F32, RILL_SHAPE(2, 3), values));
  rill_tensor *y = rill_mul(rill_silu(x), rill_randn(ctx, RILL_F32, RILL_SHAPE(3)));
  rill_backward(rill_sum(y, RILL_ALL_AXES, false));
  bool done = !rill_error(ctx) && rill_read(rill_copy(rill_grad(x)), back, sizeof back);
  rill_scope_close(scope);
  rill_synchronize(ctx);
  return done && !rill_error(ctx);
}

// A captured function: two calls of it, then launches of the record. Tables go up within it.
bool replay(rill_context *ctx) {
  struct job {
    rill_tensor *x, *y;
  } j = {rill_zeros(ctx, RILL_F32, RILL_SHAPE(1000)), rill_zeros(ctx, RILL_F32, RILL_SHAPE(1000))};
  float back[1000];
  auto function = [](void *user) {
    job *j = static_cast<job *>(user);
    rill_assign(j->y, rill_exp(rill_silu(j->x)));
    rill_arange(rill_context_of(j->x), RILL_I64, 5);
  };
  rill_capture *c = rill_capture_new(ctx, function, &j);
  for (int i = 0; i < 4; i++) rill_replay(c);
  bool done = rill_read(j.y, back, sizeof back);
  rill_capture *unused = rill_capture_new(ctx, function, &j); /* left to the context */
  for (int i = 0; i < 2; i++) rill_replay(unused);
  rill_capture_free(c);
  rill_synchronize(ctx);
  return done && !rill_error(ctx);
}

void every_call_may_fail(bool (*job)(rill_context *), int least) {
  rill_context *ctx = open();
  EXPECT_TRUE(job(ctx)) << rill_error(ctx);
  rill_context_free(ctx);
  int total = stub.calls, noticed = 0;
  EXPECT_GT(total, least);
  EXPECT_EQ(stub.misused, 0);
  EXPECT_EQ(stub.blocks, 0);
  for (bool from_then_on : {false, true}) {
    for (int n = 1; n <= total; n++) {
      stub = Stub();
      stub.fail_at = n;
      stub.fail_on = from_then_on;
      ctx = open();
      ASSERT_NE(ctx, nullptr);
      bool done = job(ctx);
      EXPECT_EQ(done, rill_error(ctx) == nullptr);
      noticed += rill_error(ctx) != nullptr;
      if (rill_error(ctx)) {
        std::string message = rill_error(ctx);
        EXPECT_TRUE(message.find("planned failure") != std::string::npos ||
                    message.find("out of memory") != std::string::npos)
            << "call " << n << ": " << message;
      }
      rill_context_free(ctx);
      EXPECT_EQ(stub.blocks, 0) << "call " << n;
      EXPECT_EQ(stub.misused, 0) << "call " << n;
    }
  }
  EXPECT_GT(noticed, total);
}

class CudaStub : public testing::Test {
 protected:
  void SetUp() override {
    if (!rill_cuda_runtime()) GTEST_SKIP() << "this build has no CUDA backend";
    stub = Stub();
  }
};

TEST(CudaBuild, WithoutABackendItIsSaid) {
  stub = Stub();
  rill_context *ctx = open();
  if (rill_cuda_runtime()) {
    EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
    EXPECT_STREQ(rill_context_device_name(ctx), "stub");
  } else {
    ASSERT_NE(rill_error(ctx), nullptr);
    EXPECT_NE(std::string(rill_error(ctx)).find("no CUDA backend"), std::string::npos);
  }
  rill_context_free(ctx);
}

TEST_F(CudaStub, AllMemoryGoesBack) {
  rill_context *ctx = open();
  EXPECT_TRUE(work(ctx)) << rill_error(ctx);
  EXPECT_GT(stub.launches, 4);
  EXPECT_EQ(rill_context_free(ctx), 0);
  EXPECT_EQ(stub.blocks, 0);
}

TEST_F(CudaStub, EveryCallMayFail) { every_call_may_fail(work, 50); }
TEST_F(CudaStub, EveryCallOfARecordingMayFail) { every_call_may_fail(replay, 60); }

TEST_F(CudaStub, ARecordingIsLaunchedWithoutItsFunction) {
  rill_context *ctx = open();
  EXPECT_TRUE(replay(ctx)) << rill_error(ctx);
  EXPECT_EQ(stub.replays, 4);
  EXPECT_EQ(stub.misused, 0);
  EXPECT_EQ(rill_context_free(ctx), 0);
  EXPECT_EQ(stub.blocks, 0);
}

TEST_F(CudaStub, OutOfMemoryNamesTheOpAndIsNotTheEnd) {
  rill_context *ctx = open();
  rill_scope *scope = rill_scope_open(ctx);
  stub.most = 1u << 20;
  rill_tensor *x = rill_zeros(ctx, RILL_F32, RILL_SHAPE(1000));
  rill_tensor *wide = rill_expand(x, RILL_SHAPE(1000, 1000)), *both[] = {wide, wide};
  rill_concat(2, both, 0);
  ASSERT_NE(rill_error(ctx), nullptr);
  std::string message = rill_error(ctx);
  EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_MEMORY);
  for (const char *part : {"out of memory", "bytes on stub", "in use", "smaller batch"})
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  rill_scope_close(scope);
  rill_context_free(ctx);
  ctx = open(); /* a smaller model in the same process */
  EXPECT_TRUE(work(ctx)) << rill_error(ctx);
  EXPECT_EQ(rill_context_free(ctx), 0);
  EXPECT_EQ(stub.blocks, 0);
}

}  // namespace
