/* Judging. What a choice's tokens are follows lm-evaluation-harness, so that results agree: context
 * and choice are cut into tokens together, as many of these as the context has by itself are the
 * context, and spaces at the end of a context count to the choice.
 *
 * A row holds the last token of its context and the choice; in a piece of it,
 *
 *   inputs    c  a0 a1 a2          targets  a0 a1 a2 a3
 *
 * and what is past the end is padding, whose state nobody sees: the row leaves the batch. */
#include "examples/lm/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

enum { CONTEXT_PIECE = 2048, PIECE_LOGITS = 1 << 24 };

typedef struct {
  int32_t *token; /* [count + 1] */
  int64_t count, read;
  lm_likelihood *likelihood;
} row;

typedef struct {
  const lm_model *model;
  lm_encoder *encoder;
  bool by_position;
  row *row; /* [most] */
  int64_t rows, most;
  rill_state *state;   /* of the rows; empty when they begin at the beginning */
  bool fresh;          /* they do */
  rill_state *context; /* what is read of the question at hand */
} judge;

/* Tokens of a choice and its context. */
typedef struct {
  int32_t *token;
  int64_t count, context;
} cut;

/* ---- tokens ---- */

static bool encode(judge *j, lm_text text, int32_t **token, int64_t *count, char *err) {
  lm_bytes array = {0};
  *token = NULL;
  if (lm_encode(j->encoder, text, &array, err)) {
    lm_tokens view = lm_tokenizer_view(j->model->tokenizer, &array);
    *count = view.count;
    *token = lm_alloc(view.count + 1, sizeof **token, err); /* one more: see begin_text */
    if (*token) lm_tokens_read(&view, 0, view.count, *token);
  }
  free(array.data);
  return *token != NULL;
}

/* Puts the token before the first that stands for the beginning of a text. */
static bool begin_text(judge *j, cut *c, char *err) {
  static const uint8_t newline = '\n';
  int32_t first = lm_tokenizer_end(j->model->tokenizer), *line;
  int64_t count;
  if (first < 0) {
    if (!encode(j, (lm_text){&newline, 1}, &line, &count, err)) return false;
    first = line[0];
    free(line);
  }
  memmove(c->token + 1, c->token, (size_t)c->count * sizeof *c->token);
  c->token[0] = first;
  c->count++;
  c->context = 1;
  return true;
}

static bool cut_choice(judge *j, const lm_choice *choice, cut *c, char *err) {
  int64_t before = choice->context.count, after = choice->text.count;
  *c = (cut){0};
  uint8_t *both = lm_alloc(before + after, 1, err);
  if (!both) return false;
  if (before > 0) memcpy(both, choice->context.bytes, (size_t)before);
  if (after > 0) memcpy(both + before, choice->text.bytes, (size_t)after);
  int64_t context = before;
  while (context > 0 && both[context - 1] == ' ') context--;
  bool ok = encode(j, (lm_text){both, before + after}, &c->token, &c->count, err);
  int32_t *alone = NULL;
  if (ok && context > 0) ok = encode(j, (lm_text){both, context}, &alone, &c->context, err);
  if (ok && context == 0) ok = begin_text(j, c, err);
  if (c->context > c->count) c->context = c->count;
  free(alone);
  free(both);
  return ok;
}

static bool same_context(const cut *a, const cut *b) {
  return a->context == b->context &&
         memcmp(a->token, b->token, (size_t)a->context * sizeof *a->token) == 0;
}

/* ---- the batch ---- */

/* Adds up what a piece says of the rows: log-likelihoods, and how far each is below the best. */
static void add_up(judge *j, int64_t piece, const float *said, const float *best) {
  for (int64_t i = 0; i < j->rows; i++) {
    row *r = &j->row[i];
    for (int64_t t = 0; t < piece && r->read < r->count; t++, r->read++) {
      r->likelihood->nats += (double)said[i * piece + t];
      r->likelihood->greedy = r->likelihood->greedy && said[i * piece + t] >= best[i * piece + t];
    }
  }
}

static bool read_piece(judge *j, int64_t piece, int32_t *ids, float *said) {
  rill_context *ctx = j->model->ctx;
  int64_t n = j->rows * piece;
  int32_t *targets = ids + n;
  for (int64_t i = 0; i < j->rows; i++)
    for (int64_t t = 0, at = j->row[i].read; t < piece; t++, at++) {
      ids[i * piece + t] = at < j->row[i].count ? j->row[i].token[at] : 0;
      targets[i * piece + t] = at < j->row[i].count ? j->row[i].token[at + 1] : 0;
    }
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_tensor *x = rill_from(ctx, RILL_I32, RILL_SHAPE(j->rows, piece), ids);
  rill_tensor *y = rill_from(ctx, RILL_I32, RILL_SHAPE(j->rows, piece, 1), targets);
  rill_tensor *logits = rill_cast(rill_lm_apply_state(j->model->lm, x, j->state), RILL_F32);
  rill_tensor *sum = rill_logsumexp(logits, 2, false); /* [rows, piece] */
  bool ok =
      rill_read(rill_sub(rill_squeeze(rill_gather(logits, 2, y), 2), sum), said,
                (size_t)n * sizeof *said) &&
      rill_read(rill_sub(rill_max(logits, 2, false), sum), said + n, (size_t)n * sizeof *said);
  rill_scope_close(scope);
  if (ok) add_up(j, piece, said, said + n);
  return ok;
}

/* Rows that are read to their end leave. */
static bool leave(judge *j, int64_t *keep) {
  int64_t left = 0, before = j->rows;
  for (int64_t i = 0; i < before; i++) {
    if (j->row[i].read == j->row[i].count) {
      free(j->row[i].token);
      continue;
    }
    keep[left] = i;
    j->row[left++] = j->row[i];
  }
  j->rows = left;
  return left == 0 || left == before || rill_state_select(j->state, left, keep);
}

static bool flush(judge *j, char *err) {
  bool ok = true;
  int64_t *keep = lm_alloc(j->most, sizeof *keep, err);
  if (!keep) return false;
  while (ok && j->rows > 0) {
    int64_t piece = 1, most = PIECE_LOGITS / (j->rows * j->model->lm->config.vocab);
    for (int64_t i = 0; i < j->rows; i++)
      if (j->row[i].count - j->row[i].read > piece) piece = j->row[i].count - j->row[i].read;
    if (piece > most) piece = most > 0 ? most : 1;
    int32_t *ids = lm_alloc(2 * j->rows * piece, sizeof *ids, err);
    float *said = ids ? lm_alloc(2 * j->rows * piece, sizeof *said, err) : NULL;
    ok = said && ((read_piece(j, piece, ids, said) && leave(j, keep)) ||
                  lm_fail(err, "%s", rill_error(j->model->ctx)));
    free(ids);
    free(said);
  }
  free(keep);
  rill_state_reset(j->state);
  return ok;
}

/* Takes the tokens from the last of the context on. */
static bool add_row(judge *j, const cut *c, lm_likelihood *likelihood, char *err) {
  int64_t count = c->count - c->context;
  bool fresh = c->context == 1;
  bool apart = j->rows > 0 && (fresh != j->fresh || j->rows == j->most ||
                               (j->by_position && !fresh &&
                                rill_state_position(j->state) != rill_state_position(j->context)));
  *likelihood = (lm_likelihood){.tokens = count, .greedy = true};
  if (count == 0) return true;
  if (apart && !flush(j, err)) return false;
  row *r = &j->row[j->rows];
  *r = (row){.count = count, .likelihood = likelihood};
  r->token = lm_alloc(count + 1, sizeof *r->token, err);
  if (!r->token) return false;
  memcpy(r->token, c->token + c->context - 1, (size_t)(count + 1) * sizeof *r->token);
  j->rows++;
  j->fresh = fresh;
  return fresh || rill_state_append(j->state, j->context) ||
         lm_fail(err, "%s", rill_error(j->model->ctx));
}

/* Reads a context up to its last token, which stands before the choice. */
static bool read_context(judge *j, const cut *c, char *err) {
  rill_context *ctx = j->model->ctx;
  rill_state_reset(j->context);
  for (int64_t at = 0; at < c->context - 1;) {
    int64_t left = c->context - 1 - at, piece = left < CONTEXT_PIECE ? left : CONTEXT_PIECE;
    rill_scope *scope = rill_scope_open_no_grad(ctx);
    rill_lm_next(j->model->lm, rill_from(ctx, RILL_I32, RILL_SHAPE(1, piece), c->token + at),
                 j->context);
    rill_scope_close(scope);
    if (rill_error(ctx)) return lm_fail(err, "%s", rill_error(ctx));
    at += piece;
  }
  return true;
}

static bool ask(judge *j, const lm_question *q, lm_likelihood *likelihood, char *err) {
  cut last = {0};
  bool ok = true;
  for (int64_t i = 0; ok && i < q->choices; i++) {
    cut now;
    ok = cut_choice(j, &q->choice[i], &now, err);
    if (ok && !(i > 0 && same_context(&last, &now))) ok = read_context(j, &now, err);
    ok = ok && add_row(j, &now, &likelihood[i], err);
    free(last.token);
    last = now;
  }
  free(last.token);
  return ok;
}

bool lm_judge(const lm_model *model, const lm_questions *questions, int64_t rows,
              lm_likelihood *likelihood, char *err) {
  judge j = {.model = model,
             .most = rows,
             .by_position = rill_lm_uses_position(&model->lm->config),
             .state = rill_state_new(model->ctx),
             .context = rill_state_new(model->ctx)};
  j.encoder = lm_encoder_new(model->tokenizer, err);
  j.row = j.encoder ? lm_alloc(rows, sizeof *j.row, err) : NULL;
  bool ok = j.row && ((j.state && j.context) || lm_fail(err, "%s", rill_error(model->ctx)));
  for (int64_t i = 0; ok && i < questions->count; i++) {
    ok = ask(&j, &questions->at[i], likelihood, err);
    likelihood += questions->at[i].choices;
  }
  ok = ok && flush(&j, err);
  for (int64_t i = 0; i < j.rows; i++) free(j.row[i].token);
  free(j.row);
  lm_encoder_free(j.encoder);
  rill_state_free(j.state);
  rill_state_free(j.context);
  return ok;
}
