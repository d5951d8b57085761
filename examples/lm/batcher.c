/* The batcher. A group is a batch: streams, and a state with a row for each. There is one, except
 * for models that use positions, where streams of equal length form one. The logits of a step come
 * to the host whole, [rows, vocabulary], and every stream draws from its row. */
#include "examples/lm/batcher.h"

#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

typedef struct {
  rill_state *state;
  lm_sequence **row; /* [slots] */
  int64_t rows;
} group;

struct lm_batcher {
  const lm_model *model;
  int64_t slots, piece, vocabulary;
  bool by_position;
  lm_sequence *first, **end; /* the queue; its first may be partly read */
  int64_t waiting;
  rill_state *reading; /* what is read of the first's prompt */
  int64_t read;        /* tokens of it */
  group *group;        /* [slots], those with rows first */
  int64_t groups;
  int32_t *ids;   /* [slots] */
  float *logits;  /* [most of slots and scored, vocabulary] */
  int64_t scored; /* tokens of a prompt that are scored at once */
  int64_t *keep;  /* [slots] */
};

enum { SCORED_LOGITS = 1 << 22 }; /* numbers that a scored piece may have */

lm_batcher *lm_batcher_new(const lm_model *model, int64_t slots, int64_t piece, char *err) {
  lm_batcher *b = lm_alloc(1, sizeof *b, err);
  if (!b) return NULL;
  b->model = model;
  b->slots = slots;
  b->piece = piece;
  b->vocabulary = model->lm->config.vocab;
  b->by_position = rill_lm_uses_position(&model->lm->config);
  b->end = &b->first;
  b->scored = SCORED_LOGITS / b->vocabulary;
  if (b->scored < 1) b->scored = 1;
  if (b->scored > piece) b->scored = piece;
  int64_t rows = b->scored > slots ? b->scored : slots;
  b->ids = lm_alloc(slots, sizeof *b->ids, err);
  b->keep = lm_alloc(slots, sizeof *b->keep, err);
  b->group = lm_alloc(slots, sizeof *b->group, err);
  b->logits = lm_alloc(rows * b->vocabulary, sizeof *b->logits, err);
  b->reading = rill_state_new(model->ctx);
  bool ok = b->ids && b->keep && b->group && b->logits && b->reading;
  for (int64_t i = 0; ok && i < slots; i++) {
    b->group[i].row = lm_alloc(slots, sizeof *b->group[i].row, err);
    b->group[i].state = rill_state_new(model->ctx);
    ok = b->group[i].row && b->group[i].state;
  }
  if (ok) return b;
  if (rill_error(model->ctx)) lm_fail(err, "%s", rill_error(model->ctx));
  lm_batcher_free(b);
  return NULL;
}

int64_t lm_batcher_waiting(const lm_batcher *b) { return b->waiting - (b->read > 0); }

static int64_t in_groups(const lm_batcher *b) {
  int64_t rows = 0;
  for (int64_t i = 0; i < b->groups; i++) rows += b->group[i].rows;
  return rows;
}

int64_t lm_batcher_running(const lm_batcher *b) { return in_groups(b) + (b->read > 0); }

void lm_batcher_add(lm_batcher *b, lm_sequence *s) {
  s->next = NULL;
  *b->end = s;
  b->end = &s->next;
  b->waiting++;
}

/* ---- endings ---- */

/* Takes the first text out of the queue; what was read of it stays in `reading`. */
static lm_sequence *take_first(lm_batcher *b) {
  lm_sequence *s = b->first;
  b->first = s->next;
  if (!b->first) b->end = &b->first;
  b->waiting--;
  b->read = 0;
  return s;
}

static void end_first(lm_batcher *b, const char *error) {
  lm_sequence *s = take_first(b);
  rill_state_reset(b->reading);
  while (s) {
    lm_sequence *after = s->fork;
    s->done(s, error);
    s = after;
  }
}

static void drop_group(lm_batcher *b, group *g) {
  rill_state_reset(g->state);
  g->rows = 0;
  group last = b->group[--b->groups];
  b->group[b->groups] = *g;
  *g = last;
}

/* The model failed: whatever it was reading is lost. */
static void fail_running(lm_batcher *b) {
  char message[LM_ERROR_SIZE];
  lm_fail(message, "%s", rill_error(b->model->ctx) ? rill_error(b->model->ctx) : "unknown error");
  rill_error_clear(b->model->ctx);
  if (b->read > 0) end_first(b, message);
  while (b->groups > 0) {
    group *g = &b->group[b->groups - 1];
    for (int64_t i = 0; i < g->rows; i++) g->row[i]->done(g->row[i], message);
    drop_group(b, g);
  }
}

void lm_batcher_free(lm_batcher *b) {
  static const char ending[] = "the program is ending";
  if (!b) return;
  for (int64_t i = 0; b->group && i < b->slots; i++) {
    group *g = &b->group[i];
    for (int64_t k = 0; k < g->rows; k++) g->row[k]->done(g->row[k], ending);
    rill_state_free(g->state);
    free(g->row);
  }
  while (b->first) end_first(b, ending);
  rill_state_free(b->reading);
  free(b->ids);
  free(b->keep);
  free(b->group);
  free(b->logits);
  free(b);
}

/* ---- prompts ---- */

/* Forks that were cancelled are taken out of the list; NULL when all were. */
static lm_sequence *without_cancelled(lm_sequence *s) {
  lm_sequence *kept = NULL, **end = &kept;
  while (s) {
    lm_sequence *after = s->fork;
    if (s->cancelled) {
      s->done(s, NULL);
    } else {
      *end = s;
      end = &s->fork;
    }
    s = after;
  }
  *end = NULL;
  return kept;
}

static void sweep_queue(lm_batcher *b) {
  lm_sequence *list = b->first;
  bool front = true;
  b->first = NULL;
  b->end = &b->first;
  b->waiting = 0;
  while (list) {
    lm_sequence *after = list->next, *kept = without_cancelled(list);
    if (kept) {
      lm_batcher_add(b, kept);
    } else if (front) {
      b->read = 0;
      rill_state_reset(b->reading);
    }
    front = false;
    list = after;
  }
}

/* Draws the stream's next token. False when it has ended. */
static bool draw(lm_sequence *s, const float *logits) {
  char err[LM_ERROR_SIZE];
  bool ended = s->cancelled || s->drawn >= s->most || !s->sampler;
  if (!ended && !lm_sampler_next(s->sampler, logits, &s->last, err)) {
    s->done(s, err);
    return false;
  }
  if (!ended) {
    s->drawn++;
    ended = s->token(s, s->last, logits) == LM_STOP || s->drawn == s->most;
  }
  if (ended) s->done(s, NULL);
  return !ended;
}

/* The group that a state of that position may join, perhaps a new one. */
static group *find_group(lm_batcher *b, int64_t position) {
  for (int64_t i = 0; i < b->groups; i++)
    if (!b->by_position || rill_state_position(b->group[i].state) == position) return &b->group[i];
  return &b->group[b->groups++];
}

/* The first's prompt is read, and these are the logits after it. */
static bool join(lm_batcher *b, const float *logits) {
  lm_sequence *s = take_first(b), *going = NULL, **end = &going;
  int64_t count = 0;
  while (s) {
    lm_sequence *after = s->fork;
    if (draw(s, logits)) {
      *end = s;
      end = &s->fork;
      b->keep[count++] = 0;
    }
    s = after;
  }
  *end = NULL;
  if (count > 0) {
    group *g = find_group(b, rill_state_position(b->reading));
    for (; going; going = going->fork) g->row[g->rows++] = going;
    if (count > 1) rill_state_select(b->reading, count, b->keep);
    rill_state_append(g->state, b->reading);
  }
  rill_state_reset(b->reading);
  return !rill_error(b->model->ctx);
}

/* Hands the prompt's tokens after position `read`, and the logits they were expected with, to a
 * stream and its forks. */
static void score(lm_batcher *b, lm_sequence *s, int64_t count) {
  for (; s; s = s->fork) {
    lm_verdict verdict = b->read > 0 ? LM_GO_ON : s->token(s, s->prompt[0], NULL);
    for (int64_t i = 0; i < count && verdict == LM_GO_ON; i++) {
      int64_t next = b->read + i + 1;
      if (next < s->prompt_count)
        verdict = s->token(s, s->prompt[next], b->logits + i * b->vocabulary);
    }
    s->cancelled = s->cancelled || verdict == LM_STOP;
  }
}

/* Reads up to `count` tokens of the first's prompt; returns how many, 0 after an error. */
static int64_t read_piece(lm_batcher *b, int64_t count) {
  lm_sequence *s = b->first;
  int64_t left = s->prompt_count - b->read;
  if (count > left) count = left;
  if (s->score && count > b->scored) count = b->scored;
  int64_t rows = s->score ? count : 1;
  const lm_model *m = b->model;
  for (lm_sequence *f = b->read == 0 ? s : NULL; f; f = f->fork)
    if (f->start) f->start(f);
  rill_scope *scope = rill_scope_open_no_grad(m->ctx);
  rill_tensor *ids = rill_from(m->ctx, RILL_I32, RILL_SHAPE(1, count), s->prompt + b->read);
  rill_tensor *logits =
      s->score ? rill_lm_apply_state(m->lm, ids, b->reading) : rill_lm_next(m->lm, ids, b->reading);
  bool ok = rill_read(rill_cast(logits, RILL_F32), b->logits,
                      (size_t)(rows * b->vocabulary) * sizeof *b->logits);
  rill_scope_close(scope);
  if (ok && s->score) score(b, s, count);
  b->read += count; /* also after an error: then this is what failed */
  if (ok && b->read == s->prompt_count) ok = join(b, b->logits + (rows - 1) * b->vocabulary);
  return ok ? count : 0;
}

static bool has_room(const lm_batcher *b) {
  int64_t wanted = 0;
  if (b->read > 0 || b->first->most == 0) return true;
  for (const lm_sequence *s = b->first; s; s = s->fork) wanted++;
  return in_groups(b) + wanted <= b->slots;
}

static bool read_prompts(lm_batcher *b) {
  for (int64_t left = b->piece, count; left > 0 && b->first && has_room(b); left -= count) {
    count = read_piece(b, left);
    if (count == 0) return false;
  }
  return true;
}

/* ---- the batch ---- */

static bool step(lm_batcher *b, group *g) {
  const lm_model *m = b->model;
  for (int64_t i = 0; i < g->rows; i++) b->ids[i] = g->row[i]->last;
  rill_scope *scope = rill_scope_open_no_grad(m->ctx);
  rill_tensor *ids = rill_from(m->ctx, RILL_I32, RILL_SHAPE(g->rows, 1), b->ids);
  bool ok = rill_read(rill_cast(rill_lm_next(m->lm, ids, g->state), RILL_F32), b->logits,
                      (size_t)(g->rows * b->vocabulary) * sizeof *b->logits);
  rill_scope_close(scope);
  if (!ok) return false;
  const int64_t before = g->rows;
  g->rows = 0;
  for (int64_t i = 0; i < before; i++) {
    lm_sequence *s = g->row[i];
    if (!draw(s, b->logits + i * b->vocabulary)) continue;
    b->keep[g->rows] = i;
    g->row[g->rows++] = s;
  }
  if (g->rows == 0) {
    drop_group(b, g);
    return true;
  }
  return g->rows == before || rill_state_select(g->state, g->rows, b->keep);
}

bool lm_batcher_turn(lm_batcher *b) {
  if (!b->first && b->groups == 0) return false;
  sweep_queue(b);
  bool ok = read_prompts(b);
  for (int64_t i = b->groups - 1; ok && i >= 0; i--) ok = step(b, &b->group[i]);
  if (!ok) fail_running(b);
  return true;
}
