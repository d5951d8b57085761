/* Samples are handed on one at a time; nothing is stored here. */
#include "autograd/op.h"

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
