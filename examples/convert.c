/* convert: a checkpoint under other names, in another precision, in one file or several. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "examples/lm/args.h"
#include "examples/lm/checkpoint.h"
#include "examples/lm/model.h"
#include "tensor/io.h"

static struct {
  const char *to, *dtype;
  int64_t shard_size;
  bool force;
} opt;

static const lm_option table[] = {
    {"to", LM_CHOICE, &opt.to, "hf", .group = "What is written",
     .help = "the names: hf = of flash-linear-attention's model if it has this one, else of Rill's "
             "own for Hugging Face; fla, hf-rill = one of these two; rill = as pretrain writes",
     .choices = "hf|fla|hf-rill|rill"},
    {"dtype", LM_CHOICE, &opt.dtype, "f32", .help = "of matrices; vectors (norms, gates) are f32",
     .choices = "f32|bf16"},
    {"shard-size", LM_INT, &opt.shard_size, "0",
     .help = "bytes (5e9) above which a new file begins; 0 = one file", .min = 0, .max = 9e15},
    {"force", LM_FLAG, &opt.force, NULL, .help = "write over a checkpoint that OUT holds already"},
    {0}};

static rill_naming naming(void) {
  if (strcmp(opt.to, "hf") == 0) return RILL_NAMING_HF;
  if (strcmp(opt.to, "fla") == 0) return RILL_NAMING_FLA;
  return strcmp(opt.to, "rill") == 0 ? RILL_NAMING_RILL : RILL_NAMING_HF_RILL;
}

/* OUT may be a new folder or one without a checkpoint. */
static bool check_out(const char *out, char *err) {
  char config[LM_PATH_SIZE];
  struct stat status;
  snprintf(config, sizeof config, "%.4000s/config.json", out);
  if (opt.force || stat(config, &status) != 0) return true;
  return lm_fail(err, "%s holds a checkpoint; --force writes over it", out);
}

/* Says what was written, and why names are Rill's own where fla's were possible. */
static void report(rill_context *ctx, const rill_lm *lm, const char *out) {
  char message[RILL_CONFIG_MESSAGE] = "";
  char *fla = rill_hf_config_print(ctx, &lm->config, RILL_NAMING_FLA, message);
  printf("%s: %s, %" PRId64 " parameters, %s\n", out, lm->config.model,
         rill_params_count(rill_params(lm->module)), opt.dtype);
  if (strcmp(opt.to, "hf") == 0 && fla) printf("flash-linear-attention loads it\n");
  if (strcmp(opt.to, "hf") == 0 && !fla) printf("modeling_rill.py loads it: %s\n", message);
  rill_free(ctx, fla);
}

/* The tokenizer travels with the weights, whichever of its files there are. */
static bool copy_tokenizer(const char *in, const char *out, char *err) {
  static const char *const files[] = {"tokenizer.model", "tokens.json", "tokenizer.json",
                                      "tokenizer_config.json", "special_tokens_map.json"};
  enum { LARGEST = 1 << 28 };
  char folder[LM_PATH_SIZE], path[LM_PATH_SIZE + 32];
  bool done = lm_checkpoint_folder(in, folder, err);
  for (size_t i = 0; done && i < sizeof files / sizeof *files; i++) {
    lm_bytes bytes = {0};
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, files[i]);
    if (stat(path, &status) != 0) continue;
    done = lm_read_append(NULL, path, LARGEST, &bytes, err);
    snprintf(path, sizeof path, "%.4000s/%s", out, files[i]);
    done = done && lm_write_file(path, bytes.data, (size_t)bytes.count, err);
    free(bytes.data);
  }
  return done;
}

static bool convert(const char *in, const char *out, char *err) {
  rill_context *ctx;
  lm_model model;
  if (!check_out(out, err) || !lm_context_open(&ctx, "cpu", 0, 0, err)) return false;
  rill_lm_save_opts how = {
      .naming = naming(), .bf16 = strcmp(opt.dtype, "bf16") == 0, .shard_bytes = opt.shard_size};
  bool done = lm_model_load(&model, ctx, in) && rill_lm_save(model.lm, out, how);
  if (!done) lm_fail(err, "%s", rill_error(ctx));
  done = done && copy_tokenizer(in, out, err);
  if (done) report(ctx, model.lm, out);
  lm_model_close(&model);
  rill_context_free(ctx);
  return done;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "convert",
                  .summary =
                      "Reads a checkpoint (a run's folder, one of its checkpoints, or a folder "
                      "of flash-linear-attention's Hugging Face models) and writes its weights "
                      "and configuration to the folder OUT. What a run needs to be resumed is "
                      "left behind.",
                  .operands = "IN OUT",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0 && args.operand_count != 2) {
    fprintf(stderr, "convert: two folders are needed, IN and OUT\n");
    code = 2;
  }
  if (code < 0) {
    code = convert(args.operand[0], args.operand[1], err) ? 0 : 1;
    if (code) fprintf(stderr, "convert: %s\n", err);
  }
  lm_args_free(&args);
  return code;
}
