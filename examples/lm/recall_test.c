/* Testing: the best token of every place that counts. Logits are made a few rows at a time. */
#include <inttypes.h>
#include <stdlib.h>

#include "examples/lm/recall_batch.h"
#include "ops/ops.h"

enum { LOGITS_AT_ONCE = 1 << 24 };

/* Says what is right in rows begin .. end of x, and adds their loss. */
static bool score_rows(const lm_model *model, const lm_recall_batch *b, rill_tensor *x,
                       int64_t begin, int64_t end, bool *right, double *nats) {
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  const int64_t n = end - begin;
  rill_tensor *logits =
      rill_linear_op(rill_slice(x, 0, begin, end, 1), rill_lm_output(model->lm), NULL);
  rill_tensor *answer = rill_from(model->ctx, RILL_I32, RILL_SHAPE(n), b->answer + begin);
  rill_tensor *best = rill_cast(rill_argmax(logits, 1, false), RILL_I32);
  rill_tensor *hit = rill_cast(rill_equal(best, answer), RILL_BOOL);
  *nats += rill_item(rill_cross_entropy(logits, answer)) * (double)n;
  bool done = rill_read(hit, right + begin, (size_t)n * sizeof *right);
  rill_scope_close(scope);
  return done;
}

static bool score_batch(const lm_model *model, const lm_recall_batch *b, bool *right,
                        lm_recall_score *sum) {
  int64_t at_once = LOGITS_AT_ONCE / model->lm->config.vocab;
  if (at_once < 1) at_once = 1;
  rill_scope *scope = rill_scope_open_no_grad(model->ctx);
  rill_tensor *x = lm_recall_hidden(model, b);
  bool done = true;
  for (int64_t begin = 0; done && begin < b->rows; begin += at_once) {
    int64_t end = begin + at_once < b->rows ? begin + at_once : b->rows;
    done = score_rows(model, b, x, begin, end, right, &sum->nats);
  }
  rill_scope_close(scope);
  for (int64_t i = 0, r = 0; done && i < b->size; i++) {
    bool whole = true;
    for (; r < b->rows && b->row[r] < (i + 1) * b->length; r++) {
      sum->accuracy += right[r];
      whole = whole && right[r];
    }
    sum->whole += whole;
  }
  return done;
}

bool lm_recall_test(const lm_model *model, const lm_task *task, const lm_task_shape *shape,
                    uint64_t seed, int64_t examples, int64_t size, lm_recall_score *score,
                    char *err) {
  lm_recall_batch b;
  double counted = 0;
  *score = (lm_recall_score){0};
  bool done = lm_recall_batch_new(&b, task, shape, model->tokenizer, size, err);
  if (done && !b.encoder && shape->vocab > model->lm->config.vocab)
    done = lm_fail(err, "the task has %" PRId64 " different tokens, the model knows %" PRId64,
                   shape->vocab, model->lm->config.vocab);
  bool *right = done ? lm_alloc(size * shape->length, sizeof *right, err) : NULL;
  int64_t *index = right ? lm_alloc(size, sizeof *index, err) : NULL;
  done = index != NULL;
  while (done && score->examples < examples) {
    int64_t left = examples - score->examples, n = left < size ? left : size;
    for (int64_t i = 0; i < n; i++) index[i] = score->examples + i;
    done = lm_recall_batch_fill(&b, seed, LM_SPLIT_TEST, index, n, err) &&
           (score_batch(model, &b, right, score) || lm_fail(err, "%s", rill_error(model->ctx)));
    score->examples += n;
    counted += (double)b.rows;
  }
  free(index);
  free(right);
  lm_recall_batch_free(&b);
  score->accuracy /= counted;
  score->nats /= counted;
  score->whole /= (double)score->examples;
  return done;
}
