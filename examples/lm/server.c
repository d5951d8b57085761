/* libmicrohttpd calls `handle` for a request first with its head, then with each part of its body,
 * then with the end. Threads of connections wait here for their jobs; meanwhile they look, a few
 * times a second, whether the client is still there. */
#include "examples/lm/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "examples/lm/utf8.h"

#define LOOK_EVERY 0.2 /* seconds between two looks at the client */

struct lm_server {
  struct MHD_Daemon *daemon;
  lm_jobs *jobs;
  lm_server_opts opts;
  int64_t started; /* time */
};

/* A request being received. */
typedef struct {
  lm_bytes body;
  bool too_large;
  double begun;
} incoming;

/* ---- answers ---- */

static enum MHD_Result send_text(struct MHD_Connection *c, int status, char *text,
                                 const char *header, const char *value) {
  if (!text) return MHD_NO;
  struct MHD_Response *r =
      MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
  if (!r) {
    free(text);
    return MHD_NO;
  }
  MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
  if (header) MHD_add_response_header(r, header, value);
  enum MHD_Result done = MHD_queue_response(c, (unsigned)status, r);
  MHD_destroy_response(r);
  return done;
}

static enum MHD_Result send_json(struct MHD_Connection *c, json_t *root) {
  char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
  json_decref(root);
  return send_text(c, 200, text, NULL, NULL);
}

static enum MHD_Result send_refusal(struct MHD_Connection *c, const lm_refusal *why) {
  return send_text(c, why->status, lm_refusal_print(why),
                   why->status == 429 ? MHD_HTTP_HEADER_RETRY_AFTER : NULL, "1");
}

/* ---- completions ---- */

/* Has the client closed its side? Bytes that wait to be read belong to its next request. */
static bool is_gone(struct MHD_Connection *c) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
  char byte;
  if (!info) return true;
  ssize_t got = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

typedef struct {
  lm_job *job;
  struct MHD_Connection *connection;
} event_stream;

static ssize_t read_events(void *user, uint64_t position, char *buffer, size_t size) {
  event_stream *s = user;
  size_t got;
  (void)position;
  for (;;) {
    lm_job_news news = lm_job_read(s->job, LOOK_EVERY, buffer, size, &got);
    if (news == LM_JOB_DATA) return (ssize_t)got;
    if (news == LM_JOB_END) return MHD_CONTENT_READER_END_OF_STREAM;
    if (is_gone(s->connection)) return MHD_CONTENT_READER_END_WITH_ERROR;
  }
}

static void end_events(void *user) {
  event_stream *s = user;
  lm_job_free(s->job);
  free(s);
}

static enum MHD_Result send_events(struct MHD_Connection *c, lm_job *job) {
  enum { BLOCK = 16384 };
  char err[LM_ERROR_SIZE];
  event_stream *s = lm_alloc(1, sizeof *s, err);
  if (!s) {
    lm_job_free(job);
    return MHD_NO;
  }
  *s = (event_stream){job, c};
  struct MHD_Response *r =
      MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_events, s, end_events);
  if (!r) {
    end_events(s);
    return MHD_NO;
  }
  MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
  MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
  enum MHD_Result done = MHD_queue_response(c, 200, r);
  MHD_destroy_response(r);
  return done;
}

static enum MHD_Result complete(lm_server *s, struct MHD_Connection *c, const lm_bytes *body) {
  lm_refusal why = {0};
  lm_job *job =
      lm_jobs_submit(s->jobs, body->data ? (const void *)body->data : "", body->count, &why);
  if (!job) return send_refusal(c, &why);
  if (lm_job_streams(job)) return send_events(c, job);
  bool gone = false;
  while (!gone && !lm_job_wait(job, LOOK_EVERY, &why)) gone = is_gone(c);
  char *answer = !gone && why.status == 200 ? lm_job_answer(job) : NULL;
  lm_job_free(job);
  if (gone) return MHD_NO;
  return why.status == 200 ? send_text(c, 200, answer, NULL, NULL) : send_refusal(c, &why);
}

/* ---- the small ones ---- */

static enum MHD_Result models(lm_server *s, struct MHD_Connection *c, const lm_bytes *body) {
  (void)body;
  return send_json(c, json_pack("{s:s, s:[{s:s, s:s, s:I, s:s}]}", "object", "list", "data", "id",
                                lm_jobs_options(s->jobs)->name, "object", "model", "created",
                                (json_int_t)s->started, "owned_by", "rill"));
}

static enum MHD_Result health(lm_server *s, struct MHD_Connection *c, const lm_bytes *body) {
  int64_t held, waiting;
  (void)body;
  lm_jobs_count(s->jobs, &held, &waiting);
  return send_json(
      c, json_pack("{s:s, s:I, s:I, s:I}", "status", "ok", "requests", (json_int_t)held, "waiting",
                   (json_int_t)waiting, "slots", (json_int_t)lm_jobs_options(s->jobs)->slots));
}

static json_t *text_json(lm_text text) {
  lm_bytes clean = {0};
  char err[LM_ERROR_SIZE];
  bool ok = lm_utf8_clean(text.bytes, text.count, &clean, err);
  json_t *value =
      ok ? json_stringn(clean.data ? (const char *)clean.data : "", (size_t)clean.count) : NULL;
  free(clean.data);
  return value;
}

static enum MHD_Result tokenizer_info(lm_server *s, struct MHD_Connection *c,
                                      const lm_bytes *body) {
  const lm_tokenizer *t = lm_jobs_tokenizer(s->jobs);
  char name[64];
  (void)body;
  lm_tokenizer_name(t, name, sizeof name);
  int32_t end = lm_tokenizer_end(t);
  json_t *text = end >= 0 ? text_json(lm_tokenizer_text(t, end)) : json_null();
  return send_json(c, json_pack("{s:s, s:I, s:o}", "tokenizer", name, "vocab_size",
                                (json_int_t)lm_tokenizer_vocabulary(t), "eos_token", text));
}

static json_t *parse_object(const lm_bytes *body, lm_refusal *why) {
  json_error_t wrong;
  json_t *root = json_loadb(body->data ? (const char *)body->data : "", (size_t)body->count,
                            JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
  if (!root)
    lm_refuse(why, 400, NULL, "the body is not JSON: line %d, column %d: %s", wrong.line,
              wrong.column, wrong.text);
  return root;
}

static enum MHD_Result tokenize(lm_server *s, struct MHD_Connection *c, const lm_bytes *body) {
  lm_refusal why = {0};
  json_t *root = parse_object(body, &why), *text = json_object_get(root, "prompt");
  int64_t count = 0;
  int32_t *token = NULL;
  if (root && !json_is_string(text))
    lm_refuse(&why, 400, "prompt", "prompt: expected a string");
  else if (root)
    token = lm_jobs_tokens(
        s->jobs,
        (lm_text){(const uint8_t *)json_string_value(text), (int64_t)json_string_length(text)},
        &count, &why);
  json_t *list = json_array();
  for (int64_t i = 0; token && i < count; i++) json_array_append_new(list, json_integer(token[i]));
  json_decref(root);
  free(token);
  json_t *answer = json_pack("{s:I, s:o}", "count", (json_int_t)count, "tokens", list);
  if (token) return send_json(c, answer);
  json_decref(answer);
  return send_refusal(c, &why);
}

static enum MHD_Result detokenize(lm_server *s, struct MHD_Connection *c, const lm_bytes *body) {
  lm_refusal why = {0};
  lm_bytes text = {0};
  json_t *root = parse_object(body, &why), *list = json_object_get(root, "tokens"), *item;
  size_t i;
  bool ok = root != NULL;
  if (ok && !json_is_array(list))
    ok = lm_refuse(&why, 400, "tokens", "tokens: expected an array of whole numbers");
  json_array_foreach(list, i, item) {
    json_int_t value = json_integer_value(item);
    int32_t token = value >= 0 && value <= INT32_MAX ? (int32_t)value : -1;
    if (!json_is_integer(item)) token = -1;
    ok = ok && lm_jobs_text(s->jobs, &token, 1, &text, &why);
  }
  json_decref(root);
  json_t *answer =
      ok ? json_pack("{s:o}", "prompt", text_json((lm_text){text.data, text.count})) : NULL;
  free(text.data);
  return ok ? send_json(c, answer) : send_refusal(c, &why);
}

/* ---- requests ---- */

static const struct {
  const char *path, *method;
  enum MHD_Result (*answer)(lm_server *, struct MHD_Connection *, const lm_bytes *body);
} route[] = {
    {"/v1/completions", "POST", complete},
    {"/v1/models", "GET", models},
    {"/health", "GET", health},
    {"/tokenizer_info", "GET", tokenizer_info},
    {"/tokenize", "POST", tokenize},
    {"/detokenize", "POST", detokenize},
};

static enum MHD_Result answer(lm_server *s, struct MHD_Connection *c, const char *path,
                              const char *method, const incoming *in) {
  lm_refusal why;
  if (in->too_large) {
    lm_refuse(&why, 413, NULL, "the body has more than the %" PRId64 " bytes allowed",
              s->opts.body_bytes);
    return send_refusal(c, &why);
  }
  for (size_t i = 0; i < sizeof route / sizeof route[0]; i++) {
    if (strcmp(path, route[i].path) != 0) continue;
    if (strcmp(method, route[i].method) == 0) return route[i].answer(s, c, &in->body);
    lm_refuse(&why, 405, NULL, "%s takes %s", path, route[i].method);
    return send_text(c, 405, lm_refusal_print(&why), MHD_HTTP_HEADER_ALLOW, route[i].method);
  }
  lm_refuse(&why, 404, NULL, "there is no %.200s here; try /v1/completions", path);
  return send_refusal(c, &why);
}

/* A body that is declared to be too long is refused before it is sent. */
static bool declared_too_large(const lm_server *s, struct MHD_Connection *c) {
  const char *length =
      MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  return length && strtod(length, NULL) > (double)s->opts.body_bytes;
}

/* Of a body that is too long all the same, so much is read to be able to say so. */
enum { PATIENCE = 8 };

static enum MHD_Result receive(const lm_server *s, incoming *in, const char *data, size_t *size) {
  char err[LM_ERROR_SIZE];
  int64_t more = (int64_t)*size, limit = s->opts.body_bytes;
  *size = 0;
  if (lm_now() > in->begun + (double)s->opts.idle) return MHD_NO; /* it trickles */
  if (in->body.count + more > limit) in->too_large = true;
  if (in->too_large) {
    in->body.count += more;
    return in->body.count > PATIENCE * limit ? MHD_NO : MHD_YES;
  }
  if (!lm_bytes_reserve(&in->body, more, err)) return MHD_NO;
  memcpy(in->body.data + in->body.count, data, (size_t)more);
  in->body.count += more;
  return MHD_YES;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **kept) {
  lm_server *s = user;
  incoming *in = *kept;
  char err[LM_ERROR_SIZE];
  (void)version;
  if (!in) {
    *kept = in = lm_alloc(1, sizeof *in, err);
    if (!in) return MHD_NO;
    in->begun = lm_now();
    in->too_large = declared_too_large(s, c);
    return in->too_large ? answer(s, c, path, method, in) : MHD_YES;
  }
  return *size > 0 ? receive(s, in, data, size) : answer(s, c, path, method, in);
}

static void completed(void *user, struct MHD_Connection *c, void **kept,
                      enum MHD_RequestTerminationCode how) {
  incoming *in = *kept;
  (void)user, (void)c, (void)how;
  if (in) free(in->body.data);
  free(in);
  *kept = NULL;
}

/* ---- the daemon ---- */

static struct addrinfo *find_address(const lm_server_opts *o, char *err) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC,
                           .ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE},
                  *found = NULL;
  char port[24];
  snprintf(port, sizeof port, "%" PRId64, o->port);
  if (getaddrinfo(o->host, port, &hints, &found) == 0) return found;
  lm_fail(err, "--host '%.100s' is not an address, as 127.0.0.1 or ::1 are", o->host);
  return NULL;
}

lm_server *lm_server_start(lm_jobs *jobs, lm_server_opts opts, char *err) {
  struct addrinfo *address = find_address(&opts, err);
  lm_server *s = address ? lm_alloc(1, sizeof *s, err) : NULL;
  if (!s) {
    if (address) freeaddrinfo(address);
    return NULL;
  }
  s->jobs = jobs;
  s->opts = opts;
  s->started = (int64_t)time(NULL);
  unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
  if (address->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
  s->daemon =
      MHD_start_daemon(flags, (uint16_t)opts.port, NULL, NULL, handle, s, MHD_OPTION_SOCK_ADDR,
                       address->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                       MHD_OPTION_CONNECTION_LIMIT, (unsigned)opts.connections,
                       MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)opts.idle, MHD_OPTION_END);
  int why = errno;
  freeaddrinfo(address);
  if (s->daemon) return s;
  lm_fail(err, "cannot listen on %.100s port %" PRId64 ": %s", opts.host, opts.port, strerror(why));
  free(s);
  return NULL;
}

int64_t lm_server_port(const lm_server *s) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
  return info ? info->port : s->opts.port;
}

void lm_server_stop(lm_server *s) {
  if (!s) return;
  MHD_stop_daemon(s->daemon);
  free(s);
}
