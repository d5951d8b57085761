// A context per test, with an allocator that counts and can be made to fail.
#ifndef RILL_TESTS_TENSOR_UTIL_H_
#define RILL_TESTS_TENSOR_UTIL_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "ops/ops.h"
#include "tensor/io.h"

namespace rill_test {

// Counts blocks and bytes; the call number `fail_at` fails, and with `from_then_on` all after it.
// Fresh memory is filled with 0xa5.
struct Allocator {
  int64_t calls = 0, live = 0, bytes = 0, fail_at = -1;
  bool from_then_on = false;
  bool fails() {
    int64_t n = calls++;
    return fail_at >= 0 && (from_then_on ? n >= fail_at : n == fail_at);
  }
  rill_allocator table() {
    return {[](void *user, size_t size) -> void * {
              Allocator *a = static_cast<Allocator *>(user);
              if (a->fails()) return nullptr;
              size_t whole = (size + 63) / 64 * 64;
              void *memory = std::aligned_alloc(64, whole ? whole : 64);
              if (!memory) return nullptr;
              std::memset(memory, 0xa5, whole);
              a->live++;
              a->bytes += static_cast<int64_t>(size);
              return memory;
            },
            [](void *user, void *memory, size_t size) {
              Allocator *a = static_cast<Allocator *>(user);
              a->live--;
              a->bytes -= static_cast<int64_t>(size);
              std::free(memory);
            },
            this};
  }
};

class WithContext : public testing::Test {
 protected:
  void SetUp() override {
    table = allocator.table();
    rill_context_opts opts = {};
    opts.seed = 1;
    opts.on_error = RILL_CONTINUE;
    opts.threads = 2;
    opts.allocator = &table;
    ctx = rill_context_new(opts);
    ASSERT_NE(ctx, nullptr);
  }
  void TearDown() override {
    rill_context_free(ctx);
    EXPECT_EQ(allocator.live, 0) << "blocks were leaked";
    EXPECT_EQ(allocator.bytes, 0);
  }
  // There is an error, of that status, whose message contains the text; it is cleared.
  void expect_error(rill_status status, const std::string &text) {
    const char *error = rill_error(ctx);
    ASSERT_NE(error, nullptr) << "no error; expected: " << text;
    EXPECT_NE(std::string(error).find(text), std::string::npos) << error;
    EXPECT_EQ(rill_error_status(ctx), status) << error;
    rill_error_clear(ctx);
  }
  void expect_no_error() { EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx); }
  rill_tensor *vector(std::vector<double> x) {
    return rill_from(ctx, RILL_F64, RILL_SHAPE(static_cast<int64_t>(x.size())), x.data());
  }
  static std::vector<double> read(rill_tensor *x) {
    std::vector<double> v(static_cast<size_t>(rill_count(x)));
    EXPECT_TRUE(rill_read_f64(x, v.data(), rill_count(x)));
    return v;
  }
  int64_t live() const { return rill_memory_used(ctx).live_tensors; }

  Allocator allocator;
  rill_allocator table{};
  rill_context *ctx = nullptr;
};

}  // namespace rill_test

#endif  // RILL_TESTS_TENSOR_UTIL_H_
