/* Compiles the token-by-token form once, for the `real` that RILLI_F64 chooses. */
#if defined(__clang__) /* "loop not vectorized" is no news in a sanitizer build */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#include "ops/recurrence/reference_backward_impl.h"
#include "ops/recurrence/reference_forward_impl.h"

/* Every size goes through checked arithmetic: states are as large as users ask for. */
static size_t scratch_bytes(const rilli_recur_in *in, int64_t longest_chunk, bool backward) {
  size_t V = (size_t)in->V, D = (size_t)in->D, C = (size_t)longest_chunk;
  size_t rows = 0, state = 0, states = 0, bytes = 0;
  if (!rilli_mul_size(V, D, &state) || !rilli_mul_size(8, D, &rows) ||
      !rilli_mul_size(2, state, &states) || !rilli_mul_size(C + 2, states, &states) ||
      !rilli_add_size(rows, 4 * V, &bytes) ||
      (backward && !rilli_add_size(bytes, states, &bytes)) ||
      !rilli_mul_size(bytes, sizeof(real), &bytes) || !rilli_add_size(bytes, 127, &bytes))
    return 0;
  return bytes / 64 * 64;
}

const rilli_recur_kernel RILLI_INSTANCE = {scratch_bytes, reference_forward, reference_backward};
