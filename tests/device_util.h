// The device that the tests of kernels run on.
#ifndef RILL_TESTS_DEVICE_UTIL_H_
#define RILL_TESTS_DEVICE_UTIL_H_

#include <cstdlib>
#include <string>

#include "tensor/tensor.h"

namespace rill_test {

// RILL_TEST_DEVICE=cuda runs the tests on a GPU, measured against the CPU.
inline rill_context_opts test_opts() {
  const char *device = std::getenv("RILL_TEST_DEVICE");
  rill_context_opts opts = {};
  opts.seed = 7;
  opts.on_error = RILL_CONTINUE;
  opts.threads = 2;
  opts.device = device && std::string(device) == "cuda" ? RILL_CUDA : RILL_CPU;
  return opts;
}
inline bool on_gpu(const rill_context *ctx) { return rill_context_device(ctx) == RILL_CUDA; }

}  // namespace rill_test

#endif  // RILL_TESTS_DEVICE_UTIL_H_
