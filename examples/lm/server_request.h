/* What a client asks for: the body of POST /v1/completions.
 *
 * The fields are OpenAI's, and top_k, min_p, repetition_penalty and ignore_eos as other servers
 * know them. What cannot be done (a logit bias, a suffix) is refused unless it is left at its
 * neutral value, and an unknown field is an error that names the nearest known one: nothing a
 * client writes is silently without effect. */
#ifndef RILL_EXAMPLES_LM_SERVER_REQUEST_H_
#define RILL_EXAMPLES_LM_SERVER_REQUEST_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Why a request is refused: a status of HTTP and what the JSON of the answer says. */
typedef struct {
  int status; /* 400, 404, 408, 413, 429, 500, 503 */
  char message[LM_ERROR_SIZE];
  const char *field; /* that is wrong, or NULL */
} lm_refusal;

/* Fills it in; false. */
bool lm_refuse(lm_refusal *refusal, int status, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}, released with free; NULL
 * when there is no memory. */
char *lm_refusal_print(const lm_refusal *refusal);

typedef struct {
  int64_t max_tokens;   /* tokens to draw for a prompt */
  int64_t prompt_bytes; /* of a prompt's text; an array of tokens may have as many */
  int64_t prompts;      /* of one request, times n */
  int64_t n;            /* continuations of a prompt */
} lm_request_limits;

enum { LM_MOST_STOPS = 16, LM_LONGEST_STOP = 256, LM_MOST_LOGPROBS = 20 };

typedef struct {
  lm_text text;   /* one of the two; */
  int32_t *token; /* NULL: text */
  int64_t tokens;
} lm_prompt;

typedef struct {
  lm_prompt *prompt;
  int64_t prompts;
  const char *model;                            /* NULL = not said */
  int64_t max_tokens, top_k, n, seed, logprobs; /* logprobs: -1 = none; seed: -1 = any */
  double temperature, top_p, min_p, repetition_penalty;
  bool echo, stream, include_usage, ignore_eos;
  lm_text stop[LM_MOST_STOPS];
  int64_t stops;
  void *json; /* owns the texts */
} lm_request;

/* Reads any bytes. False, and why, when they are not such a request; lm_request_free after either.
 */
bool lm_request_parse(lm_request *request, const void *body, int64_t bytes,
                      const lm_request_limits *limits, lm_refusal *refusal);
void lm_request_free(lm_request *request);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SERVER_REQUEST_H_ */
