/* Encoding.
 *
 * A text is cut into words, which are encoded each for itself: spaces, what is no space, and the
 * line ends after it. Pieces do not reach over such a border (SentencePiece makes none that does),
 * so this is what the library would do with a whole line, and a word that was seen before is a
 * look-up, ten times as fast. A word goes through the library only where it is valid UTF-8 without
 * zero bytes and U+2581; the rest is spelled in bytes. So is a word whose tokens do not stand for
 * it, whatever the reason: what is encoded can always be decoded.
 *
 *   "the  old\n\nmill" -> "the", "  old\n\n", "mill" */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/tokenizer_impl.h"

enum { LONGEST_WORD = 512, MOST_WORDS = 1 << 17, SLOTS = 2 * MOST_WORDS };

typedef struct {
  uint64_t hash;
  uint32_t text, count;   /* the word, in `words` */
  uint32_t token, tokens; /* its tokens, in `ids` */
} word;

struct lm_encoder {
  lm_tokenizer *t;
  lm_bytes words, ids; /* texts one after the other; tokens as int32_t */
  word *known;         /* [MOST_WORDS] */
  uint32_t *slot;      /* [SLOTS]: 1 + an index into `known`, or 0 */
  int64_t count;
};

/* ---- the library ---- */

const lm_sentencepiece *lm_sentencepiece_open(char *err) {
  void *library = dlopen("librill_sentencepiece.so", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    lm_fail(err,
            "SentencePiece cannot be used: %.300s (it takes the package libsentencepiece0, and "
            "librill_sentencepiece.so beside the program)",
            dlerror());
    return NULL;
  }
  /* ISO C has no cast from void * to a function; POSIX has this. */
  const lm_sentencepiece *(*entry)(void) = NULL;
  *(void **)(&entry) = dlsym(library, LM_SENTENCEPIECE_ENTRY);
  if (!entry) lm_fail(err, "SentencePiece cannot be used: %.300s", dlerror());
  return entry ? entry() : NULL;
}

/* Fields of a model are read in order and later ones win, so these, at its end, switch off what
 * would change the text: trainer_spec {byte_fallback: true}, normalizer_spec {name: "identity",
 * precompiled_charsmap: "", add_dummy_prefix: false, remove_extra_whitespaces: false,
 * escape_whitespaces: true}. */
static const uint8_t plain[] =
    "\x12\x03\x98\x02\x01"
    "\x1a\x12\x0a\x08"
    "identity\x12\x00\x18\x00\x20\x00\x28\x01";

static bool load(lm_tokenizer *t, char *err) {
  lm_bytes model = {0};
  if (!t->calls && !(t->calls = lm_sentencepiece_open(err))) return false;
  if (!lm_bytes_reserve(&model, t->model.count + (int64_t)sizeof plain, err)) return false;
  memcpy(model.data, t->model.data, (size_t)t->model.count);
  memcpy(model.data + t->model.count, plain, sizeof plain - 1);
  t->processor = t->calls->load(model.data, (size_t)t->model.count + sizeof plain - 1, err);
  free(model.data);
  return t->processor || lm_fail(err, "the SentencePiece model cannot be used: %.400s", err);
}

/* ---- encoders ---- */

lm_encoder *lm_encoder_new(lm_tokenizer *t, char *err) {
  if (t->kind == LM_IDS) {
    lm_fail(err, "text cannot be made into tokens: these are of an unknown tokenizer");
    return NULL;
  }
  if (t->kind == LM_PIECES && !t->processor && !load(t, err)) return NULL;
  lm_encoder *e = lm_alloc(1, sizeof *e, err);
  if (!e) return NULL;
  e->t = t;
  if (t->kind != LM_PIECES) return e;
  e->known = lm_alloc(MOST_WORDS, sizeof *e->known, err);
  e->slot = lm_alloc(SLOTS, sizeof *e->slot, err);
  if (e->known && e->slot) return e;
  lm_encoder_free(e);
  return NULL;
}

void lm_encoder_free(lm_encoder *e) {
  if (!e) return;
  free(e->words.data);
  free(e->ids.data);
  free(e->known);
  free(e->slot);
  free(e);
}

/* ---- words ---- */

static int64_t word_length(const uint8_t *s, int64_t left) {
  int64_t most = left < LONGEST_WORD ? left : LONGEST_WORD, i = 0;
  while (i < most && s[i] == ' ') i++;
  while (i < most && s[i] != ' ' && s[i] != '\n') i++;
  while (i < most && s[i] == '\n') i++;
  if (i == left || i < LONGEST_WORD) return i;
  while (i > LONGEST_WORD - 4 && (s[i] & 0xc0) == 0x80) i--; /* not inside a character */
  return i;
}

/* How much of s the library gets: characters that it gives back unchanged. */
static int64_t plain_length(const uint8_t *s, int64_t left) {
  int64_t i = 0;
  while (i < left && s[i] != 0) {
    int n = lm_utf8_length(s + i, left - i);
    if (n == 0 || (n == 3 && memcmp(s + i, "\xe2\x96\x81", 3) == 0)) break;
    i += n;
  }
  return i;
}

/* ---- one word ---- */

static bool spell(lm_encoder *e, const uint8_t *s, int64_t count, char *err) {
  for (int64_t i = 0; i < count; i++)
    if (!lm_tokens_push(&e->ids, 4, e->t->pieces.byte[s[i]], err)) return false;
  return true;
}

static bool stands_for(const lm_tokenizer *t, const int32_t *ids, int64_t n, const uint8_t *s,
                       int64_t count) {
  for (int64_t i = 0; i < n; i++) {
    lm_text piece = lm_tokenizer_text(t, ids[i]);
    if (ids[i] == t->end || piece.count > count || piece.count == 0) return false;
    if (memcmp(piece.bytes, s, (size_t)piece.count) != 0) return false;
    s += piece.count;
    count -= piece.count;
  }
  return count == 0;
}

/* Appends the tokens of text that the library can take to e->ids. */
static bool encode_plain(lm_encoder *e, const uint8_t *s, int64_t count, char *err) {
  int32_t ids[LONGEST_WORD]; /* a token is at least a byte */
  int64_t n =
      e->t->calls->encode(e->t->processor, (const char *)s, (size_t)count, ids, LONGEST_WORD);
  if (n < 0 || n > LONGEST_WORD || !stands_for(e->t, ids, n, s, count))
    return spell(e, s, count, err);
  if (!lm_bytes_reserve(&e->ids, n * 4, err)) return false;
  memcpy(e->ids.data + e->ids.count, ids, (size_t)n * 4);
  e->ids.count += n * 4;
  return true;
}

static bool encode_word(lm_encoder *e, const uint8_t *s, int64_t count, char *err) {
  while (count > 0) {
    int64_t n = plain_length(s, count);
    bool ok = n ? encode_plain(e, s, n, err) : spell(e, s, n = 1, err);
    if (!ok) return false;
    s += n;
    count -= n;
  }
  return true;
}

/* ---- words seen before ---- */

static uint64_t hash_of(const uint8_t *s, int64_t count) {
  uint64_t h = 0xcbf29ce484222325u;
  for (int64_t i = 0; i < count; i++) h = (h ^ s[i]) * 0x100000001b3u;
  return h ^ h >> 32;
}

static void forget(lm_encoder *e) {
  memset(e->slot, 0, SLOTS * sizeof *e->slot);
  e->count = e->words.count = e->ids.count = 0;
}

/* The word's entry, encoded now if it is new; NULL after an error. */
static const word *look_up(lm_encoder *e, const uint8_t *s, int64_t count, char *err) {
  if (e->count == MOST_WORDS) forget(e);
  uint64_t hash = hash_of(s, count), at = hash % SLOTS;
  for (; e->slot[at]; at = (at + 1) % SLOTS) {
    const word *w = &e->known[e->slot[at] - 1];
    if (w->hash == hash && w->count == count && !memcmp(e->words.data + w->text, s, (size_t)count))
      return w;
  }
  word w = {hash, (uint32_t)e->words.count, (uint32_t)count, (uint32_t)(e->ids.count / 4), 0};
  if (!lm_bytes_reserve(&e->words, count, err) || !encode_word(e, s, count, err)) return NULL;
  memcpy(e->words.data + e->words.count, s, (size_t)count);
  e->words.count += count;
  w.tokens = (uint32_t)(e->ids.count / 4) - w.token;
  e->known[e->count] = w;
  e->slot[at] = (uint32_t)++e->count;
  return &e->known[e->count - 1];
}

/* ---- a text ---- */

bool lm_encode(lm_encoder *e, lm_text text, lm_bytes *array, char *err) {
  if (e->t->kind == LM_BYTES) {
    if (!lm_bytes_reserve(array, text.count, err)) return false;
    if (text.count) memcpy(array->data + array->count, text.bytes, (size_t)text.count);
    array->count += text.count;
    return true;
  }
  const int width = lm_tokenizer_width(e->t);
  for (int64_t at = 0, n; at < text.count; at += n) {
    n = word_length(text.bytes + at, text.count - at);
    const word *w = look_up(e, text.bytes + at, n, err);
    if (!w) return false;
    lm_tokens ids = {e->ids.data, e->ids.count / 4, 4};
    for (uint32_t i = 0; i < w->tokens; i++)
      if (!lm_tokens_push(array, width, lm_token_at(&ids, w->token + i), err)) return false;
  }
  return true;
}

bool lm_tokenizer_encode(lm_tokenizer *t, lm_text text, lm_bytes *array, char *err) {
  lm_encoder *e = lm_encoder_new(t, err);
  bool ok = e && lm_encode(e, text, array, err);
  lm_encoder_free(e);
  return ok;
}

lm_tokens lm_tokenizer_view(const lm_tokenizer *t, const lm_bytes *array) {
  int width = lm_tokenizer_width(t);
  return (lm_tokens){array->data, array->count / width, width};
}
