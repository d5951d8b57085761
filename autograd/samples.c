/* Samples are handed on one at a time; nothing is stored here. Their inputs are drawn from the
 * context's random stream. */
#include "autograd/op.h"
#include "tensor/io.h"

struct rill_samples {
  void (*each)(void *user, const rill_sample *sample);
  void *user;
};

void rill_sample_add(rill_samples *samples, rill_sample sample) {
  samples->each(samples->user, &sample);
}

void rill_op_samples(const rill_op *op, void (*each)(void *user, const rill_sample *sample),
                     void *user) {
  rill_samples samples = {each, user};
  if (op->sample) op->sample(&samples);
}

static rill_dtype dtype_of(const rill_sample_input *input, rill_dtype tested) {
  if (input->fixed || input->below > 0) return input->dtype;
  return input->state && tested != RILL_F64 ? RILL_F32 : tested;
}

static rill_tensor *uniform(rill_context *ctx, rill_dtype dtype, const rill_sample_input *input) {
  rill_tensor *x = rill_zeros(ctx, dtype, input->shape),
              *unit = rill_rand(ctx, RILL_F64, input->shape);
  int64_t count = rill_count(unit);
  double *value = rill_alloc(ctx, (size_t)count * sizeof *value);
  if (value && rill_read_f64(unit, value, count)) {
    for (int64_t i = 0; i < count; i++)
      value[i] = input->low + (input->high - input->low) * value[i];
    rill_assign(x, rill_from(ctx, RILL_F64, input->shape, value));
  }
  rill_free(ctx, value);
  return x;
}

int rill_sample_tensors(rill_context *ctx, const rill_op *op, const rill_sample *sample,
                        rill_dtype dtype, rill_tensor **in) {
  int n = sample->inputs;
  while (sample->inputs == 0 && n < RILL_MAX_INPUTS && op->in[n]) n++;
  for (int i = 0; i < n; i++) {
    const rill_sample_input *input = &sample->in[i];
    rill_dtype own = dtype_of(input, dtype);
    bool integers = input->below > 0 || !rill_dtype_is_float(own);
    if (input->absent) {
      in[i] = NULL;
    } else if (integers) {
      in[i] = rill_randint(ctx, own, input->shape, 0, input->below > 0 ? input->below : 2);
    } else if (input->low == 0 && input->high == 0) {
      in[i] = rill_randn(ctx, own, input->shape);
    } else {
      in[i] = uniform(ctx, own, input);
    }
  }
  return n;
}
