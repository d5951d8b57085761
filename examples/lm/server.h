/* The HTTP side of a served model: a daemon of libmicrohttpd with a thread for each connection.
 *
 *   POST /v1/completions   continues prompts, whole or as server-sent events
 *   GET  /v1/models        the one model
 *   GET  /health           {"status": "ok", "requests": 3, "waiting": 1, ...}
 *   GET  /tokenizer_info, POST /tokenize, POST /detokenize
 *                          text to tokens and back, as vLLM has them
 *
 * Every error is JSON as OpenAI's: {"error": {"message", "type", "param", "code"}}. */
#ifndef RILL_EXAMPLES_LM_SERVER_H_
#define RILL_EXAMPLES_LM_SERVER_H_

#include "examples/lm/server_jobs.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *host;    /* an address, not a name; "127.0.0.1" lets in this machine alone */
  int64_t port;        /* 0 = any that is free */
  int64_t connections; /* at once; more are closed at once */
  int64_t idle;        /* seconds after which a connection without traffic is closed */
  int64_t body_bytes;  /* of a request; more is 413 */
} lm_server_opts;

typedef struct lm_server lm_server;

/* Begins to listen. Requests wait until lm_jobs_run is called on the same jobs. NULL when the
 * address cannot be used. */
lm_server *lm_server_start(lm_jobs *jobs, lm_server_opts opts, char *err);
int64_t lm_server_port(const lm_server *server);
/* Ends all connections; lm_jobs_run must have returned. NULL is allowed. */
void lm_server_stop(lm_server *server);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_SERVER_H_ */
