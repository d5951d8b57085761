/* What becomes of a job: choices grow by tokens, in the model's thread, and turn into JSON, whole
 * or as server-sent events. Choices are written without the lock, because nobody else reads them
 * before the job is finished; everything else of a job is guarded by it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/server_jobs_impl.h"

/* {"id", "object", "created", "model", "choices"}; takes over `choices`. */
static json_t *envelope(const lm_job *job, json_t *choices) {
  return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", job->id, "object", "text_completion",
                   "created", (json_int_t)job->created, "model", job->jobs->opts.name, "choices",
                   choices);
}

static json_t *usage(const lm_job *job) {
  int64_t prompt = 0, drawn = 0;
  for (int64_t i = 0; i < job->request.prompts; i++)
    prompt += job->prompt[i].empty ? 0 : job->prompt[i].count;
  for (int64_t i = 0; i < job->choices; i++) drawn += job->choice[i].sequence.drawn;
  return json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)prompt, "completion_tokens",
                   (json_int_t)drawn, "total_tokens", (json_int_t)(prompt + drawn));
}

/* The lock is held. An event that there is no memory for fails the job. */
static void push_event(lm_job *job, const char *text) {
  char err[LM_ERROR_SIZE];
  int64_t size = text ? (int64_t)strlen(text) : 0;
  if (!text || !lm_bytes_reserve(&job->events, size + 16, err)) {
    job->cancelled = true;
    if (!job->why.status) lm_refuse(&job->why, 500, NULL, "out of memory");
    return;
  }
  job->events.count += snprintf((char *)job->events.data + job->events.count, (size_t)size + 16,
                                "data: %s\n\n", text);
  pthread_cond_broadcast(&job->changed);
}

static void push_json(lm_job *job, json_t *root) {
  char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
  json_decref(root);
  push_event(job, text);
  free(text);
}

static void push_choice(lm_job_choice *c, bool ended) {
  json_t *root = envelope(c->job, json_pack("[o]", lm_output_take(&c->output, c->index, ended)));
  if (root && c->job->request.include_usage) json_object_set_new(root, "usage", json_null());
  pthread_mutex_lock(&c->job->jobs->lock);
  push_json(c->job, root);
  pthread_mutex_unlock(&c->job->jobs->lock);
}

/* The lock is held; the job is its owner's after this. */
static void finish(lm_job *job) {
  lm_jobs *j = job->jobs;
  lm_job **at = &j->first;
  if (job->request.stream && job->why.status) {
    char *text = lm_refusal_print(&job->why);
    push_event(job, text);
    free(text);
  } else if (job->request.stream) {
    if (job->request.include_usage) {
      json_t *root = envelope(job, json_array());
      if (root) json_object_set_new(root, "usage", usage(job));
      push_json(job, root);
    }
    push_event(job, "[DONE]");
  }
  while (*at != job) at = &(*at)->next;
  *at = job->next;
  if (!*at) j->end = at;
  j->held--;
  job->finished = true;
  pthread_cond_broadcast(&job->changed);
}

static void fail(lm_job *job, int status, const char *message) {
  pthread_mutex_lock(&job->jobs->lock);
  if (!job->why.status) lm_refuse(&job->why, status, NULL, "%s", message);
  pthread_mutex_unlock(&job->jobs->lock);
}

/* ---- what the batcher calls ---- */

void lm_job_on_start(lm_sequence *s) {
  lm_job_choice *c = s->user;
  const lm_request *r = &c->job->request;
  lm_sampler_opts opts = {.temperature = r->temperature,
                          .top_k = r->top_k,
                          .top_p = r->top_p,
                          .min_p = r->min_p,
                          .repetition_penalty = r->repetition_penalty,
                          .seed = (uint64_t)r->seed + (uint64_t)c->fork};
  char err[LM_ERROR_SIZE];
  pthread_mutex_lock(&c->job->jobs->lock);
  c->job->started = true;
  pthread_mutex_unlock(&c->job->jobs->lock);
  if (s->most == 0) return;
  s->sampler = lm_sampler_new(opts, c->job->jobs->model->lm->config.vocab, err);
  if (!s->sampler) fail(c->job, 500, err);
  if (s->sampler && r->repetition_penalty != 1)
    for (int64_t i = 0; i < s->prompt_count; i++) lm_sampler_see(s->sampler, s->prompt[i]);
}

lm_verdict lm_job_on_token(lm_sequence *s, int32_t token, const float *logits) {
  lm_job_choice *c = s->user;
  char err[LM_ERROR_SIZE];
  bool drawn = s->drawn > 0;
  if (!lm_output_add(&c->output, token, logits, c->job->jobs->model->lm->config.vocab, drawn,
                     err)) {
    fail(c->job, 500, err);
    return LM_STOP;
  }
  bool more = !c->output.stopped && s->drawn < s->most;
  if (c->job->request.stream && more && lm_output_ready(&c->output)) push_choice(c, false);
  return c->output.stopped ? LM_STOP : LM_GO_ON;
}

void lm_job_on_done(lm_sequence *s, const char *error) {
  lm_job_choice *c = s->user;
  lm_job *job = c->job;
  if (error) fail(job, 500, error);
  lm_sampler_free(s->sampler);
  s->sampler = NULL;
  if (job->request.stream && !job->why.status && !s->cancelled) push_choice(c, true);
  pthread_mutex_lock(&job->jobs->lock);
  pthread_mutex_t *lock = &job->jobs->lock;
  if (--job->left == 0) finish(job);
  pthread_mutex_unlock(lock);
}

/* ---- the whole answer, in the owner's thread ---- */

char *lm_job_answer(lm_job *job) {
  json_t *choices = json_array();
  for (int64_t i = 0; i < job->choices; i++)
    json_array_append_new(choices, lm_output_take(&job->choice[i].output, i, true));
  json_t *root = envelope(job, choices);
  if (root) json_object_set_new(root, "usage", usage(job));
  char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
  json_decref(root);
  return text;
}
