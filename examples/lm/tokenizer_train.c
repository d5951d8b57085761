/* Training a SentencePiece model.
 *
 * The library gets the lines of the text, each with its line ends (a piece may hold them), so that
 * it sees what encoding will give it. Lines that are not UTF-8, or hold a zero byte or U+2581, are
 * left out: their bytes are spelled anyway. Of more than LARGEST_SAMPLE bytes every so many-th
 * block is read: more text hardly changes the pieces, and takes the longer. */
#include <stdlib.h>
#include <string.h>

#include "examples/lm/tokenizer_impl.h"

enum { LARGEST_SAMPLE = 16 << 20, BLOCK = 1 << 16, LONGEST_LINE = 1 << 14, LEAST_SAMPLE = 2048 };

typedef struct {
  lm_text text;
  int64_t at, stride; /* a block is read, then the rest of `stride` passed over */
  lm_bytes model;
  char *err;
  int64_t lines;
} source;

static int64_t line_length(const uint8_t *s, int64_t left) {
  int64_t most = left < LONGEST_LINE ? left : LONGEST_LINE, i = 0;
  while (i < most && s[i] != '\n') i++;
  while (i < most && s[i] == '\n') i++;
  return i;
}

static bool is_plain(const uint8_t *s, int64_t count) {
  for (int64_t i = 0; i < count;) {
    int n = lm_utf8_length(s + i, count - i);
    if (n == 0 || s[i] == 0 || (n == 3 && memcmp(s + i, "\xe2\x96\x81", 3) == 0)) return false;
    i += n;
  }
  return true;
}

static bool next_line(void *user, const char **text, size_t *bytes) {
  source *s = user;
  while (s->at < s->text.count) {
    if (s->at % s->stride >= BLOCK) { /* to the next block, and the line that begins in it */
      s->at += s->stride - s->at % s->stride;
      if (s->at >= s->text.count) break;
      s->at += line_length(s->text.bytes + s->at, s->text.count - s->at);
      continue;
    }
    const uint8_t *line = s->text.bytes + s->at;
    int64_t n = line_length(line, s->text.count - s->at);
    s->at += n;
    if (!is_plain(line, n)) continue;
    *text = (const char *)line;
    *bytes = (size_t)n;
    s->lines++;
    return true;
  }
  return false;
}

static bool take_model(void *user, const void *model, size_t bytes) {
  source *s = user;
  if (!lm_bytes_reserve(&s->model, (int64_t)bytes, s->err)) return false;
  memcpy(s->model.data, model, bytes);
  s->model.count = (int64_t)bytes;
  return true;
}

lm_tokenizer *lm_tokenizer_train(const char *kind, int64_t vocabulary, lm_text text, char *err) {
  const lm_sentencepiece *calls = lm_sentencepiece_open(err);
  if (!calls) return NULL;
  source s = {.text = text, .stride = BLOCK, .err = err};
  if (text.count > LARGEST_SAMPLE) s.stride = BLOCK * (text.count / LARGEST_SAMPLE + 1);
  lm_sentencepiece_training how = {kind, vocabulary, next_line, take_model, &s};
  lm_tokenizer *t = NULL;
  if (text.count < LEAST_SAMPLE)
    lm_fail(err, "%lld bytes of text are too few to train a tokenizer on: %d are needed",
            (long long)text.count, LEAST_SAMPLE);
  else if (!calls->train(&how, err))
    lm_fail(err, "a tokenizer %s:%lld cannot be trained on this text: %.380s", kind,
            (long long)vocabulary, s.lines ? err : "it has no line of UTF-8");
  else
    t = lm_tokenizer_parse(s.model.data, s.model.count, err);
  free(s.model.data);
  return t;
}
