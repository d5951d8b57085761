/* Loading language models from folders; checkpoint_save.c writes them.
 *
 * A stored tensor is one parameter or several, one below the other (nn/hf_impl.h). Loading walks
 * the parameters: the first of a tensor's pieces reads it and fills all of them. */
#include "nn/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nn/checkpoint_impl.h"
#include "nn/shards_impl.h"
#include "ops/ops.h"
#include "tensor/io.h"

bool rilli_stored_find(const rilli_naming *n, rill_parameters params, const rill_parameter *p,
                       rilli_stored_tensor *stored) {
  *stored = (rilli_stored_tensor){.pieces = 0};
  if (!rilli_hf_locate(n->model, n->gated, p->name, &stored->names)) {
    rill_fail(params.ctx, RILL_ERROR_ARGUMENT, "%s: parameter '%s' has no name there", n->folder,
              p->name);
    return false;
  }
  for (int i = 0; i < stored->names.pieces; i++) {
    const rill_parameter *piece = rill_params_find(params, stored->names.piece[i]);
    if (!piece) continue;
    rill_shape shape = rill_shape_of(piece->value);
    if (stored->pieces > 0)
      stored->shape.size[0] += shape.size[0];
    else
      stored->shape = shape;
    stored->piece[stored->pieces++] = piece;
  }
  if (stored->names.conv) { /* [channels, width] -> [channels, 1, width] */
    stored->shape.size[2] = stored->shape.size[1];
    stored->shape.size[1] = 1;
    stored->shape.rank = 3;
  }
  return true;
}

/* ---- weights ---- */

/* Hands the rows of x to the pieces. */
static bool deal(const rilli_stored_tensor *stored, rill_tensor *x) {
  int64_t at = 0;
  for (int i = 0; i < stored->pieces; i++) {
    rill_tensor *to = stored->piece[i]->value;
    rill_shape shape = rill_shape_of(to);
    rill_tensor *rows = x;
    if (stored->pieces > 1) rows = rill_slice(x, 0, at, at + shape.size[0], 1);
    if (stored->names.conv) rows = rill_reshape(rows, shape);
    at += shape.rank > 0 ? shape.size[0] : 0;
    if (rill_is_void(rows) || !rill_assign(to, rows)) return false;
  }
  return true;
}

/* The file that has the tensor, in the shape that the model needs, and its entry there. */
static rill_safetensors *find_tensor(const rilli_naming *n, const rilli_shards *shards,
                                     const rilli_stored_tensor *stored,
                                     rill_safetensors_entry *entry) {
  const rilli_hf_tensor *names = &stored->names;
  rill_safetensors *file = rilli_shards_find(shards, names->name, entry);
  if (!file && names->other[0]) file = rilli_shards_find(shards, names->other, entry);
  if (!file) {
    rill_fail(shards->ctx, RILL_ERROR_FILE, "%s/%s: tensor '%s' is missing", n->folder,
              shards->name[0], names->name);
    return NULL;
  }
  if (rill_shape_equal(entry->shape, stored->shape) && rill_dtype_is_float(entry->dtype))
    return file;
  rill_fail(shards->ctx, RILL_ERROR_FILE, "%s: tensor '%s' is %s %s; the model needs %s", n->folder,
            entry->name, rill_dtype_name(entry->dtype), rill_shape_print(entry->shape).text,
            rill_shape_print(stored->shape).text);
  return NULL;
}

static bool load_tensor(const rilli_naming *n, const rilli_shards *shards,
                        const rilli_stored_tensor *stored) {
  rill_safetensors_entry entry;
  rill_safetensors *file = find_tensor(n, shards, stored, &entry);
  if (!file) return false;
  rill_scope *scope = rill_scope_open_no_grad(shards->ctx);
  rill_tensor *x = rill_safetensors_get(file, entry.name);
  bool done = !rill_is_void(x) && deal(stored, x);
  rill_scope_close(scope);
  return done && !rill_error(shards->ctx);
}

/* Tensors that files have beside the parameters: the output layer that is tied to the embedding,
 * and tables that older versions of transformers stored. */
static bool superfluous(const rilli_naming *n, const char *name) {
  const char *dot = strrchr(name, '.');
  return n->model != 0 && ((n->tied && strcmp(name, "lm_head.weight") == 0) ||
                           (dot && strcmp(dot, ".inv_freq") == 0));
}

/* Every tensor of the files must be one that was loaded. */
static bool check_rest(const rilli_naming *n, const rilli_shards *shards, rill_parameters params,
                       int64_t loaded) {
  int64_t count = 0;
  for (int64_t i = 0; i < shards->count; i++) count += rill_safetensors_count(shards->file[i]);
  if (count == loaded) return true;
  for (int64_t i = 0; i < shards->count; i++) {
    for (int64_t j = 0; j < rill_safetensors_count(shards->file[i]); j++) {
      const char *name = rill_safetensors_at(shards->file[i], j).name;
      bool known = superfluous(n, name);
      for (int64_t k = 0; k < params.count && !known; k++) {
        rilli_hf_tensor t;
        known = rilli_hf_locate(n->model, n->gated, params.at[k].name, &t) &&
                (strcmp(t.name, name) == 0 || strcmp(t.other, name) == 0);
      }
      if (known) continue;
      rill_fail(shards->ctx, RILL_ERROR_FILE, "%s/%s: tensor '%s' is not part of the model",
                n->folder, shards->name[i], name);
      return false;
    }
  }
  return true;
}

/* Compares names and shapes with a model that has no memory: a configuration of absurd sizes is
 * refused before anything of that size is made. */
static bool check_weights(const rilli_naming *n, const rilli_shards *shards,
                          const rill_lm_config *config) {
  rill_context *other = rill_context_new((rill_context_opts){.on_error = RILL_CONTINUE});
  if (!other) {
    rill_fail(shards->ctx, RILL_ERROR_MEMORY, "%s: no memory for a model of its size", n->folder);
    return false;
  }
  rill_module *net = rill_module_new_with(other, (rill_module_opts){.shapes_only = true});
  bool done = rill_lm_new(net, config) != NULL;
  int64_t found = 0;
  rill_parameters params = rill_params(net);
  for (int64_t i = 0; done && i < params.count; i++) {
    rilli_stored_tensor stored;
    rill_safetensors_entry entry;
    done = rilli_stored_find(n, params, &params.at[i], &stored);
    if (!done || stored.piece[0] != &params.at[i]) continue;
    done = find_tensor(n, shards, &stored, &entry) != NULL;
    found++;
  }
  done = done && check_rest(n, shards, params, found);
  if (rill_error(other)) rill_fail(shards->ctx, RILL_ERROR_FILE, "%s", rill_error(other));
  rill_context_free(other);
  return done;
}

static bool load_weights(const rilli_naming *n, const rilli_shards *shards,
                         rill_parameters params) {
  bool done = true;
  for (int64_t i = 0; done && i < params.count; i++) {
    rilli_stored_tensor stored;
    done = rilli_stored_find(n, params, &params.at[i], &stored);
    if (done && stored.piece[0] == &params.at[i]) done = load_tensor(n, shards, &stored);
  }
  return done;
}

/* ---- models ---- */

static bool read_config(rill_context *ctx, const char *folder, rill_lm_config *config, int *model) {
  enum { LARGEST = 1 << 20 };
  char message[RILL_CONFIG_MESSAGE];
  size_t length, room = strlen(folder) + sizeof "/config.json";
  char *path = rill_alloc(ctx, room);
  if (!path) return false;
  snprintf(path, room, "%s/config.json", folder);
  char *text = rill_file_load(ctx, path, LARGEST, &length);
  bool done = text && rilli_hf_parse(text, length, config, model, message);
  if (text && !done) rill_fail(ctx, RILL_ERROR_FILE, "%s: %s", path, message);
  rill_free(ctx, text);
  rill_free(ctx, path);
  return done;
}

rill_lm *rill_lm_load(rill_context *ctx, const char *folder, rill_dtype dtype) {
  rill_lm_config config;
  rilli_naming n = {.folder = folder};
  rilli_shards shards;
  if (!read_config(ctx, folder, &config, &n.model)) return NULL;
  n.gated = config.parts.gate;
  n.tied = config.tied;
  rill_lm *f = NULL;
  bool done = rilli_shards_open(&shards, ctx, folder) && check_weights(&n, &shards, &config);
  if (done)
    f = rill_lm_new(rill_module_new_with(ctx, rill_lm_module_opts(&config, dtype)), &config);
  done = f && load_weights(&n, &shards, rill_params(f->module));
  rilli_shards_close(&shards);
  return done ? f : NULL;
}

bool rill_lm_stored_dtype(rill_context *ctx, const char *folder, rill_dtype *dtype) {
  rilli_shards shards;
  double half = 0, all = 0; /* elements */
  bool done = rilli_shards_open(&shards, ctx, folder);
  for (int64_t i = 0; done && i < shards.count; i++) {
    for (int64_t j = 0; j < rill_safetensors_count(shards.file[i]); j++) {
      rill_safetensors_entry entry = rill_safetensors_at(shards.file[i], j);
      int64_t count = 0;
      rill_shape_count(entry.shape, &count);
      all += (double)count;
      if (entry.dtype == RILL_BF16) half += (double)count;
    }
  }
  rilli_shards_close(&shards);
  *dtype = 2 * half > all ? RILL_BF16 : RILL_F32;
  return done;
}
