/* Saving language models to folders: weights, index, and config.json last, so that a folder with a
 * config.json is whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nn/checkpoint.h"
#include "nn/checkpoint_impl.h"
#include "nn/json_impl.h"
#include "nn/safetensors.h"
#include "ops/ops.h"
#include "tensor/checked.h"
#include "tensor/io.h"

/* One tensor of the files to be. */
typedef struct {
  rilli_stored_tensor from;
  int64_t bytes, shard;
} plan;

typedef struct {
  rill_context *ctx;
  rilli_naming naming;
  rill_lm_save_opts opts;
  plan *tensor; /* [count] */
  int64_t count, shards, bytes;
  char *path;
  size_t room;
} job;

/* "FOLDER/name" */
static const char *in_folder(job *j, const char *name) {
  snprintf(j->path, j->room, "%s/%s", j->naming.folder, name);
  return j->path;
}

static void file_name(const job *j, int64_t shard, char name[64]) {
  if (j->shards == 1)
    snprintf(name, 64, "model.safetensors");
  else
    snprintf(name, 64, "model-%05" PRId64 "-of-%05" PRId64 ".safetensors", shard + 1, j->shards);
}

/* ---- what goes where ---- */

static rill_dtype dtype_of(const job *j, const plan *t) {
  rill_dtype dtype = rill_dtype_of(t->from.piece[0]->value);
  return j->opts.bf16 && t->from.shape.rank > 1 ? RILL_BF16 : dtype;
}

static bool make_plan(job *j, rill_parameters params) {
  int64_t in_shard = 0;
  j->tensor = rill_alloc(j->ctx, (size_t)(params.count + 1) * sizeof *j->tensor);
  if (!j->tensor) return false;
  for (int64_t i = 0; i < params.count; i++) {
    plan *t = &j->tensor[j->count];
    if (!rilli_stored_find(&j->naming, params, &params.at[i], &t->from)) return false;
    if (t->from.piece[0] != &params.at[i]) continue;
    int64_t elements = 0;
    for (int k = 0; k < t->from.pieces; k++) elements += rill_count(t->from.piece[k]->value);
    t->bytes = elements * (int64_t)rill_dtype_size(dtype_of(j, t));
    bool full = j->opts.shard_bytes > 0 && in_shard + t->bytes > j->opts.shard_bytes;
    if (full && in_shard > 0) {
      j->shards++;
      in_shard = 0;
    }
    in_shard += t->bytes;
    j->bytes += t->bytes;
    t->shard = j->shards;
    j->count++;
  }
  j->shards++; /* until here the number of the last one */
  return true;
}

/* ---- weights ---- */

static rill_tensor *gather(const job *j, const plan *t) {
  rill_tensor *piece[RILLI_HF_PIECES];
  for (int i = 0; i < t->from.pieces; i++) piece[i] = t->from.piece[i]->value;
  rill_tensor *x = t->from.pieces > 1 ? rill_concat(t->from.pieces, piece, 0) : piece[0];
  if (t->from.names.conv) x = rill_reshape(x, t->from.shape);
  rill_dtype dtype = dtype_of(j, t);
  return rill_dtype_of(x) == dtype ? x : rill_cast(x, dtype);
}

static bool save_shard(job *j, int64_t shard, rill_parameter *list) {
  static const rill_metadata format = {"format", "pt"};
  char name[64];
  rill_parameters tensors = {.ctx = j->ctx, .at = list};
  rill_scope *scope = rill_scope_open_no_grad(j->ctx);
  for (int64_t i = 0; i < j->count; i++) {
    if (j->tensor[i].shard != shard) continue;
    list[tensors.count++] =
        (rill_parameter){.name = j->tensor[i].from.names.name, .value = gather(j, &j->tensor[i])};
  }
  file_name(j, shard, name);
  bool done =
      rill_safetensors_save(j->ctx, in_folder(j, name), tensors, j->naming.model ? 1 : 0, &format);
  rill_scope_close(scope);
  return done;
}

static bool save_shards(job *j) {
  rill_parameter *list = rill_alloc(j->ctx, (size_t)(j->count + 1) * sizeof *list);
  bool done = list != NULL;
  for (int64_t i = 0; done && i < j->shards; i++) done = save_shard(j, i, list);
  rill_free(j->ctx, list);
  return done;
}

/* ---- the other files ---- */

static void write_index(rilli_writer *w, const job *j) {
  char name[64];
  rilli_print(w, "{\n  \"metadata\": {\"total_size\": %" PRId64 "},\n  \"weight_map\": {",
              j->bytes);
  for (int64_t i = 0; i < j->count; i++) {
    file_name(j, j->tensor[i].shard, name);
    rilli_print(w, "%s\n    \"%s\": \"%s\"", i ? "," : "", j->tensor[i].from.names.name, name);
  }
  rilli_print(w, "\n  }\n}\n");
}

static bool save_index(job *j) {
  rilli_writer measure = {0};
  write_index(&measure, j);
  rilli_writer w = {.room = measure.used + 1};
  w.text = rill_alloc(j->ctx, w.room);
  if (!w.text) return false;
  write_index(&w, j);
  bool done = rill_file_save(j->ctx, in_folder(j, "model.safetensors.index.json"), w.text, w.used);
  rill_free(j->ctx, w.text);
  return done;
}

static bool save_config(job *j, const rill_lm_config *config) {
  char message[RILL_CONFIG_MESSAGE];
  const char *path = in_folder(j, "config.json");
  if (j->naming.model == 0) return rill_lm_config_save(j->ctx, path, config, NULL);
  char *text = rill_hf_config_print(j->ctx, config, j->opts.naming, message);
  bool done = text && rill_file_save(j->ctx, path, text, strlen(text));
  if (!text) rill_fail(j->ctx, RILL_ERROR_ARGUMENT, "%s: %s", path, message);
  rill_free(j->ctx, text);
  return done;
}

static bool make_folder(job *j) {
  const rill_files *io = rill_context_files(j->ctx);
  if (io->mkdir(io->user, j->naming.folder, 0777) == 0 || errno == EEXIST) return true;
  rill_fail(j->ctx, RILL_ERROR_FILE, "%s: cannot be made: %s", j->naming.folder, strerror(errno));
  return false;
}

/* What an older checkpoint of another kind left here and would be taken for ours. */
static void remove_stale(job *j) {
  const rill_files *io = rill_context_files(j->ctx);
  io->unlink(io->user,
             in_folder(j, j->shards == 1 ? "model.safetensors.index.json" : "model.safetensors"));
}

bool rill_lm_save(const rill_lm *f, const char *folder, rill_lm_save_opts opts) {
  if (!f) return false;
  char message[RILL_CONFIG_MESSAGE] = "";
  rill_parameters params = rill_params(f->module);
  job j = {.ctx = params.ctx, .opts = opts, .room = strlen(folder) + 80};
  j.naming =
      (rilli_naming){.folder = folder, .gated = f->config.parts.gate, .tied = f->config.tied};
  j.naming.model = rilli_hf_choose(&f->config, opts.naming, message);
  if (j.naming.model == 0 && opts.naming != RILL_NAMING_RILL) {
    rill_fail(j.ctx, RILL_ERROR_ARGUMENT, "%s: %s", folder, message);
    return false;
  }
  if (j.naming.model == RILLI_HF_RILL) j.opts.naming = RILL_NAMING_HF_RILL;
  j.path = rill_alloc(j.ctx, j.room);
  bool done = j.path && make_plan(&j, params) && make_folder(&j) && save_shards(&j) &&
              (j.shards == 1 || save_index(&j));
  if (done) remove_stale(&j);
  done = done && save_config(&j, &f->config);
  rill_free(j.ctx, j.tensor);
  rill_free(j.ctx, j.path);
  return done;
}
