/* Checkpoints: a folder a checkpoint, and a file that names the newest.
 *
 * A run may be killed at any moment. Until `latest` is renamed into place the old checkpoint
 * counts; a folder it does not name is unfinished, or not yet deleted, and is written over or
 * removed later. The points at which a test kills the process have names (environment variable
 * RILL_KILL_AT). */
#include "examples/lm/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/safetensors.h"
#include "tensor/io.h"

static void kill_point(const char *name) {
  const char *at = getenv("RILL_KILL_AT");
  if (at && strcmp(at, name) == 0) raise(SIGKILL);
}

static bool exists(const char *path) {
  struct stat status;
  return stat(path, &status) == 0;
}

static bool read_latest(const char *out, char name[64]) {
  char path[LM_PATH_SIZE + 16];
  snprintf(path, sizeof path, "%s/latest", out);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  bool found = fgets(name, 64, file) != NULL;
  fclose(file);
  if (found) name[strcspn(name, "\n")] = '\0';
  return found && name[0] && !strchr(name, '/');
}

bool lm_checkpoint_folder(const char *path, char folder[LM_PATH_SIZE], char *err) {
  char name[64], config[LM_PATH_SIZE + 16];
  if (strlen(path) + 80 > LM_PATH_SIZE)
    return lm_fail(err, "%.200s...: the path is too long", path);
  snprintf(config, sizeof config, "%s/config.json", path);
  if (exists(config)) {
    snprintf(folder, LM_PATH_SIZE, "%s", path);
    return true;
  }
  if (!exists(path)) return lm_fail(err, "%s: there is no such folder", path);
  if (!read_latest(path, name))
    return lm_fail(
        err, "%s: holds no checkpoint (neither config.json nor a file `latest` that names one)",
        path);
  snprintf(folder, LM_PATH_SIZE, "%.*s/%s", LM_PATH_SIZE - 80, path, name);
  return true;
}

/* ---- saving ---- */

static bool save_training(rill_context *ctx, const char *folder, const lm_run_state *state) {
  char path[LM_PATH_SIZE + 64], step[32], position[32], seed[32], counter[32], print[32], best[64];
  rill_random_state random = rill_random_get(ctx);
  snprintf(path, sizeof path, "%s/training.safetensors", folder);
  snprintf(step, sizeof step, "%" PRId64, state->step);
  snprintf(position, sizeof position, "%" PRId64, state->position);
  snprintf(seed, sizeof seed, "%" PRIu64, random.seed);
  snprintf(counter, sizeof counter, "%" PRIu64, random.counter);
  snprintf(print, sizeof print, "%" PRIu64, state->fingerprint);
  snprintf(best, sizeof best, "%a", state->best);
  const rill_metadata metadata[] = {{"step", step},         {"position", position},
                                    {"random.seed", seed},  {"random.counter", counter},
                                    {"fingerprint", print}, {"best", best}};
  return rill_safetensors_save(ctx, path, rill_optim_state(state->opt), 6, metadata);
}

static void remove_folder(const char *out, const char *name) {
  static const char *const files[] = {"config.json", "model.safetensors", "training.safetensors",
                                      "tokenizer.model", "tokens.json"};
  char path[LM_PATH_SIZE + 400];
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    snprintf(path, sizeof path, "%s/%s/%s", out, name, files[i]);
    unlink(path);
  }
  snprintf(path, sizeof path, "%s/%s", out, name);
  rmdir(path);
}

static int newest_first(const void *a, const void *b) {
  return strcmp((const char *)b, (const char *)a);
}

/* Deletes all but the newest `keep` checkpoints; names sort by step. */
static void prune(const char *out, int64_t keep, char *err) {
  DIR *dir = opendir(out);
  char(*name)[64] = NULL;
  int64_t count = 0;
  for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
    if (strncmp(entry->d_name, "step-", 5) != 0 || strlen(entry->d_name) > 60) continue;
    char(*more)[64] = lm_resize(name, count + 1, sizeof *name, err);
    if (!more) break;
    name = more;
    snprintf(name[count++], 64, "%s", entry->d_name);
  }
  if (dir) closedir(dir);
  if (count > 1) qsort(name, (size_t)count, sizeof *name, newest_first);
  for (int64_t i = keep > 1 ? keep : 1; i < count; i++) remove_folder(out, name[i]);
  free(name);
}

bool lm_checkpoint_save(const char *out, const lm_run_state *state, int64_t keep) {
  rill_context *ctx = rill_module_context(state->net);
  char folder[LM_PATH_SIZE], path[LM_PATH_SIZE + 64], name[64], err[LM_ERROR_SIZE];
  snprintf(name, sizeof name, "step-%08" PRId64, state->step);
  snprintf(folder, sizeof folder, "%.*s/%s", LM_PATH_SIZE - 80, out, name);
  kill_point("before");
  if (!lm_make_folder(folder, err)) {
    rill_fail(ctx, RILL_ERROR_FILE, "%s", err);
    return false;
  }
  snprintf(path, sizeof path, "%s/config.json", folder);
  bool done = rill_lm_config_save(ctx, path, state->config, NULL);
  if (done && state->tokenizer && !lm_tokenizer_save(state->tokenizer, folder, err)) {
    rill_fail(ctx, RILL_ERROR_FILE, "%s", err);
    done = false;
  }
  kill_point("config");
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  done = done && rill_safetensors_save(ctx, path, rill_params(state->net), 0, NULL);
  kill_point("model");
  done = done && save_training(ctx, folder, state);
  kill_point("training");
  size_t length = strlen(name);
  name[length] = '\n';
  snprintf(path, sizeof path, "%.*s/latest", LM_PATH_SIZE - 80, out);
  done = done && rill_file_save(ctx, path, name, length + 1);
  kill_point("latest");
  if (done) prune(out, keep, err);
  kill_point("after");
  return done;
}

bool lm_checkpoint_save_best(const char *out, const lm_run_state *state, const rill_lm *lm) {
  char folder[LM_PATH_SIZE], err[LM_ERROR_SIZE];
  snprintf(folder, sizeof folder, "%.*s/best", LM_PATH_SIZE - 80, out);
  if (!lm_make_folder(folder, err) ||
      (state->tokenizer && !lm_tokenizer_save(state->tokenizer, folder, err))) {
    rill_fail(rill_module_context(state->net), RILL_ERROR_FILE, "%s", err);
    return false;
  }
  return rill_lm_save(lm, folder, (rill_lm_save_opts){.naming = RILL_NAMING_RILL});
}

/* ---- loading ---- */

static bool number(rill_safetensors *file, const char *key, uint64_t *value) {
  const char *text = rill_safetensors_metadata(file, key);
  char *end;
  if (!text) return false;
  errno = 0;
  *value = strtoull(text, &end, 10);
  return errno == 0 && end != text && *end == '\0';
}

static bool load_training(rill_context *ctx, rill_safetensors *file, const char *path,
                          lm_run_state *state) {
  uint64_t step, position, print;
  rill_random_state random;
  const char *best = rill_safetensors_metadata(file, "best");
  if (!number(file, "step", &step) || !number(file, "position", &position) ||
      !number(file, "fingerprint", &print) || !number(file, "random.seed", &random.seed) ||
      !number(file, "random.counter", &random.counter) || !best) {
    rill_fail(ctx, RILL_ERROR_FILE, "%s: its metadata lacks the state of a run", path);
    return false;
  }
  if (print != state->fingerprint) {
    rill_fail(ctx, RILL_ERROR_ARGUMENT,
              "%s: the run was started with another text, seed, batch, sequence length or model; "
              "resume it with the options "
              "it had",
              path);
    return false;
  }
  if (!rill_safetensors_load(file, rill_optim_state(state->opt), true) ||
      !rill_optim_restore(state->opt))
    return false;
  state->step = (int64_t)step;
  state->position = (int64_t)position;
  state->best = strtod(best, NULL);
  rill_random_set(ctx, random);
  return true;
}

bool lm_checkpoint_load(const char *out, lm_run_state *state) {
  rill_context *ctx = rill_module_context(state->net);
  char folder[LM_PATH_SIZE], path[LM_PATH_SIZE + 64], err[LM_ERROR_SIZE];
  if (!lm_checkpoint_folder(out, folder, err)) {
    rill_fail(ctx, RILL_ERROR_FILE, "cannot resume: %s", err);
    return false;
  }
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  rill_safetensors *file = rill_safetensors_open(ctx, path);
  bool done = file && rill_safetensors_load(file, rill_params(state->net), true);
  rill_safetensors_close(file);
  if (!done) return false;
  snprintf(path, sizeof path, "%s/training.safetensors", folder);
  file = rill_safetensors_open(ctx, path);
  done = file && load_training(ctx, file, path, state);
  rill_safetensors_close(file);
  return done;
}
