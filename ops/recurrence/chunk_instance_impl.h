/* Compiles the chunked form once. The including file defines RILLI_F64, RILLI_ISA and
 * RILLI_INSTANCE, the name of the rilli_recur_kernel. Everything else is static, so that instances
 * do not meet. */
#if RILLI_ISA != 0
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#include "ops/recurrence/kernel_impl.h"
#include "tensor/checked.h"

#if RILLI_ISA == 512 && defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#elif RILLI_ISA == 512
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")
#elif RILLI_ISA == 256 && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif RILLI_ISA == 256
#pragma GCC target("avx2,fma")
#endif
#if !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include "ops/recurrence/channel_backward_impl.h"
#include "ops/recurrence/channel_impl.h"
#include "ops/recurrence/chunk_backward_impl.h"
#include "ops/recurrence/chunk_forward_impl.h"

static void forward(const rilli_recur_in *in, const rilli_recur_fwd *out, int64_t sequence,
                    int64_t head, char *scratch) {
  if (in->rule->decay == RILL_DECAY_CHANNEL) {
    channel_forward(in, out, sequence, head, scratch);
  } else {
    chunk_forward(in, out, sequence, head, scratch);
  }
}

static void backward(const rilli_recur_in *in, const rilli_recur_bwd *out, int64_t sequence,
                     int64_t head, char *scratch) {
  if (in->rule->decay == RILL_DECAY_CHANNEL) {
    channel_backward(in, out, sequence, head, scratch);
  } else {
    chunk_backward(in, out, sequence, head, scratch);
  }
}

const rilli_recur_kernel RILLI_INSTANCE = {workspace_bytes, forward, backward};

#if RILLI_ISA != 0 && defined(__clang__)
#pragma clang attribute pop
#endif
