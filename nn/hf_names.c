/* The names of parameters in the files of others: one table, one row a parameter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/hf_impl.h"

enum {
  GATED = 1, /* rows for mixers with an output gate only, and for those without */
  PLAIN = 2,
  LAYERED = RILLI_HF_GDN | RILLI_HF_DELTANET | RILLI_HF_GLA | RILLI_HF_RETNET | RILLI_HF_LINEAR |
            RILLI_HF_TRANSFORMER | RILLI_HF_RILL,
  MAMBA2 = RILLI_HF_MAMBA2,
  O_NORM = RILLI_HF_GDN | RILLI_HF_DELTANET | RILLI_HF_RILL,
  G_NORM = RILLI_HF_GLA | RILLI_HF_RETNET,
};

/* '#' is the number of the block. Rows of one model with the same name there are one tensor, its
 * rows in this order. */
typedef struct {
  const char *here, *there;
  int models;
  int gate;
} row;

#define OWN "block.#.mixer."
#define ATTN "model.layers.#.attn."
#define MIXER "backbone.layers.#.mixer."

static const row ROWS[] = {
    {"embed.weight", "model.embeddings.weight", LAYERED, 0},
    {"norm.weight", "model.norm.weight", LAYERED, 0},
    {"head.weight", "lm_head.weight", LAYERED | MAMBA2, 0},
    {"block.#.mixer_norm.weight", "model.layers.#.attn_norm.weight", LAYERED, 0},
    {"block.#.mlp_norm.weight", "model.layers.#.mlp_norm.weight", LAYERED, 0},
    {"block.#.mlp.gate_proj.weight", "model.layers.#.mlp.gate_proj.weight", LAYERED, 0},
    {"block.#.mlp.up_proj.weight", "model.layers.#.mlp.up_proj.weight", LAYERED, 0},
    {"block.#.mlp.down_proj.weight", "model.layers.#.mlp.down_proj.weight", LAYERED, 0},

    {OWN "q_proj.weight", ATTN "q_proj.weight", LAYERED, 0},
    {OWN "k_proj.weight", ATTN "k_proj.weight", LAYERED, 0},
    {OWN "v_proj.weight", ATTN "v_proj.weight", LAYERED, 0},
    {OWN "g_proj.weight", ATTN "g_proj.weight", LAYERED, 0},
    {OWN "o_proj.weight", ATTN "o_proj.weight", LAYERED, 0},
    {OWN "q_conv.weight", ATTN "q_conv1d.weight", LAYERED, 0},
    {OWN "k_conv.weight", ATTN "k_conv1d.weight", LAYERED, 0},
    {OWN "v_conv.weight", ATTN "v_conv1d.weight", LAYERED, 0},
    {OWN "q_conv.bias", ATTN "q_conv1d.bias", LAYERED, 0},
    {OWN "k_conv.bias", ATTN "k_conv1d.bias", LAYERED, 0},
    {OWN "v_conv.bias", ATTN "v_conv1d.bias", LAYERED, 0},
    {OWN "alpha_proj.weight", ATTN "a_proj.weight", LAYERED, 0},
    {OWN "beta_proj.weight", ATTN "b_proj.weight", LAYERED, 0},
    {OWN "gamma_proj.weight", ATTN "gamma_proj.weight", LAYERED, 0},
    {OWN "a_log", ATTN "A_log", LAYERED, 0},
    {OWN "dt_bias", ATTN "dt_bias", LAYERED, 0},
    {OWN "skip", ATTN "D", LAYERED, 0},
    {OWN "decay_down.weight", ATTN "gk_proj.0.weight", LAYERED, 0},
    {OWN "decay_up.weight", ATTN "gk_proj.1.weight", LAYERED, 0},
    {OWN "decay_up.bias", ATTN "gk_proj.1.bias", LAYERED, 0},
    {OWN "norm.weight", ATTN "o_norm.weight", O_NORM, 0},
    {OWN "norm.bias", ATTN "o_norm.bias", O_NORM, 0},
    {OWN "norm.weight", ATTN "norm.weight", RILLI_HF_LINEAR, 0},
    {OWN "norm.weight", ATTN "g_norm_swish_gate.weight", G_NORM, GATED},
    {OWN "norm.weight", ATTN "g_norm.weight", G_NORM, PLAIN},

    {"embed.weight", "backbone.embeddings.weight", MAMBA2, 0},
    {"norm.weight", "backbone.norm_f.weight", MAMBA2, 0},
    {"block.#.mixer_norm.weight", "backbone.layers.#.norm.weight", MAMBA2, 0},
    {OWN "g_proj.weight", MIXER "in_proj.weight", MAMBA2, 0},     /* z */
    {OWN "v_proj.weight", MIXER "in_proj.weight", MAMBA2, 0},     /* x */
    {OWN "k_proj.weight", MIXER "in_proj.weight", MAMBA2, 0},     /* B */
    {OWN "q_proj.weight", MIXER "in_proj.weight", MAMBA2, 0},     /* C */
    {OWN "alpha_proj.weight", MIXER "in_proj.weight", MAMBA2, 0}, /* dt */
    {OWN "v_conv.weight", MIXER "conv1d.weight", MAMBA2, 0},
    {OWN "k_conv.weight", MIXER "conv1d.weight", MAMBA2, 0},
    {OWN "q_conv.weight", MIXER "conv1d.weight", MAMBA2, 0},
    {OWN "v_conv.bias", MIXER "conv1d.bias", MAMBA2, 0},
    {OWN "k_conv.bias", MIXER "conv1d.bias", MAMBA2, 0},
    {OWN "q_conv.bias", MIXER "conv1d.bias", MAMBA2, 0},
    {OWN "a_log", MIXER "A_log", MAMBA2, 0},
    {OWN "dt_bias", MIXER "dt_bias", MAMBA2, 0},
    {OWN "skip", MIXER "D", MAMBA2, 0},
    {OWN "norm.weight", MIXER "norm.weight", MAMBA2, 0},
    {OWN "o_proj.weight", MIXER "out_proj.weight", MAMBA2, 0},
};
enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

/* Does the path fit the pattern? The number that stands for '#' goes to *block. */
static bool match(const char *pattern, const char *path, long *block) {
  const char *hash = strchr(pattern, '#');
  if (!hash) return strcmp(pattern, path) == 0;
  size_t n = (size_t)(hash - pattern);
  if (strncmp(pattern, path, n) != 0 || path[n] < '0' || path[n] > '9') return false;
  char *end;
  *block = strtol(path + n, &end, 10);
  return strcmp(end, hash + 1) == 0;
}

static void fill(char *name, const char *pattern, long block) {
  const char *hash = strchr(pattern, '#');
  if (hash)
    snprintf(name, RILLI_HF_NAME, "%.*s%ld%s", (int)(hash - pattern), pattern, block, hash + 1);
  else
    snprintf(name, RILLI_HF_NAME, "%s", pattern);
}

bool rilli_hf_locate(int model, bool gated, const char *path, rilli_hf_tensor *tensor) {
  long block = 0;
  int found = -1;
  *tensor = (rilli_hf_tensor){.pieces = 0};
  if (model == 0) {
    snprintf(tensor->name, RILLI_HF_NAME, "%s", path);
    snprintf(tensor->piece[0], RILLI_HF_NAME, "%s", path);
    tensor->pieces = 1;
    return strlen(path) < RILLI_HF_NAME;
  }
  for (int i = 0; i < ROW_COUNT; i++) {
    if (!(ROWS[i].models & model) || !match(ROWS[i].here, path, &block)) continue;
    if (ROWS[i].gate == (gated ? PLAIN : GATED))
      fill(tensor->other, ROWS[i].there, block);
    else
      found = i;
  }
  if (found < 0) return false;
  const char *there = ROWS[found].there;
  fill(tensor->name, there, block);
  tensor->conv = strstr(there, "conv1d.weight") != NULL;
  for (int i = 0; i < ROW_COUNT; i++) {
    if (!(ROWS[i].models & model) || strcmp(ROWS[i].there, there) != 0) continue;
    fill(tensor->piece[tensor->pieces++], ROWS[i].here, block);
  }
  return true;
}
