/* Filling an array with random numbers on the CPU.
 *
 * Element i takes draw state.counter + i, whatever the dtype and the number of threads. Pieces of
 * fixed length run in parallel; each walks the Philox blocks that cover it, two draws a block. */
#include "tensor/cpu_impl.h"
#include "tensor/random.h"

enum { PIECE = 8192 };

typedef struct {
  const rill_array *to;
  rilli_random_kind kind;
  int64_t low;
  uint64_t range;
} job;

static void put(const job *j, int64_t i, uint64_t bits, double normal) {
  void *data = j->to->data;
  bool uniform = j->kind == RILLI_RANDOM_UNIFORM;
  int64_t integer = (int64_t)((uint64_t)j->low + rill_random_below(bits, j->range));
  bool whole = j->kind == RILLI_RANDOM_INTEGER;
  switch (j->to->dtype) {
    case RILL_F32:
      ((float *)data)[i] = uniform ? rill_random_unit_f32(bits)
                           : whole ? (float)integer
                                   : (float)normal;
      break;
    case RILL_F64:
      ((double *)data)[i] = uniform ? rill_random_unit_f64(bits) : whole ? (double)integer : normal;
      break;
    case RILL_BF16:
      ((rill_bf16 *)data)[i] = rill_bf16_from_f32(uniform ? rill_random_unit_bf16(bits)
                                                  : whole ? (float)integer
                                                          : (float)normal);
      break;
    case RILL_I32:
      ((int32_t *)data)[i] = (int32_t)integer;
      break;
    case RILL_I64:
      ((int64_t *)data)[i] = integer;
      break;
    case RILL_U8:
      ((uint8_t *)data)[i] = (uint8_t)integer;
      break;
    default:
      ((uint8_t *)data)[i] = integer != 0;
      break;
  }
}

static void fill_piece(const job *j, rill_random_state state, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end;) {
    uint64_t draw = state.counter + (uint64_t)i;
    rill_philox_block block = rill_random_block(state.seed, draw / 2);
    double normal[2] = {0, 0};
    if (j->kind == RILLI_RANDOM_NORMAL) rill_random_normal_pair(block, normal);
    for (int half = (int)(draw % 2); half < 2 && i < end; half++, i++)
      put(j, i, rill_random_half(block, half), normal[half]);
  }
}

bool rilli_cpu_random(rilli_device *dev, const rill_array *to, rilli_random_kind kind,
                      rill_random_state state, int64_t low, int64_t high) {
  int64_t count = rill_array_count(to), pieces = (count + PIECE - 1) / PIECE;
  job j = {to, kind, low, (uint64_t)high - (uint64_t)low};
  (void)dev;
#pragma omp parallel for schedule(static) \
    num_threads(dev->env.threads) if (pieces > 1 && dev->env.threads > 1)
  for (int64_t p = 0; p < pieces; p++)
    fill_piece(&j, state, p * PIECE, (p + 1) * PIECE < count ? (p + 1) * PIECE : count);
  return true;
}
