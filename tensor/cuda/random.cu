/* Random numbers on CUDA: element i takes draw state.counter + i, as on the CPU. One thread makes
 * the two draws of a Philox block. */
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/number.cuh"
#include "tensor/random.h"

struct job {
  void *data;
  rill_dtype dtype;
  rilli_random_kind kind;
  int64_t count, low;
  uint64_t range;
  rill_random_state state;
};

static __device__ void put(const job &j, int64_t i, uint64_t bits, double normal) {
  bool uniform = j.kind == RILLI_RANDOM_UNIFORM, whole = j.kind == RILLI_RANDOM_INTEGER;
  int64_t integer = whole ? (int64_t)((uint64_t)j.low + rill_random_below(bits, j.range)) : 0;
  switch (j.dtype) {
    case RILL_F32:
      ((float *)j.data)[i] = uniform ? rill_random_unit_f32(bits)
                             : whole ? (float)integer
                                     : (float)normal;
      break;
    case RILL_F64:
      ((double *)j.data)[i] = uniform ? rill_random_unit_f64(bits)
                              : whole ? (double)integer
                                      : normal;
      break;
    case RILL_BF16:
      ((__nv_bfloat16 *)j.data)[i] = __float2bfloat16_rn(uniform ? rill_random_unit_bf16(bits)
                                                         : whole ? (float)integer
                                                                 : (float)normal);
      break;
    case RILL_I32:
      ((int32_t *)j.data)[i] = (int32_t)integer;
      break;
    case RILL_I64:
      ((int64_t *)j.data)[i] = integer;
      break;
    case RILL_U8:
      ((uint8_t *)j.data)[i] = (uint8_t)integer;
      break;
    default:
      ((uint8_t *)j.data)[i] = integer != 0;
      break;
  }
}

static __global__ void draw(job j) {
  uint64_t block = j.state.counter / 2 + (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
  rill_philox_block x = rill_random_block(j.state.seed, block);
  double normal[2] = {0, 0};
  if (j.kind == RILLI_RANDOM_NORMAL) rill_random_normal_pair(x, normal);
  for (int half = 0; half < 2; half++) {
    int64_t i = (int64_t)(2 * block + half - j.state.counter);
    if (i >= 0 && i < j.count) put(j, i, rill_random_half(x, half), normal[half]);
  }
}

bool rilli_cuda_random(rilli_device *dev, const rill_array *to, rilli_random_kind kind,
                       rill_random_state state, int64_t low, int64_t high) {
  job j = {to->data, to->dtype, kind, rill_array_count(to), low, (uint64_t)high - (uint64_t)low,
           state};
  return j.count == 0 ||
         rilli_launch(&dev->env, draw, rilli_blocks(j.count / 2 + 1, 256), 256, 0, j);
}
