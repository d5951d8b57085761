/* Jobs: from a request's bytes to the batcher, and their owners' waiting. What they answer is in
 * server_answer.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "examples/lm/random.h"
#include "examples/lm/server_jobs_impl.h"

static void wait_for(pthread_cond_t *changed, pthread_mutex_t *lock, double seconds) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  double whole = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + seconds;
  t.tv_sec = (time_t)whole;
  t.tv_nsec = (long)((whole - (double)t.tv_sec) * 1e9);
  pthread_cond_timedwait(changed, lock, &t);
}

lm_jobs *lm_jobs_new(const lm_model *model, lm_jobs_opts opts, char *err) {
  lm_jobs *j = lm_alloc(1, sizeof *j, err);
  if (!j) return NULL;
  j->model = model;
  j->opts = opts;
  j->end = &j->first;
  pthread_mutex_init(&j->lock, NULL);
  pthread_mutex_init(&j->encoding, NULL);
  pthread_condattr_init(&j->clock);
  pthread_condattr_setclock(&j->clock, CLOCK_MONOTONIC);
  pthread_cond_init(&j->work, &j->clock);
  bool text = lm_tokenizer_has_text(model->tokenizer);
  if (text) j->encoder = lm_encoder_new(model->tokenizer, err);
  j->batcher = lm_batcher_new(model, opts.slots, opts.piece, err);
  if (j->batcher && (j->encoder || !text)) return j;
  lm_jobs_free(j);
  return NULL;
}

void lm_jobs_free(lm_jobs *j) {
  if (!j) return;
  lm_batcher_free(j->batcher);
  lm_encoder_free(j->encoder);
  pthread_cond_destroy(&j->work);
  pthread_condattr_destroy(&j->clock);
  pthread_mutex_destroy(&j->encoding);
  pthread_mutex_destroy(&j->lock);
  free(j);
}

const lm_jobs_opts *lm_jobs_options(const lm_jobs *j) { return &j->opts; }
const lm_tokenizer *lm_jobs_tokenizer(const lm_jobs *j) { return j->model->tokenizer; }

void lm_jobs_count(lm_jobs *j, int64_t *held, int64_t *waiting) {
  pthread_mutex_lock(&j->lock);
  *held = j->held;
  *waiting = 0;
  for (lm_job *job = j->first; job; job = job->next) *waiting += !job->started;
  pthread_mutex_unlock(&j->lock);
}

/* ---- text and tokens ---- */

int32_t *lm_jobs_tokens(lm_jobs *j, lm_text text, int64_t *count, lm_refusal *why) {
  char err[LM_ERROR_SIZE] = "";
  lm_bytes array = {0};
  if (!j->encoder) {
    lm_refuse(why, 400, "prompt", "this model's tokenizer is not known: send an array of tokens");
    return NULL;
  }
  pthread_mutex_lock(&j->encoding);
  bool ok = lm_encode(j->encoder, text, &array, err);
  pthread_mutex_unlock(&j->encoding);
  lm_tokens view = lm_tokenizer_view(j->model->tokenizer, &array);
  int32_t *token = ok ? lm_alloc(view.count, sizeof *token, err) : NULL;
  if (token) lm_tokens_read(&view, 0, view.count, token);
  *count = view.count;
  free(array.data);
  if (!token) lm_refuse(why, 500, NULL, "%.400s", err);
  return token;
}

static bool check_token(const lm_jobs *j, int32_t token, lm_refusal *why) {
  int64_t vocabulary = j->model->lm->config.vocab;
  return (token >= 0 && token < vocabulary) ||
         lm_refuse(why, 400, "prompt", "token %" PRId32 " is not below the vocabulary of %" PRId64,
                   token, vocabulary);
}

bool lm_jobs_text(lm_jobs *j, const int32_t *token, int64_t count, lm_bytes *text,
                  lm_refusal *why) {
  char err[LM_ERROR_SIZE];
  for (int64_t i = 0; i < count; i++) {
    if (!check_token(j, token[i], why)) return false;
    lm_text one = lm_tokenizer_text(j->model->tokenizer, token[i]);
    if (!lm_bytes_reserve(text, one.count, err)) return lm_refuse(why, 500, NULL, "%.400s", err);
    if (one.count > 0) memcpy(text->data + text->count, one.bytes, (size_t)one.count);
    text->count += one.count;
  }
  return true;
}

/* ---- the model's thread ---- */

/* The lock is held. */
static void add_job(lm_jobs *j, lm_job *job) {
  job->added = true;
  for (int64_t i = 0; i < job->choices; i++)
    if (job->choice[i].fork == 0) lm_batcher_add(j->batcher, &job->choice[i].sequence);
}

/* New jobs go to the batcher; those that were cancelled, or took too long, end in its next turn.
 * The lock is held. */
static bool look_after(lm_jobs *j, bool out_of_time) {
  double now = lm_now();
  for (lm_job *job = j->first; job; job = job->next) {
    if (!job->added) add_job(j, job);
    if (out_of_time && !job->why.status)
      lm_refuse(&job->why, 503, NULL, "the server is shutting down");
    if (now > job->deadline && !job->why.status)
      lm_refuse(&job->why, 408, NULL, "the request took longer than the %g s allowed",
                j->opts.seconds);
    for (int64_t i = 0; (job->cancelled || job->why.status) && i < job->choices; i++)
      job->choice[i].sequence.cancelled = true;
  }
  return j->first != NULL;
}

bool lm_jobs_run(lm_jobs *j, bool (*stop)(void *user), void *user) {
  double closed = 0;
  pthread_mutex_lock(&j->lock);
  for (;;) {
    if (!j->closing && stop(user)) {
      j->closing = true;
      closed = lm_now();
    }
    bool work = look_after(j, j->closing && lm_now() > closed + j->opts.grace);
    if (j->closing && !work) break;
    pthread_mutex_unlock(&j->lock);
    if (work) lm_batcher_turn(j->batcher);
    pthread_mutex_lock(&j->lock);
    if (!j->first) wait_for(&j->work, &j->lock, 0.1);
  }
  pthread_mutex_unlock(&j->lock);
  return true;
}

/* ---- submitting ---- */

static bool take_prompt(lm_job *job, int64_t i, lm_refusal *why) {
  static const uint8_t newline = '\n'; /* what an empty text begins with, as in lm_model_generate */
  lm_jobs *j = job->jobs;
  const lm_prompt *p = &job->request.prompt[i];
  lm_job_prompt *t = &job->prompt[i];
  t->empty = p->token ? p->tokens == 0 : p->text.count == 0;
  if (p->token && !t->empty) {
    for (int64_t k = 0; k < p->tokens; k++)
      if (!check_token(j, p->token[k], why)) return false;
    *t = (lm_job_prompt){.token = p->token, .count = p->tokens};
    return true;
  }
  t->token = lm_jobs_tokens(j, t->empty ? (lm_text){&newline, 1} : p->text, &t->count, why);
  return t->token != NULL;
}

static bool make_choices(lm_job *job, lm_refusal *why) {
  const lm_request *r = &job->request;
  char err[LM_ERROR_SIZE];
  job->choices = job->left = r->prompts * r->n;
  job->prompt = lm_alloc(r->prompts, sizeof *job->prompt, err);
  job->choice = lm_alloc(job->choices, sizeof *job->choice, err);
  if (!job->prompt || !job->choice) return lm_refuse(why, 500, NULL, "%.400s", err);
  for (int64_t i = 0; i < r->prompts; i++)
    if (!take_prompt(job, i, why)) return false;
  for (int64_t i = 0; i < job->choices; i++) {
    lm_job_choice *c = &job->choice[i];
    const lm_job_prompt *t = &job->prompt[i / r->n];
    bool score = r->echo && r->logprobs >= 0 && !t->empty;
    *c = (lm_job_choice){.job = job, .index = i, .fork = i % r->n};
    c->output = (lm_output){.request = r, .tokenizer = job->jobs->model->tokenizer};
    c->sequence = (lm_sequence){.prompt = t->token,
                                .prompt_count = t->count,
                                .most = r->max_tokens,
                                .score = score,
                                .user = c,
                                .start = lm_job_on_start,
                                .token = lm_job_on_token,
                                .done = lm_job_on_done,
                                .fork = c->fork + 1 < r->n ? &c[1].sequence : NULL};
    if (!r->echo || score || t->empty) continue;
    lm_bytes text = {0};
    bool ok = lm_jobs_text(job->jobs, t->token, t->count, &text, why) &&
              (lm_output_echo(&c->output, (lm_text){text.data, text.count}, err) ||
               lm_refuse(why, 500, NULL, "%.400s", err));
    free(text.data);
    if (!ok) return false;
  }
  return true;
}

static void release(lm_job *job) {
  for (int64_t i = 0; job->choice && i < job->choices; i++) lm_output_free(&job->choice[i].output);
  for (int64_t i = 0; job->prompt && i < job->request.prompts; i++)
    if (job->prompt[i].token != job->request.prompt[i].token) free(job->prompt[i].token);
  pthread_cond_destroy(&job->changed);
  free(job->choice);
  free(job->prompt);
  free(job->events.data);
  lm_request_free(&job->request);
  free(job);
}

static bool check_model(const lm_job *job, lm_refusal *why) {
  const char *name = job->jobs->opts.name, *asked = job->request.model;
  return !asked || strcmp(asked, name) == 0 ||
         lm_refuse(why, 404, "model", "there is no model '%.200s'; this server has '%.200s'", asked,
                   name);
}

/* Puts it into the list, unless there are too many. */
static bool enqueue(lm_jobs *j, lm_job *job, lm_refusal *why) {
  bool ok = true;
  pthread_mutex_lock(&j->lock);
  if (j->closing)
    ok = lm_refuse(why, 503, NULL, "the server is shutting down");
  else if (j->held >= j->opts.slots + j->opts.waiting)
    ok = lm_refuse(why, 429, NULL,
                   "%" PRId64 " requests are here already, which is the limit; try again later",
                   j->held);
  if (ok) {
    job->created = (int64_t)time(NULL);
    uint64_t number = lm_random((uint64_t)job->created, (uint64_t)++j->made);
    if (job->request.seed == -1) job->request.seed = (int64_t)(number >> 1);
    snprintf(job->id, sizeof job->id, "cmpl-%016" PRIx64, number);
    job->deadline = j->opts.seconds > 0 ? lm_now() + j->opts.seconds : 1e300;
    *j->end = job;
    j->end = &job->next;
    j->held++;
    pthread_cond_signal(&j->work);
  }
  pthread_mutex_unlock(&j->lock);
  return ok;
}

lm_job *lm_jobs_submit(lm_jobs *j, const void *body, int64_t bytes, lm_refusal *why) {
  char err[LM_ERROR_SIZE];
  lm_job *job = lm_alloc(1, sizeof *job, err);
  if (!job) {
    lm_refuse(why, 500, NULL, "%.400s", err);
    return NULL;
  }
  job->jobs = j;
  pthread_cond_init(&job->changed, &j->clock);
  if (lm_request_parse(&job->request, body, bytes, &j->opts.limits, why) && check_model(job, why) &&
      make_choices(job, why) && enqueue(j, job, why))
    return job;
  release(job);
  return NULL;
}

bool lm_job_streams(const lm_job *job) { return job->request.stream; }

/* ---- waiting, in the owner's thread ---- */

bool lm_job_wait(lm_job *job, double seconds, lm_refusal *why) {
  pthread_mutex_t *lock = &job->jobs->lock;
  pthread_mutex_lock(lock);
  if (!job->finished) wait_for(&job->changed, lock, seconds);
  bool finished = job->finished;
  if (finished) *why = job->why;
  if (finished && !why->status) why->status = 200;
  pthread_mutex_unlock(lock);
  return finished;
}

lm_job_news lm_job_read(lm_job *job, double seconds, char *buffer, size_t size, size_t *got) {
  pthread_mutex_t *lock = &job->jobs->lock;
  pthread_mutex_lock(lock);
  if (!job->finished && job->sent == job->events.count) wait_for(&job->changed, lock, seconds);
  size_t ready = (size_t)(job->events.count - job->sent);
  *got = ready < size ? ready : size;
  if (*got > 0) memcpy(buffer, job->events.data + job->sent, *got);
  job->sent += (int64_t)*got;
  if (job->sent == job->events.count) job->sent = job->events.count = 0;
  lm_job_news news = *got > 0 ? LM_JOB_DATA : job->finished ? LM_JOB_END : LM_JOB_NOTHING;
  pthread_mutex_unlock(lock);
  return news;
}

void lm_job_free(lm_job *job) {
  pthread_mutex_t *lock = &job->jobs->lock;
  pthread_mutex_lock(lock);
  job->cancelled = true;
  while (!job->finished) wait_for(&job->changed, lock, 1);
  pthread_mutex_unlock(lock);
  release(job);
}
