/* serve: a trained model behind HTTP, as OpenAI's completions.
 *
 *   serve --model run --port 8080
 *   curl localhost:8080/v1/completions -d '{"prompt": "The ", "max_tokens": 100}' */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/server.h"

static struct {
  const char *model, *name, *host, *device, *dtype;
  int64_t port, slots, waiting, connections, idle, threads, body, prompt, max_tokens, prompts,
      piece;
  double timeout, grace;
} opt;

static const lm_option table[] = {
    {"model", LM_STRING, &opt.model, "run", .group = "Model",
     .help = "a run's folder, or one of its checkpoints"},
    {"name", LM_STRING, &opt.name, NULL,
     .help = "what clients call the model; default: its kind, as rdn"},
    {"host", LM_STRING, &opt.host, "127.0.0.1", .group = "Network",
     .help = "address to listen on; 127.0.0.1 is reached from this machine alone, 0.0.0.0 from "
             "everywhere (there are no passwords)"},
    {"port", LM_INT, &opt.port, "8080", .help = "0 = any that is free", .min = 0, .max = 65535},
    {"slots", LM_INT, &opt.slots, "16", .group = "Work", .help = "texts that are continued at once",
     .min = 1, .max = 4096},
    {"piece", LM_INT, &opt.piece, "512",
     .help = "tokens of a prompt that are read between two steps of the others", .min = 1,
     .max = 1e6},
    {"waiting", LM_INT, &opt.waiting, "240",
     .help = "requests beyond --slots that may wait; more are refused (429)", .group = "Limits",
     .min = 0, .max = 1e6},
    {"connections", LM_INT, &opt.connections, "512", .help = "open at once", .min = 1, .max = 1e5},
    {"timeout", LM_FLOAT, &opt.timeout, "600",
     .help = "seconds a request may take, waiting included (408); 0 = any", .min = 0, .max = 1e9},
    {"idle", LM_INT, &opt.idle, "60",
     .help = "seconds a client may take to send a request, or be silent", .min = 1, .max = 1e6},
    {"max-body", LM_INT, &opt.body, "4000000", .help = "bytes of a request (413)", .min = 1,
     .max = 1e12},
    {"max-prompt", LM_INT, &opt.prompt, "1000000", .help = "bytes, or tokens, of a prompt (413)",
     .min = 1, .max = 1e12},
    {"max-prompts", LM_INT, &opt.prompts, "256", .help = "continuations of one request (413)",
     .min = 1, .max = 1e6},
    {"max-tokens", LM_INT, &opt.max_tokens, "16384", .help = "tokens of a continuation", .min = 0,
     .max = 1e12},
    {"grace", LM_FLOAT, &opt.grace, "5",
     .help = "seconds that requests have to end in after SIGINT or SIGTERM", .min = 0, .max = 1e6},
    {"device", LM_CHOICE, &opt.device, "auto", .group = "Machine",
     .help = "where to compute; auto: a GPU if there is one", .choices = "auto|cpu|cuda"},
    {"dtype", LM_CHOICE, &opt.dtype, "auto",
     .help = "of weights; auto: f32 on a CPU, as stored on a GPU", .choices = "auto|f32|bf16"},
    {"threads", LM_INT, &opt.threads, "0", .help = "CPU threads; 0 = all", .min = 0, .max = 1024},
    {0}};

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int number) {
  stop_asked = 1;
  signal(number, SIG_DFL); /* the second time it ends at once */
}

static bool is_stop_asked(void *user) {
  (void)user;
  return stop_asked != 0;
}

static bool run(const lm_model *model, char *err) {
  const char *name = opt.name ? opt.name : model->lm->config.model;
  lm_jobs_opts work = {.name = name,
                       .slots = opt.slots,
                       .piece = opt.piece,
                       .waiting = opt.waiting,
                       .seconds = opt.timeout,
                       .grace = opt.grace,
                       .limits = {.max_tokens = opt.max_tokens,
                                  .prompt_bytes = opt.prompt,
                                  .prompts = opt.prompts,
                                  .n = opt.slots}};
  lm_server_opts network = {.host = opt.host,
                            .port = opt.port,
                            .connections = opt.connections,
                            .idle = opt.idle,
                            .body_bytes = opt.body};
  lm_jobs *jobs = lm_jobs_new(model, work, err);
  lm_server *server = jobs ? lm_server_start(jobs, network, err) : NULL;
  if (server) {
    bool six = strchr(opt.host, ':') != NULL;
    printf("%s on http://%s%s%s:%" PRId64 "/v1/completions, up to %" PRId64 " texts at once\n",
           name, six ? "[" : "", opt.host, six ? "]" : "", lm_server_port(server), opt.slots);
    fflush(stdout);
    lm_jobs_run(jobs, is_stop_asked, NULL);
    puts("stopped");
  }
  lm_server_stop(server);
  lm_jobs_free(jobs);
  return server != NULL;
}

static bool serve(rill_context *ctx, char *err) {
  lm_model model;
  bool ok =
      lm_model_load_as(&model, ctx, opt.model, opt.dtype) || lm_fail(err, "%s", rill_error(ctx));
  ok = ok && run(&model, err);
  lm_model_close(&model);
  return ok;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "serve",
                  .summary =
                      "Serves a model that pretrain made: /v1/completions as OpenAI has it, "
                      "with echo, logprobs and streaming. Requests are continued together, "
                      "as one batch.",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    rill_context *ctx;
    signal(SIGINT, ask_to_stop);
    signal(SIGTERM, ask_to_stop);
    signal(SIGPIPE, SIG_IGN);
    code = lm_context_open(&ctx, opt.device, opt.threads, 0, err) && serve(ctx, err) ? 0 : 1;
    if (code) fprintf(stderr, "serve: %s\n", err);
    rill_context_free(ctx);
  }
  lm_args_free(&args);
  return code;
}
