/* Continuations. Offsets in bytes become offsets in characters only in the answer. */
#include "examples/lm/server_output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/logprobs.h"
#include "examples/lm/utf8.h"

#define LEAST_LOGPROB (-9999.0) /* JSON has no minus infinity */

static bool append(lm_bytes *bytes, const void *data, size_t count, char *err) {
  if (!lm_bytes_reserve(bytes, (int64_t)count, err)) return false;
  if (count > 0) memcpy(bytes->data + bytes->count, data, count);
  bytes->count += (int64_t)count;
  return true;
}

static int64_t count_tokens(const lm_output *o) {
  return o->list.count / (int64_t)sizeof(lm_output_token);
}

static lm_output_token token_at(const lm_output *o, int64_t i) {
  lm_output_token t;
  memcpy(&t, o->list.data + i * (int64_t)sizeof t, sizeof t);
  return t;
}

/* ---- stop strings ---- */

static bool equal(const lm_output *o, int64_t at, const uint8_t *bytes, int64_t count) {
  return memcmp(o->text.data + at, bytes, (size_t)count) == 0;
}

/* Cuts the text off before the first stop string that ends in its last `fresh` bytes. */
static void look_for_stops(lm_output *o, int64_t fresh) {
  int64_t cut = -1;
  for (int64_t i = 0; i < o->request->stops; i++) {
    lm_text stop = o->request->stop[i];
    int64_t at = o->text.count - fresh - stop.count + 1;
    if (at < o->drawn_from) at = o->drawn_from;
    for (; at + stop.count <= o->text.count; at++) {
      if (!equal(o, at, stop.bytes, stop.count)) continue;
      if (cut < 0 || at < cut) cut = at;
      break;
    }
  }
  if (cut < 0) return;
  o->text.count = cut;
  o->stopped = true;
}

/* The longest end of the text that begins a stop string. */
static int64_t perhaps_a_stop(const lm_output *o) {
  int64_t longest = 0;
  for (int64_t i = 0; i < o->request->stops; i++) {
    lm_text stop = o->request->stop[i];
    for (int64_t n = stop.count - 1; n > longest; n--)
      if (n <= o->text.count - o->drawn_from && equal(o, o->text.count - n, stop.bytes, n))
        longest = n;
  }
  return longest;
}

/* ---- growing ---- */

bool lm_output_echo(lm_output *o, lm_text prompt, char *err) {
  if (!append(&o->text, prompt.bytes, (size_t)prompt.count, err)) return false;
  o->drawn_from = o->text.count;
  return true;
}

static bool add_logprobs(lm_output *o, lm_output_token *t, const float *logits, int64_t vocabulary,
                         char *err) {
  int32_t best[LM_MOST_LOGPROBS];
  double sum = lm_log_sum_exp(logits, vocabulary);
  t->logprob = (double)logits[t->token] - sum;
  t->top = o->tops.count / (int64_t)sizeof(lm_output_top);
  int64_t count = lm_likeliest(logits, vocabulary, o->request->logprobs, best);
  t->tops = (int32_t)count;
  for (int64_t i = 0; i < count; i++) {
    lm_output_top top = {best[i], (double)logits[best[i]] - sum};
    if (!append(&o->tops, &top, sizeof top, err)) return false;
  }
  return true;
}

bool lm_output_add(lm_output *o, int32_t token, const float *logits, int64_t vocabulary, bool drawn,
                   char *err) {
  if (drawn && token == lm_tokenizer_end(o->tokenizer) && !o->request->ignore_eos) {
    o->stopped = true;
    return true;
  }
  lm_output_token t = {.token = token, .begin = o->text.count, .logprob = (double)NAN};
  if (logits && o->request->logprobs >= 0 && !add_logprobs(o, &t, logits, vocabulary, err))
    return false;
  lm_text text = lm_tokenizer_text(o->tokenizer, token);
  if (!append(&o->list, &t, sizeof t, err)) return false;
  if (!append(&o->text, text.bytes, (size_t)text.count, err)) return false;
  if (drawn)
    look_for_stops(o, text.count);
  else
    o->drawn_from = o->text.count;
  return true;
}

void lm_output_free(lm_output *o) {
  free(o->text.data);
  free(o->list.data);
  free(o->tops.data);
  *o = (lm_output){0};
}

/* ---- showing ---- */

/* The byte up to which the text may be shown. */
static int64_t certain(const lm_output *o, bool ended) {
  if (ended || o->stopped) return o->text.count;
  int64_t count = o->text.count - perhaps_a_stop(o);
  return count - lm_utf8_pending(o->text.data, count);
}

bool lm_output_ready(const lm_output *o) { return certain(o, false) > o->shown; }

static json_t *clean_string(const uint8_t *bytes, int64_t count) {
  lm_bytes clean = {0};
  char err[LM_ERROR_SIZE];
  bool ok = lm_utf8_clean(bytes, count, &clean, err);
  json_t *text =
      ok ? json_stringn(clean.data ? (const char *)clean.data : "", (size_t)clean.count) : NULL;
  free(clean.data);
  return text;
}

/* A token's text, or "bytes:\xe2\x82" for one that is no text by itself; NULL without memory. */
static const char *token_name(const lm_output *o, int32_t token, lm_bytes *name) {
  char err[LM_ERROR_SIZE], one[8];
  lm_text text = lm_tokenizer_text(o->tokenizer, token);
  bool whole = true;
  for (int64_t i = 0, n; whole && i < text.count; i += n) {
    n = lm_utf8_length(text.bytes + i, text.count - i);
    whole = n > 0 && text.bytes[i] != '\0';
  }
  name->count = 0;
  bool ok = append(
      name, whole ? (const void *)text.bytes : "bytes:", whole ? (size_t)text.count : 6, err);
  for (int64_t i = 0; ok && !whole && i < text.count; i++) {
    snprintf(one, sizeof one, "\\x%02x", text.bytes[i]);
    ok = append(name, one, 4, err);
  }
  return ok && append(name, "", 1, err) ? (const char *)name->data : NULL;
}

static json_t *number(double logprob) {
  if (isnan(logprob)) return json_null();
  return json_real(logprob > LEAST_LOGPROB ? logprob : LEAST_LOGPROB);
}

/* The likeliest tokens and the token itself, by name. */
static json_t *top_object(const lm_output *o, const lm_output_token *t, lm_bytes *name) {
  if (isnan(t->logprob) || o->request->logprobs == 0) return json_null();
  json_t *object = json_object();
  lm_output_top top = {t->token, t->logprob};
  json_object_set_new(object, token_name(o, top.token, name), number(top.logprob));
  for (int64_t i = 0; i < t->tops; i++) {
    memcpy(&top, o->tops.data + (t->top + i) * (int64_t)sizeof top, sizeof top);
    json_object_set_new(object, token_name(o, top.token, name), number(top.logprob));
  }
  return object;
}

/* Tokens from tokens_shown on that begin before byte `end`. */
static json_t *take_logprobs(lm_output *o, int64_t end, bool last) {
  if (o->request->logprobs < 0) return json_null();
  json_t *tokens = json_array(), *logprobs = json_array(), *tops = json_array(),
         *offsets = json_array();
  lm_bytes name = {0};
  int64_t byte = 0, character = 0;
  for (; o->tokens_shown < count_tokens(o); o->tokens_shown++) {
    lm_output_token t = token_at(o, o->tokens_shown);
    if (t.begin >= end && !(last && !o->stopped)) break;
    character += lm_utf8_count(o->text.data + byte, t.begin - byte);
    byte = t.begin;
    json_array_append_new(tokens, json_string(token_name(o, t.token, &name)));
    json_array_append_new(logprobs, number(t.logprob));
    json_array_append_new(tops, top_object(o, &t, &name));
    json_array_append_new(offsets, json_integer(character));
  }
  free(name.data);
  return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", logprobs,
                   "top_logprobs", tops, "text_offset", offsets);
}

json_t *lm_output_take(lm_output *o, int64_t index, bool ended) {
  int64_t end = certain(o, ended);
  json_t *text = clean_string(o->text.data + o->shown, end - o->shown);
  json_t *logprobs = take_logprobs(o, end, ended);
  o->shown = end;
  return json_pack("{s:o, s:I, s:o, s:s?}", "text", text, "index", (json_int_t)index, "logprobs",
                   logprobs, "finish_reason",
                   !ended       ? NULL
                   : o->stopped ? "stop"
                                : "length");
}
