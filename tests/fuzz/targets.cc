// Each format: its parser, and what must hold of a file that it accepts.
#include "tests/fuzz/targets.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "examples/lm/manifest.h"
#include "examples/lm/pieces.h"
#include "examples/lm/questions.h"
#include "examples/lm/recall_line.h"
#include "examples/lm/runlog.h"
#include "examples/lm/server_request.h"
#include "examples/lm/shard.h"
#include "nn/config.h"
#include "nn/hf.h"
#include "nn/lm.h"
#include "nn/safetensors.h"

namespace rill_test {
namespace {

const char *text(const uint8_t *bytes) { return reinterpret_cast<const char *>(bytes); }

// A message is a string; nothing of an accepted file is out of bounds when all of it is read.
void read_all(const char *message, size_t room) {
  if (strnlen(message, room) == room) abort();
}

bool safetensors(const uint8_t *bytes, size_t size) {
  const char *folder = getenv("TEST_TMPDIR");
  std::string path = std::string(folder ? folder : "/tmp") + "/rill-fuzz-XXXXXX";
  int fd = mkstemp(path.data());
  if (fd < 0 || write(fd, bytes, size) != static_cast<ssize_t>(size)) abort();
  close(fd);
  rill_context_opts opts = {};
  opts.on_error = RILL_CONTINUE;
  opts.threads = 1;
  rill_context *ctx = rill_context_new(opts);
  rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
  if (!file != (rill_error(ctx) != nullptr)) abort();
  for (int64_t i = 0; file && i < rill_safetensors_count(file) && i < 8; i++) {
    rill_safetensors_entry entry = rill_safetensors_at(file, i);
    if (rill_safetensors_find(file, entry.name) != i) abort();
    rill_safetensors_get(file, entry.name);
  }
  bool accepted = file != nullptr;
  rill_safetensors_close(file);
  rill_context_free(ctx);
  unlink(path.c_str());
  return accepted;
}

bool config(const uint8_t *bytes, size_t size) {
  rill_lm_config config;
  rill_lm_training training;
  char message[RILL_CONFIG_MESSAGE] = "";
  if (rill_lm_config_parse(text(bytes), size, &config, &training, message))
    return rill_lm_count(&config, message) != 0;
  read_all(message, sizeof message);
  return false;
}

bool hf_config(const uint8_t *bytes, size_t size) {
  rill_lm_config config;
  char message[RILL_CONFIG_MESSAGE] = "";
  if (rill_hf_config_parse(text(bytes), size, &config, message))
    return rill_lm_count(&config, message) != 0;
  read_all(message, sizeof message);
  return false;
}

bool shard(const uint8_t *bytes, size_t size) {
  char err[LM_ERROR_SIZE] = "";
  lm_tokens tokens = {};
  int64_t n = static_cast<int64_t>(size);
  bool accepted = lm_shard_parse(bytes, n, n, &tokens, err);
  int64_t sum = 0;
  for (int64_t i = 0; accepted && i < tokens.count; i++) sum += lm_token_at(&tokens, i);
  if (!accepted) read_all(err, sizeof err);
  return accepted && sum >= 0;
}

bool pieces(const uint8_t *bytes, size_t size) {
  char err[LM_ERROR_SIZE] = "";
  lm_pieces pieces = {};
  bool accepted = lm_pieces_parse(&pieces, bytes, static_cast<int64_t>(size), err);
  int sum = 0;
  for (int64_t i = 0; accepted && i < pieces.start[pieces.count]; i++) sum += pieces.text[i];
  for (int b = 0; accepted && b < 256; b++)
    if (pieces.byte[b] < 0 || pieces.byte[b] >= pieces.count) abort();
  if (!accepted) read_all(err, sizeof err);
  lm_pieces_free(&pieces);
  return accepted && sum >= 0;
}

bool manifest(const uint8_t *bytes, size_t size) {
  char err[LM_ERROR_SIZE] = "";
  lm_manifest m = {};
  bool accepted = lm_manifest_parse(&m, bytes, static_cast<int64_t>(size), err);
  for (int64_t i = 0; accepted && i < m.shards; i++)
    if (strchr(m.shard[i].file, '/')) abort();
  if (!accepted) read_all(err, sizeof err);
  lm_manifest_free(&m);
  return accepted;
}

bool question(const uint8_t *bytes, size_t size) {
  char err[LM_ERROR_SIZE] = "";
  lm_question q = {};
  bool accepted = lm_question_parse(&q, bytes, static_cast<int64_t>(size), err);
  if (accepted && q.kind == LM_ASKS_CHOICE && (q.answer < 0 || q.answer >= q.choices)) abort();
  if (!accepted) read_all(err, sizeof err);
  lm_question_free(&q);
  return accepted;
}

bool request(const uint8_t *bytes, size_t size) {
  lm_request_limits limits = {};
  limits.max_tokens = 64, limits.prompt_bytes = 4096, limits.prompts = 8, limits.n = 4;
  lm_refusal refusal = {};
  lm_request r = {};
  bool accepted = lm_request_parse(&r, bytes, static_cast<int64_t>(size), &limits, &refusal);
  if (accepted && (r.prompts < 1 || r.prompts * r.n > limits.prompts)) abort();
  if (!accepted) free(lm_refusal_print(&refusal));
  lm_request_free(&r);
  return accepted;
}

bool runlog(const uint8_t *bytes, size_t size) {
  char err[LM_ERROR_SIZE] = "";
  lm_record *records = nullptr;
  int64_t count = 0;
  lm_runlog_damage damage = {};
  if (!lm_runlog_salvage(bytes, static_cast<int64_t>(size), &records, &count, &damage, err))
    abort();
  for (int64_t i = 1; i < count; i++)
    if (records[i].step <= records[i - 1].step) abort();
  free(records);
  return count > 0 && damage.lines == 0;
}

bool recall_lines(const uint8_t *bytes, size_t size) {
  char err[LM_ERROR_SIZE] = "";
  lm_recall_line *lines = nullptr;
  int64_t count = 0;
  bool accepted = lm_recall_lines_parse("fuzz", text(bytes), size, &lines, &count, err);
  if (!accepted) read_all(err, sizeof err);
  free(lines);
  return accepted && count > 0;
}

}  // namespace

const std::vector<FuzzTarget> &fuzz_targets() {
  static const std::vector<FuzzTarget> all = {
      {"safetensors", false, safetensors},
      {"config", true, config},
      {"hf_config", true, hf_config},
      {"shard", false, shard},
      {"pieces", false, pieces},
      {"manifest", true, manifest},
      {"question", true, question},
      {"request", true, request},
      {"runlog", true, runlog},
      {"recall_lines", true, recall_lines},
  };
  return all;
}

}  // namespace rill_test
