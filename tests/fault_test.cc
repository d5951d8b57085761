// Everything that can fail, fails in turn: every host allocation and every file call of a piece of
// work, once and from then on. No crash, no leak, an error that says so, a context that works again
// after rill_error_clear, and old files as they were.
#include <functional>

#include "tests/files_util.h"
#include "tests/ops_util.h"
#include "tests/tensor_util.h"

namespace {

using namespace rill_test;
using Work = std::function<void(rill_context *)>;

// Runs `work` with allocation 0, 1, 2, ... failing, until it needs fewer. Returns how many there
// were.
int64_t fail_every_allocation(const std::string &what, const Work &work) {
  int64_t tried = 0;
  for (bool from_then_on : {false, true}) {
    for (int64_t n = 0;; n++) {
      Allocator allocator;
      rill_allocator memory = allocator.table();
      rill_context_opts opts = {};
      opts.on_error = RILL_CONTINUE;
      opts.threads = 1;
      opts.allocator = &memory;
      rill_context *ctx = rill_context_new(opts);
      rill_scope *scope = rill_scope_open(ctx);
      allocator.calls = 0;
      allocator.fail_at = n;
      allocator.from_then_on = from_then_on;
      work(ctx);
      bool reached = allocator.calls > n;
      allocator.fail_at = -1;
      // Device memory that runs short is tried again after the cache was given back.
      if (rill_error(ctx)) {
        EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_MEMORY)
            << what << ", allocation " << n << ": " << rill_error(ctx);
      } else if (reached && from_then_on && n == 0) {
        ADD_FAILURE() << what << ": nothing was reported when every allocation failed";
      }
      rill_error_clear(ctx);
      rill_scope_reset(scope);
      work(ctx);
      EXPECT_EQ(rill_error(ctx), nullptr)
          << what << ", allocation " << n << ": not usable again: " << rill_error(ctx);
      rill_scope_close(scope);
      EXPECT_EQ(rill_memory_used(ctx).live_tensors, 0) << what << ", allocation " << n;
      EXPECT_EQ(rill_memory_used(ctx).live_bytes, 0) << what << ", allocation " << n;
      rill_context_free(ctx);
      EXPECT_EQ(allocator.live, 0) << what << ", allocation " << n << ": blocks were leaked";
      tried++;
      if (!reached || testing::Test::HasFailure()) break;
    }
  }
  return tried;
}

TEST(Fault, ContextsCanFailToBeMade) {
  for (int64_t n = 0;; n++) {
    Allocator allocator;
    allocator.fail_at = n;
    rill_allocator memory = allocator.table();
    rill_context_opts opts = {};
    opts.on_error = RILL_CONTINUE;
    opts.allocator = &memory;
    rill_context *ctx = rill_context_new(opts);
    bool made = ctx != nullptr;
    rill_context_free(ctx);
    EXPECT_EQ(allocator.live, 0) << n;
    if (made) break;
    ASSERT_LT(n, 10);
  }
}

void build_graph(rill_context *ctx) {
  rill_tensor *w = rill_require_grad(rill_randn(ctx, RILL_F32, RILL_SHAPE(4, 3)));
  rill_tensor *x = rill_randn(ctx, RILL_F32, RILL_SHAPE(2, 4));
  rill_tensor *y = rill_softmax(rill_tanh(rill_matmul(x, w)), -1);
  rill_backward(rill_mean(rill_square(rill_transpose(y, 0, 1)), RILL_ALL_AXES, false));
}

TEST(Fault, GraphAndBackward) {
  EXPECT_GT(fail_every_allocation("graph and backward", build_graph), 50);
}

TEST(Fault, Recompute) {
  fail_every_allocation("recompute", [](rill_context *ctx) {
    auto f = [](void *user, int, rill_tensor *const *in, int, rill_tensor **out) {
      out[0] = rill_tanh(rill_mul(in[0], static_cast<rill_tensor *>(user)));
      out[1] = rill_dropout(in[0], 0.5);
    };
    rill_tensor *w = rill_require_grad(rill_randn(ctx, RILL_F64, RILL_SHAPE(3)));
    rill_tensor *x = rill_require_grad(rill_randn(ctx, RILL_F64, RILL_SHAPE(2, 3))), *y[2];
    rill_recompute(f, w, 1, &x, 2, y);
    if (!rill_is_void(y[0])) rill_backward_from(2, y, nullptr);
  });
}

TEST(Fault, GradCheck) {
  fail_every_allocation("gradcheck", [](rill_context *ctx) {
    auto f = [](void *, int, rill_tensor *const *in, int, rill_tensor **out) {
      out[0] = rill_square(in[0]);
    };
    rill_tensor *x = rill_require_grad(rill_randn(ctx, RILL_F64, RILL_SHAPE(2)));
    rill_gradcheck(f, nullptr, 1, &x, 1, rill_gradcheck_opts{});
  });
}

TEST(Fault, ScopesKeepingHoisting) {
  fail_every_allocation("scopes", [](rill_context *ctx) {
    rill_scope *scope = rill_scope_open(ctx);
    for (int i = 0; i < 40; i++) {
      rill_scope *inner = rill_scope_open(ctx);
      rill_hoist(rill_scalar(ctx, RILL_F32, i));
      rill_scope_close(inner);
    }
    rill_drop(rill_keep(rill_scalar(ctx, RILL_F32, 1)));
    rill_owned_free(ctx, rill_owned_alloc(ctx, 10));
    rill_scope_close(scope);
  });
}

TEST(Fault, LookingAtTensors) {
  fail_every_allocation("looking", [](rill_context *ctx) {
    FILE *nowhere = std::fopen("/dev/null", "w");
    rill_tensor *x = rill_transpose(rill_rand(ctx, RILL_BF16, RILL_SHAPE(2, 3)), 0, 1);
    rill_fprint(nowhere, x);
    rill_hash(x);
    rill_write(rill_copy(x), "123456789012", 12);
    rill_arange(ctx, RILL_F32, 5);
    rill_dl_managed *out = rill_is_void(x) ? nullptr : rill_to_dlpack(x);
    if (out && rill_is_void(rill_from_dlpack(ctx, out))) out->deleter(out);
    std::fclose(nowhere);
  });
}

class FaultOp : public testing::TestWithParam<const rill_op *> {};

// A small sample of every op, with gradients where it has them.
TEST_P(FaultOp, EveryAllocation) {
  const rill_op *op = GetParam();
  std::vector<Sample> all = samples_of(op);
  const Sample *best = nullptr;
  int64_t least = 0;
  for (const Sample &s : all) {
    int64_t size = 0;
    for (int i = 0; i < s.inputs; i++) size += s.is.in[i].absent ? 0 : count_of(s.is.in[i].shape);
    bool large = size > 8;
    if (!s.is.refused && large && (!best || size < least)) best = &s, least = size;
  }
  ASSERT_NE(best, nullptr);
  int64_t tried = fail_every_allocation(op->name, [&](rill_context *ctx) {
    Inputs in;
    std::mt19937_64 random(sample_seed(op, *best));
    for (int i = 0; i < best->inputs; i++) {
      const rill_sample_input &is = best->is.in[i];
      rill_dtype dtype = input_dtype(is, RILL_F32);
      rill_tensor *x =
          is.absent ? nullptr : from_values(ctx, dtype, is.shape, draw(is, dtype, random));
      if (x && rill_dtype_is_float(dtype)) rill_require_grad(x);
      in.tensor.push_back(x);
    }
    Outputs out = apply(op, *best, in);
    std::vector<rill_tensor *> y;
    for (rill_tensor *o : out.tensor)
      if (!rill_is_void(o) && rill_requires_grad(o) && rill_dtype_is_float(rill_dtype_of(o)))
        y.push_back(o);
    if (!y.empty() && !rill_error(ctx) && !op->no_grad && !op->writes)
      rill_backward_from(static_cast<int>(y.size()), y.data(), nullptr);
  });
  EXPECT_GT(tried, 15);
}
INSTANTIATE_TEST_SUITE_P(All, FaultOp, testing::ValuesIn(all_ops()), op_case_name);

// ---- files ----

TEST(Fault, EveryFileCallOfASave) {
  std::set<std::string> kinds;
  for (bool from_then_on : {false, true}) {
    for (int64_t n = 0; n < 100; n++) {
      Folder folder;
      Files files;
      rill_files table = files.table();
      Allocator allocator;
      rill_allocator memory = allocator.table();
      rill_context_opts opts = {};
      opts.on_error = RILL_CONTINUE;
      opts.files = &table;
      opts.allocator = &memory;
      rill_context *ctx = rill_context_new(opts);
      std::string path = folder / "a", what = "call " + std::to_string(n);
      ASSERT_TRUE(rill_file_save(ctx, path.c_str(), "old", 3));
      files.calls = 0;
      files.fail_at = n;
      files.from_then_on = from_then_on;
      files.short_counts = true;
      bool saved = rill_file_save(ctx, path.c_str(), "new bytes", 9);
      bool reached = files.calls > n;
      kinds.insert(files.last_failed);
      files.fail_at = -1;
      std::string message = rill_error(ctx) ? rill_error(ctx) : "";
      bool in_place = message.find("in place, but its folder") != std::string::npos;
      EXPECT_EQ(saved, message.empty());
      EXPECT_EQ(contents(path), saved || in_place ? "new bytes" : "old")
          << what << " (" << files.last_failed << "): " << message;
      if (!saved) {
        EXPECT_NE(message.find(path), std::string::npos) << message;
        EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_FILE);
      }
      // The unlink of the temporary file is the one failure nobody can repair.
      EXPECT_TRUE(from_then_on || folder.names().size() == 1u) << what;
      EXPECT_TRUE(files.open_files.empty()) << what;
      rill_error_clear(ctx);
      EXPECT_TRUE(rill_file_save(ctx, path.c_str(), "again", 5)) << what;
      EXPECT_EQ(contents(path), "again");
      rill_context_free(ctx);
      EXPECT_EQ(allocator.live, 0) << what;
      if (!reached) break;
    }
  }
  for (const char *kind : {"open", "write", "sync", "close", "rename"})
    EXPECT_TRUE(kinds.count(kind)) << kind << " was never made to fail";
}

TEST(Fault, EveryFileCallOfALoad) {
  Folder folder;
  std::ofstream(folder / "a") << "some bytes";
  for (int64_t n = 0; n < 100; n++) {
    Files files;
    rill_files table = files.table();
    rill_context_opts opts = {};
    opts.on_error = RILL_CONTINUE;
    opts.files = &table;
    rill_context *ctx = rill_context_new(opts);
    files.fail_at = n;
    files.short_counts = true;
    size_t size = 0;
    void *bytes = rill_file_load(ctx, (folder / "a").c_str(), 100, &size);
    bool reached = files.calls > n;
    EXPECT_EQ(bytes == nullptr, rill_error(ctx) != nullptr);
    EXPECT_TRUE(files.open_files.empty());
    EXPECT_EQ(bytes ? std::string(static_cast<char *>(bytes), size) : "some bytes", "some bytes");
    rill_free(ctx, bytes);
    rill_context_free(ctx);
    if (!reached) break;
    ASSERT_LT(n, 50);
  }
}

TEST(Fault, AllocationsOfFiles) {
  Folder folder;
  std::string path = folder / "a";
  fail_every_allocation("files", [&](rill_context *ctx) {
    size_t size = 0;
    rill_file_save(ctx, path.c_str(), "bytes", 5);
    rill_free(ctx, rill_file_load(ctx, path.c_str(), 100, &size));
  });
}

}  // namespace
