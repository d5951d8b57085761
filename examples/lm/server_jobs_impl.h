/* Shared by the files of the server's jobs. A job has a choice for each of its prompts, n times;
 * the n of one prompt are forks of one sequence. */
#ifndef RILL_EXAMPLES_LM_SERVER_JOBS_IMPL_H_
#define RILL_EXAMPLES_LM_SERVER_JOBS_IMPL_H_

#include <pthread.h>

#include "examples/lm/server_jobs.h"
#include "examples/lm/server_output.h"

typedef struct {
  lm_sequence sequence;
  lm_output output;
  lm_job *job;
  int64_t index, fork; /* its place in the answer, and among the n of its prompt */
} lm_job_choice;

typedef struct {
  int32_t *token;
  int64_t count;
  bool empty; /* the client's prompt was: the tokens are not shown */
} lm_job_prompt;

struct lm_job {
  lm_jobs *jobs;
  lm_job *next; /* in the list of jobs that are not finished */
  lm_request request;
  lm_job_prompt *prompt; /* [request.prompts] */
  lm_job_choice *choice; /* [choices] */
  int64_t choices, left;
  double deadline;
  char id[40];
  int64_t created;
  pthread_cond_t changed;
  bool added, started, cancelled, finished;
  lm_refusal why;  /* status 0: nothing is wrong */
  lm_bytes events; /* server-sent events, */
  int64_t sent;    /* of which so many bytes were read */
};

struct lm_jobs {
  const lm_model *model;
  lm_encoder *encoder; /* NULL: the tokenizer has no text */
  lm_jobs_opts opts;
  lm_batcher *batcher; /* the model's thread's */
  pthread_mutex_t lock, encoding;
  pthread_condattr_t clock;
  pthread_cond_t work;
  lm_job *first, **end;
  int64_t held, made;
  bool closing;
};

/* What the batcher calls, in the model's thread and without the lock. */
void lm_job_on_start(lm_sequence *s);
lm_verdict lm_job_on_token(lm_sequence *s, int32_t token, const float *logits);
void lm_job_on_done(lm_sequence *s, const char *error);

#endif /* RILL_EXAMPLES_LM_SERVER_JOBS_IMPL_H_ */
