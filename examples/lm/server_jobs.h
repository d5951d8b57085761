/* Requests on their way through the model.
 *
 *   connection threads                                the model's thread
 *   lm_jobs_submit --> list of jobs --> streams of the batcher --> output of the job
 *   lm_job_wait    <---------------- what is new ------------------------'
 *
 * One lock guards all jobs; it is never held while the model computes. A job belongs to the thread
 * that submitted it; the model's thread lets go of it when it is finished, and that is soon after
 * it was cancelled. */
#ifndef RILL_EXAMPLES_LM_SERVER_JOBS_H_
#define RILL_EXAMPLES_LM_SERVER_JOBS_H_

#include "examples/lm/batcher.h"
#include "examples/lm/server_request.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *name;         /* of the model, in answers */
  int64_t slots, piece;     /* of the batcher */
  int64_t waiting;          /* requests that may wait; more are refused with 429 */
  double seconds;           /* a request may take; then it ends with 408. 0 = any */
  double grace;             /* seconds that requests have to end in when the server stops */
  lm_request_limits limits; /* of a request */
} lm_jobs_opts;

typedef struct lm_jobs lm_jobs;
typedef struct lm_job lm_job;

lm_jobs *lm_jobs_new(const lm_model *model, lm_jobs_opts opts, char *err);
/* No thread may still be in a call about these jobs. NULL is allowed. */
void lm_jobs_free(lm_jobs *jobs);

/* The model's thread: works until stop(user) says so, then lets the requests that are there end,
 * and refuses new ones. False, and why, when the model cannot be used. */
bool lm_jobs_run(lm_jobs *jobs, bool (*stop)(void *user), void *user);

const lm_jobs_opts *lm_jobs_options(const lm_jobs *jobs);
/* Requests there, and how many of them have not begun. */
void lm_jobs_count(lm_jobs *jobs, int64_t *held, int64_t *waiting);
/* Text to tokens [*count] and back, for those who ask for just that. Released with free. NULL, and
 * why, for text or tokens that cannot be turned into the other. */
int32_t *lm_jobs_tokens(lm_jobs *jobs, lm_text text, int64_t *count, lm_refusal *why);
bool lm_jobs_text(lm_jobs *jobs, const int32_t *token, int64_t count, lm_bytes *text,
                  lm_refusal *why);
const lm_tokenizer *lm_jobs_tokenizer(const lm_jobs *jobs);

/* Begins a job from the bytes of its request; NULL and why. */
lm_job *lm_jobs_submit(lm_jobs *jobs, const void *body, int64_t bytes, lm_refusal *why);
bool lm_job_streams(const lm_job *job);

/* Waits up to `seconds` for the job to end. Then, and only then, *why is filled in (status 200: all
 * is well). */
bool lm_job_wait(lm_job *job, double seconds, lm_refusal *why);
/* The answer of an ended job, JSON to be released with free; NULL without memory. */
char *lm_job_answer(lm_job *job);

typedef enum { LM_JOB_DATA, LM_JOB_NOTHING, LM_JOB_END } lm_job_news;
/* Waits up to `seconds` for server-sent events and moves up to `size` bytes of them to `buffer`. */
lm_job_news lm_job_read(lm_job *job, double seconds, char *buffer, size_t size, size_t *got);

/* Cancels the job unless it has ended, waits until the model's thread has let go of it, and
 * releases it. */
void lm_job_free(lm_job *job);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SERVER_JOBS_H_ */
