/* prepare: turns text into shards of tokens, once, so that training only has to read them.
 *
 *   prepare --tokenizer bpe:16384 --out tokens text/ more.jsonl
 *   pretrain --data tokens
 *
 * Blocks of the files are read in order, encoded by all threads, and written in order: the shards
 * are the same for any number of threads. */
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/args.h"
#include "examples/lm/documents.h"
#include "examples/lm/progress.h"
#include "examples/lm/shard_writer.h"

enum { MOST_THREADS = 256, BLOCKS_A_THREAD = 4, SAMPLE = 1 << 25 };

static struct {
  const char *tokenizer, *out, *field;
  int64_t shard_tokens, validation_every, seed, threads;
  bool quiet;
} opt;

static const lm_option table[] = {
    {"out", LM_STRING, &opt.out, NULL, .group = "Shards",
     .help = "folder to write: train_*.bin, val_*.bin, manifest.json, tokenizer.model"},
    {"tokenizer", LM_STRING, &opt.tokenizer, "bytes",
     .help = "bytes, bpe:8192 or unigram:8192 (trained on the text), or the file or folder of a "
             "SentencePiece model"},
    {"shard-tokens", LM_INT, &opt.shard_tokens, "1e8", .help = "tokens in a shard", .min = 1,
     .max = 2147483647},
    {"validation-every", LM_INT, &opt.validation_every, "100",
     .help = "one document in so many is held out, in val_*.bin; 0 = none", .min = 0, .max = 1e12},
    {"seed", LM_INT, &opt.seed, "1", .help = "which of them", .min = 0, .max = 9e15},
    {"field", LM_STRING, &opt.field, "text", .group = "Text",
     .help = "of JSON lines (.jsonl, .ndjson): the field that holds the text"},
    {"quiet", LM_FLAG, &opt.quiet, NULL, .group = "Run", .help = "print the result only"},
    {"threads", LM_INT, &opt.threads, "0",
     .help = "threads; 0 = all; the shards do not depend on it", .min = 0, .max = MOST_THREADS},
    {0}};

/* The work of all threads. */
typedef struct {
  int threads, blocks; /* that are encoded together */
  lm_encoder *encoder[MOST_THREADS];
  lm_block block[MOST_THREADS * BLOCKS_A_THREAD];
  lm_encoded encoded[MOST_THREADS * BLOCKS_A_THREAD];
} crew;

static bool crew_open(crew *c, lm_tokenizer *t, char *err) {
  c->threads = opt.threads > 0 ? (int)opt.threads : omp_get_max_threads();
  if (c->threads > MOST_THREADS) c->threads = MOST_THREADS;
  for (int i = 0; i < c->threads; i++)
    if (!(c->encoder[i] = lm_encoder_new(t, err))) return false;
  return true;
}

static void crew_close(crew *c) {
  for (int i = 0; i < c->threads; i++) lm_encoder_free(c->encoder[i]);
  for (int i = 0; i < c->threads * BLOCKS_A_THREAD; i++) lm_encoded_free(&c->encoded[i]);
  free(c);
}

/* ---- read, encode, write ---- */

static bool read_blocks(crew *c, lm_documents *d, char *err) {
  for (c->blocks = 0; c->blocks < c->threads * BLOCKS_A_THREAD; c->blocks++) {
    if (!lm_documents_next(d, &c->block[c->blocks], err)) return false;
    if (!c->block[c->blocks].text.bytes) break;
  }
  return true;
}

static bool encode_blocks(crew *c, const lm_documents *d, const lm_tokenizer *t, char *err) {
  bool ok[MOST_THREADS * BLOCKS_A_THREAD];
#pragma omp parallel for num_threads(c->threads) schedule(dynamic)
  for (int i = 0; i < c->blocks; i++)
    ok[i] = lm_block_encode(d, &c->block[i], c->encoder[omp_get_thread_num()], t, &c->encoded[i]);
  for (int i = 0; i < c->blocks; i++)
    if (!ok[i]) return lm_fail(err, "%s", c->encoded[i].err);
  return true;
}

static bool write_block(lm_shard_writer *w, const lm_tokenizer *t, const lm_encoded *block,
                        char *err) {
  lm_tokens all = lm_tokenizer_view(t, &block->tokens);
  int64_t ends = block->ends.count / (int64_t)sizeof(int64_t), begin = 0;
  for (int64_t i = 0; i <= ends; i++) {
    int64_t end = all.count;
    if (i < ends) memcpy(&end, block->ends.data + i * (int64_t)sizeof end, sizeof end);
    lm_tokens part = {(const uint8_t *)all.data + begin * all.width, end - begin, all.width};
    int64_t bytes = ends <= 1 && begin == 0 && end == all.count
                        ? block->bytes
                        : lm_tokenizer_measure(t, &part, 0, part.count);
    if (!lm_shard_writer_add(w, part, bytes, i < ends, err)) return false;
    begin = end;
  }
  return true;
}

static void show(lm_progress *p, const lm_documents *d, int64_t done, double start) {
  char read[32], all[32], rate[32], left[32];
  double seconds = lm_now() - start, part = (double)done / (double)d->bytes;
  lm_memory_format(done, read, sizeof read);
  lm_memory_format(d->bytes, all, sizeof all);
  lm_memory_format((int64_t)((double)done / (seconds + 1e-9)), rate, sizeof rate);
  lm_time_format(part > 0 ? seconds / part - seconds : 0, left, sizeof left);
  lm_progress_part(p, part, "%s of %s | %s/s | eta %s", read, all, rate, left);
}

static bool run(crew *c, lm_documents *d, lm_shard_writer *w, const lm_tokenizer *t, lm_progress *p,
                char *err) {
  double start = lm_now();
  int64_t done = 0;
  do {
    if (!read_blocks(c, d, err) || !encode_blocks(c, d, t, err)) return false;
    for (int i = 0; i < c->blocks; i++) {
      if (!write_block(w, t, &c->encoded[i], err)) return false;
      done += c->block[i].text.count;
    }
    lm_documents_release(d);
    show(p, d, done, start);
  } while (c->blocks > 0);
  return true;
}

/* ---- the whole ---- */

static lm_tokenizer *make_tokenizer(lm_documents *d, lm_progress *p, char *err) {
  lm_tokenizer_spec spec;
  lm_bytes sample = {0};
  if (!lm_tokenizer_spec_parse(opt.tokenizer, &spec, err)) {
    lm_fail(err, "--tokenizer: %s", err);
    return NULL;
  }
  if (spec.kind) {
    lm_progress_note(p, "training a tokenizer of %" PRId64 " pieces", spec.vocabulary);
    if (!lm_documents_sample(d, SAMPLE, &sample, err)) {
      free(sample.data);
      return NULL;
    }
  }
  lm_tokenizer *t = lm_tokenizer_make(&spec, (lm_text){sample.data, sample.count}, err);
  free(sample.data);
  return t;
}

static void report(lm_progress *p, const lm_manifest *m, int64_t documents, double seconds) {
  int64_t tokens[2] = {0, 0}, bytes = 0;
  char train[32], held_out[32], size[32], time[32];
  for (int64_t i = 0; i < m->shards; i++) {
    tokens[m->shard[i].validation] += m->shard[i].tokens;
    bytes += m->shard[i].bytes;
  }
  lm_count_format((double)tokens[0], train, sizeof train);
  lm_count_format((double)tokens[1], held_out, sizeof held_out);
  lm_memory_format(bytes, size, sizeof size);
  lm_time_format(seconds, time, sizeof time);
  lm_progress_say(p,
                  "%s: %" PRId64 " documents, %s, in %" PRId64
                  " shards of tokens (%s): %s to train on, %s held out; %.2f bytes a token; %s",
                  opt.out, documents, size, m->shards, m->tokenizer, train, held_out,
                  (double)bytes / (double)(tokens[0] + tokens[1]), time);
  if (tokens[1] == 0 && opt.validation_every > 0)
    lm_progress_say(p,
                    "nothing is held out, for one document in %" PRId64
                    " is, and there are %" PRId64 "; pretrain will hold out blocks",
                    opt.validation_every, documents);
}

static bool prepare(const lm_args *args, char *err) {
  lm_progress progress = lm_progress_new(stdout, opt.quiet, 0);
  lm_documents documents;
  lm_shard_writer writer = {0};
  double start = lm_now();
  crew *c = lm_alloc(1, sizeof *c, err);
  if (!c) return false;
  lm_tokenizer *t = NULL;
  lm_shard_writer_opts how = {opt.shard_tokens, opt.validation_every, (uint64_t)opt.seed};
  bool done = lm_documents_open(&documents, args->operand_count, args->operand, opt.field, err) &&
              (t = make_tokenizer(&documents, &progress, err)) != NULL && crew_open(c, t, err) &&
              lm_shard_writer_open(&writer, opt.out, t, how, err) &&
              run(c, &documents, &writer, t, &progress, err) &&
              lm_shard_writer_finish(&writer, err);
  lm_progress_clear(&progress);
  if (done) report(&progress, &writer.manifest, writer.document, lm_now() - start);
  crew_close(c);
  lm_shard_writer_close(&writer);
  lm_documents_close(&documents);
  lm_tokenizer_free(t);
  return done;
}

int main(int argc, char **argv) {
  char err[LM_ERROR_SIZE] = "";
  lm_args args = {.program = "prepare",
                  .summary =
                      "Turns text into shards of tokens, in the format of llm.c, for "
                      "pretrain --data. FILEs are text (a document each), JSON lines "
                      "(a document a line), or folders of these. The folder appears when it "
                      "is complete; its manifest.json has counts and hashes.",
                  .operands = "FILE...",
                  .option = table};
  int code = lm_args_main(&args, argc, argv);
  if (code < 0) {
    code = 2;
    if (!opt.out)
      lm_fail(err, "--out is required: the folder to write");
    else if (args.operand_count == 0)
      lm_fail(err, "there is nothing to read: name text files, JSON lines or folders");
    else
      code = prepare(&args, err) ? 0 : 1;
    if (code) fprintf(stderr, "prepare: %s\n", err);
  }
  lm_args_free(&args);
  return code;
}
