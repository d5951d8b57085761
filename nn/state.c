/* States: a small table of kept tensors. Layers ask in the same order for every token, so the
 * search starts where the last one ended. */
#include "nn/state.h"

#include <inttypes.h>
#include <string.h>

#include "nn/nn_impl.h"
#include "ops/ops.h"
#include "tensor/capture.h"
#include "tensor/io.h"

struct rill_state {
  rill_context *ctx;
  int64_t position;
  int64_t count, capacity, next; /* next: where the search starts */
  rill_parameter *at;
  int64_t sequences, *offsets; /* of packed texts; 0 and NULL otherwise */
  void *memory;                /* rilli_state_memory */
  size_t memory_bytes;
};

rill_state *rill_state_new(rill_context *ctx) {
  rill_state *state = rill_owned_alloc(ctx, sizeof *state);
  if (state) state->ctx = ctx;
  return state;
}

void rill_state_reset(rill_state *state) {
  if (!state) return;
  for (int64_t i = 0; i < state->count; i++) {
    rill_drop(state->at[i].value);
    char *name = (char *)(uintptr_t)state->at[i].name;
    rill_owned_free(state->ctx, name);
  }
  state->count = state->next = state->position = 0;
}

void rill_state_free(rill_state *state) {
  if (!state) return;
  rill_state_reset(state);
  rill_owned_free(state->ctx, state->offsets);
  rill_owned_free(state->ctx, state->memory);
  rill_owned_free(state->ctx, state->at);
  rill_owned_free(state->ctx, state);
}

int64_t rill_state_position(const rill_state *state) {
  if (!state) return 0;
  if (rill_capturing(state->ctx))
    rill_fail(
        state->ctx, RILL_ERROR_STATE,
        "rill_state_position: a captured function must not depend on how many tokens were read: "
        "it would be the same in every replay");
  return state->position;
}
void rill_state_set_position(rill_state *state, int64_t position) {
  if (state) state->position = position;
}
void rill_state_advance(rill_state *state, int64_t tokens) {
  if (state && !state->sequences) state->position += tokens;
}

int64_t rill_state_bytes(const rill_state *state) {
  int64_t bytes = 0;
  for (int64_t i = 0; state && i < state->count; i++) {
    const rill_tensor *x = state->at[i].value;
    bytes += rill_count(x) * (int64_t)rill_dtype_size(rill_dtype_of(x));
  }
  return bytes;
}

rill_parameters rill_state_tensors(const rill_state *state) {
  return state ? (rill_parameters){state->ctx, state->count, state->at} : (rill_parameters){0};
}

/* ---- the table ---- */

/* Is `full` the text path.name? An empty path has no dot. */
static bool is_name(const char *full, const char *path, const char *name) {
  size_t length = strlen(path);
  if (length == 0) return strcmp(full, name) == 0;
  return strncmp(full, path, length) == 0 && full[length] == '.' &&
         strcmp(full + length + 1, name) == 0;
}

static rill_parameter *find(rill_state *state, const char *path, const char *name) {
  for (int64_t i = 0; i < state->count; i++) {
    int64_t j = (state->next + i) % state->count;
    if (!is_name(state->at[j].name, path, name)) continue;
    state->next = j;
    return &state->at[j];
  }
  return NULL;
}

static rill_parameter *add(rill_state *state, const char *path, const char *name) {
  rill_context *ctx = state->ctx;
  if (state->count == state->capacity) {
    int64_t capacity = state->capacity ? 2 * state->capacity : 16;
    rill_parameter *at = rill_owned_alloc(ctx, (size_t)capacity * sizeof *at);
    if (!at) return NULL;
    if (state->count) memcpy(at, state->at, (size_t)state->count * sizeof *at);
    rill_owned_free(ctx, state->at);
    state->at = at;
    state->capacity = capacity;
  }
  size_t a = strlen(path), b = strlen(name);
  char *full = rill_owned_alloc(ctx, a + b + 2);
  if (!full) return NULL;
  memcpy(full, path, a);
  if (a) full[a++] = '.';
  memcpy(full + a, name, b + 1);
  rill_parameter *slot = &state->at[state->count++];
  *slot = (rill_parameter){.name = full};
  return slot;
}

rill_tensor *rill_state_get(rill_state *state, const char *path, const char *name,
                            rill_shape shape) {
  rill_parameter *slot = state ? find(state, path, name) : NULL;
  if (!slot || !slot->value) return NULL;
  if (!rill_shape_equal(rill_shape_of(slot->value), shape)) {
    rill_fail(state->ctx, RILL_ERROR_ARGUMENT,
              "the state's %s has shape %s where %s is needed: it is of another model or batch",
              slot->name, rill_shape_print(rill_shape_of(slot->value)).text,
              rill_shape_print(shape).text);
    return NULL;
  }
  return slot->value;
}

void rill_state_put(rill_state *state, const char *path, const char *name, rill_tensor *value) {
  if (!state || rill_is_void(value) || rill_error(state->ctx)) return;
  rill_parameter *slot = find(state, path, name);
  if (!slot) slot = add(state, path, name);
  if (!slot) return;
  bool fits = slot->value && rill_dtype_of(slot->value) == rill_dtype_of(value) &&
              rill_shape_equal(rill_shape_of(slot->value), rill_shape_of(value));
  if (fits) {
    rill_assign(slot->value, value);
    return;
  }
  rill_tensor *kept = rill_keep(rill_copy(value));
  rill_drop(slot->value);
  slot->value = rill_is_void(kept) ? NULL : kept;
}

bool rill_state_set(rill_state *state, const char *name, rill_tensor *value) {
  rill_state_put(state, "", name, value);
  return state && !rill_error(state->ctx);
}

/* ---- rows ---- */

bool rill_state_select(rill_state *state, int64_t count, const int64_t *rows) {
  if (!state || rill_error(state->ctx)) return false;
  rill_scope *scope = rill_scope_open_no_grad(state->ctx);
  rill_tensor *index = rill_from(state->ctx, RILL_I64, RILL_SHAPE(count), rows);
  for (int64_t i = 0; i < state->count; i++)
    rill_state_put(state, "", state->at[i].name, rill_index_select(state->at[i].value, 0, index));
  rill_scope_close(scope);
  return !rill_error(state->ctx);
}

bool rill_state_append(rill_state *state, const rill_state *more) {
  if (!state || !more || rill_error(state->ctx)) return false;
  const bool empty = state->count == 0;
  if (empty) state->position = more->position;
  rill_scope *scope = rill_scope_open_no_grad(state->ctx);
  for (int64_t i = 0; i < more->count && !rill_error(state->ctx); i++) {
    rill_parameter row = more->at[i];
    const rill_parameter *slot = empty ? NULL : find(state, "", row.name);
    if (!empty && (!slot || state->count != more->count)) {
      rill_fail(state->ctx, RILL_ERROR_ARGUMENT,
                "rill_state_append: only one of the two states has %s, or they differ in number: "
                "%" PRId64 " tensors and %" PRId64 "; they are of different models",
                row.name, state->count, more->count);
      break;
    }
    rill_tensor *both[2] = {slot ? slot->value : NULL, row.value};
    rill_state_put(state, "", row.name, slot ? rill_concat(2, both, 0) : row.value);
  }
  rill_scope_close(scope);
  return !rill_error(state->ctx);
}

/* ---- packed texts ---- */

bool rill_state_pack(rill_state *state, int64_t sequences, const int64_t *offsets) {
  if (!state || rill_error(state->ctx)) return false;
  for (int64_t i = 0; i <= sequences && sequences > 0; i++)
    if (offsets[i] < (i ? offsets[i - 1] : 0) || (i == 0 && offsets[0] != 0)) sequences = -1;
  if (sequences < 1) {
    rill_fail(state->ctx, RILL_ERROR_ARGUMENT,
              "rill_state_pack: there must be a sequence, and offsets that begin with 0 and never "
              "fall");
    return false;
  }
  rill_state_reset(state);
  rill_owned_free(state->ctx, state->offsets);
  state->sequences = 0;
  state->offsets = rill_owned_alloc(state->ctx, (size_t)(sequences + 1) * sizeof *offsets);
  if (!state->offsets) return false;
  memcpy(state->offsets, offsets, (size_t)(sequences + 1) * sizeof *offsets);
  state->sequences = sequences;
  return true;
}

rill_packing rill_state_packing(const rill_state *state) {
  return state ? (rill_packing){state->sequences, state->offsets} : (rill_packing){0};
}

void *rilli_state_memory(rill_state *state, size_t bytes) {
  if (bytes > state->memory_bytes) {
    rill_owned_free(state->ctx, state->memory);
    state->memory = rill_owned_alloc(state->ctx, bytes);
    state->memory_bytes = state->memory ? bytes : 0;
  }
  return state->memory;
}
