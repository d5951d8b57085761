/* One batch, in training and in tests:
 *
 *   ids [B, T] -> hidden [B T, width] -> rows that count [N, width] -> their loss, or their best
 * token
 *
 * In tokens that are not bytes an answer begins where the tokens of the text with it part from
 * those of the text without: a tokenizer may join the first digit with what stands before it. */
#include <stdlib.h>
#include <string.h>

#include "examples/lm/recall_batch.h"
#include "ops/ops.h"

bool lm_recall_batch_new(lm_recall_batch *b, const lm_task *task, const lm_task_shape *shape,
                         lm_tokenizer *tokenizer, int64_t size, char *err) {
  *b = (lm_recall_batch){.task = task, .shape = *shape, .room = size, .length = shape->length};
  if (task->text && tokenizer && !lm_tokenizer_is_bytes(tokenizer)) {
    b->tokenizer = tokenizer;
    b->encoder = lm_encoder_new(tokenizer, err);
    if (!b->encoder) return false;
  }
  b->input = lm_alloc(size * shape->length, sizeof *b->input, err);
  b->target = lm_alloc(size * shape->length, sizeof *b->target, err);
  b->row = lm_alloc(size * shape->length, sizeof *b->row, err);
  b->answer = lm_alloc(size * shape->length, sizeof *b->answer, err);
  return b->input && b->target && b->row && b->answer;
}

void lm_recall_batch_free(lm_recall_batch *b) {
  lm_encoder_free(b->encoder);
  free(b->scratch.data);
  free(b->input);
  free(b->target);
  free(b->row);
  free(b->answer);
  *b = (lm_recall_batch){0};
}

/* Appends the tokens of a text to the scratch array, and gives those. */
static bool encode(lm_recall_batch *b, const uint8_t *text, int64_t count, lm_tokens *tokens,
                   int64_t *begin, char *err) {
  const int width = lm_tokenizer_width(b->tokenizer);
  *begin = b->scratch.count / width;
  if (!lm_encode(b->encoder, (lm_text){text, count}, &b->scratch, err)) return false;
  *tokens = lm_tokenizer_view(b->tokenizer, &b->scratch);
  return true;
}

/* Puts an example of bytes, in rows of the shape's length, into the model's tokens. *used is its
 * number of tokens. */
static bool translate(lm_recall_batch *b, int32_t *input, int32_t *target, int64_t *used,
                      char *err) {
  const int64_t n = b->shape.length;
  int64_t asked = 0, whole, begin;
  lm_tokens tokens;
  uint8_t *text = lm_alloc(n + 1, 1, err);
  if (!text) return false;
  for (int64_t t = 0; t < n; t++) text[t] = (uint8_t)input[t];
  text[n] = (uint8_t)target[n - 1];
  while (target[asked] == LM_NOT_COUNTED) asked++;
  b->scratch.count = 0;
  bool done = encode(b, text, n + 1, &tokens, &whole, err) &&
              encode(b, text, asked + 1, &tokens, &begin, err);
  free(text);
  if (!done) return false;
  if (begin < 2 || begin - 1 > n) return lm_fail(err, "a needle has %lld tokens", (long long)begin);
  int64_t same = 0;
  while (begin + same < tokens.count && same < begin - 1 &&
         lm_token_at(&tokens, same) == lm_token_at(&tokens, begin + same))
    same++;
  *used = begin - 1;
  lm_tokens_read(&tokens, 0, begin - 1, input);
  for (int64_t t = 0; t < n; t++)
    target[t] = t < begin - 1 && t + 1 >= same ? lm_token_at(&tokens, t + 1) : LM_NOT_COUNTED;
  for (int64_t t = begin - 1; t < n; t++) input[t] = 0;
  return true;
}

/* Cuts rows of the shape's length down to `length`. */
static void close_up(lm_recall_batch *b, int64_t length) {
  for (int64_t i = 0; i < b->size; i++) {
    size_t bytes = (size_t)length * sizeof *b->input;
    memmove(b->input + i * length, b->input + i * b->shape.length, bytes);
    memmove(b->target + i * length, b->target + i * b->shape.length, bytes);
  }
  b->length = length;
}

bool lm_recall_batch_fill(lm_recall_batch *b, uint64_t seed, lm_split split, const int64_t *index,
                          int64_t count, char *err) {
  int64_t longest = 0;
  b->size = count;
  b->length = b->shape.length;
  for (int64_t i = 0; i < count; i++) {
    int32_t *input = b->input + i * b->length, *target = b->target + i * b->length;
    int64_t used = b->length;
    lm_task_example(b->task, &b->shape, seed, split, index[i], input, target);
    if (b->encoder && !translate(b, input, target, &used, err)) return false;
    if (used > longest) longest = used;
  }
  if (longest < b->length) close_up(b, longest);
  b->rows = 0;
  for (int64_t i = 0; i < b->size * b->length; i++) {
    if (b->target[i] == LM_NOT_COUNTED) continue;
    b->row[b->rows] = i;
    b->answer[b->rows++] = b->target[i];
  }
  return true;
}

rill_tensor *lm_recall_hidden(const lm_model *model, const lm_recall_batch *b) {
  rill_tensor *ids = rill_from(model->ctx, RILL_I32, RILL_SHAPE(b->size, b->length), b->input);
  rill_tensor *x = rill_lm_hidden(model->lm, ids);
  x = rill_reshape(x, RILL_SHAPE(b->size * b->length, model->lm->config.width));
  return rill_embedding_lookup(x, rill_from(model->ctx, RILL_I64, RILL_SHAPE(b->rows), b->row));
}
