/* A model's file is a protocol buffer message:
 *
 *   ModelProto    1: piece, repeated    2: trainer_spec
 *   piece         1: text               3: type (1 when absent)
 *   trainer_spec  42: eos_id (2 when absent)
 *
 * A field is a number and a kind of value, in one varint, and the value; unknown fields are
 * skipped. Sizes are checked against what is left, so that no byte outside the file is read. */
#include "examples/lm/pieces.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PIECES = 1 << 20, MODEL_PIECE = 1, MODEL_TRAINER = 2 };
enum { PIECE_TEXT = 1, PIECE_TYPE = 3, TRAINER_END = 42, DEFAULT_END = 2 };
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum { VARINT = 0, EIGHT = 1, SPAN = 2, FOUR = 5 };

typedef struct {
  const uint8_t *at, *end;
} span;

typedef struct {
  uint64_t number;
  uint64_t value; /* of a VARINT */
  span bytes;     /* of a SPAN */
  int kind;
} field;

static bool read_varint(span *s, uint64_t *value) {
  *value = 0;
  for (int shift = 0; shift < 64 && s->at < s->end; shift += 7) {
    uint8_t byte = *s->at++;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

/* Takes the next field off the front. */
static bool read_field(span *s, field *f) {
  uint64_t key, size = 0;
  if (!read_varint(s, &key)) return false;
  *f = (field){.number = key >> 3, .kind = (int)(key & 7)};
  if (f->kind == VARINT) return read_varint(s, &f->value);
  if (f->kind == SPAN && !read_varint(s, &size)) return false;
  if (f->kind == EIGHT) size = 8;
  if (f->kind == FOUR) size = 4;
  if (f->kind != SPAN && f->kind != EIGHT && f->kind != FOUR) return false;
  if (size > (uint64_t)(s->end - s->at)) return false;
  f->bytes = (span){s->at, s->at + size};
  s->at += size;
  return true;
}

/* ---- pieces ---- */

static int hex(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x1F>" -> 31; -1 for anything else. */
static int byte_of(span text) {
  const uint8_t *t = text.at;
  if (text.end - t != 6 || memcmp(t, "<0x", 3) != 0 || t[5] != '>') return -1;
  int high = hex(t[3]), low = hex(t[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Appends the text with U+2581 as a space; there is room, for it only gets shorter. */
static int64_t put_text(uint8_t *to, span text) {
  int64_t n = 0;
  while (text.at < text.end) {
    bool space = text.end - text.at >= 3 && memcmp(text.at, "\xe2\x96\x81", 3) == 0;
    to[n++] = space ? ' ' : *text.at;
    text.at += space ? 3 : 1;
  }
  return n;
}

static bool add_piece(lm_pieces *p, span message, uint8_t *type, bool *space, char *err) {
  span text = {0};
  uint64_t kind = NORMAL;
  field f;
  while (message.at < message.end) {
    if (!read_field(&message, &f))
      return lm_fail(err, "piece %lld is damaged", (long long)p->count);
    if (f.number == PIECE_TEXT && f.kind == SPAN) text = f.bytes;
    if (f.number == PIECE_TYPE && f.kind == VARINT) kind = f.value;
  }
  if (text.at == text.end) return lm_fail(err, "piece %lld is empty", (long long)p->count);
  if (kind < NORMAL || kind > BYTE)
    return lm_fail(err, "piece %lld is of an unknown type", (long long)p->count);
  int64_t at = p->start[p->count];
  if (kind == BYTE) {
    int byte = byte_of(text);
    if (byte < 0) return lm_fail(err, "piece %lld is no byte", (long long)p->count);
    p->byte[byte] = (int32_t)p->count;
    p->text[at++] = (uint8_t)byte;
  } else if (kind != CONTROL && kind != UNKNOWN) {
    *space = *space || (text.end - text.at == 3 && memcmp(text.at, "\xe2\x96\x81", 3) == 0);
    at += put_text(p->text + at, text);
  }
  type[p->count++] = (uint8_t)kind;
  p->start[p->count] = at;
  return true;
}

static void read_trainer(span message, int64_t *end) {
  field f;
  while (message.at < message.end && read_field(&message, &f))
    if (f.number == TRAINER_END && f.kind == VARINT) *end = (int32_t)(uint32_t)f.value;
}

/* The control token that ends documents gets a zero byte as its text. */
static void mark_end(lm_pieces *p, int64_t end, const uint8_t *type) {
  p->end = -1;
  if (end < 0 || end >= p->count || type[end] != CONTROL) return;
  p->end = (int32_t)end;
  int64_t at = p->start[end];
  memmove(p->text + at + 1, p->text + at, (size_t)(p->start[p->count] - at));
  p->text[at] = 0;
  for (int64_t i = end + 1; i <= p->count; i++) p->start[i]++;
}

static bool fill(lm_pieces *p, span model, uint8_t *type, char *err) {
  int64_t end = DEFAULT_END;
  bool space = false;
  field f;
  while (model.at < model.end) {
    if (!read_field(&model, &f)) return lm_fail(err, "it is cut off, or no model at all");
    if (f.number == MODEL_PIECE && f.kind == SPAN && !add_piece(p, f.bytes, type, &space, err))
      return false;
    if (f.number == MODEL_TRAINER && f.kind == SPAN) read_trainer(f.bytes, &end);
  }
  for (int i = 0; i < 256; i++)
    if (p->byte[i] < 0)
      return lm_fail(err, "it has no piece for byte %d: a model with byte fallback is needed", i);
  if (!space) return lm_fail(err, "it has no piece for a space");
  mark_end(p, end, type);
  return true;
}

static int64_t count_pieces(span model) {
  int64_t count = 0;
  field f;
  while (model.at < model.end && read_field(&model, &f))
    count += f.number == MODEL_PIECE && f.kind == SPAN;
  return count;
}

bool lm_pieces_parse(lm_pieces *pieces, const void *bytes, int64_t size, char *err) {
  span model = {bytes, (const uint8_t *)bytes + size};
  *pieces = (lm_pieces){.end = -1};
  for (int i = 0; i < 256; i++) pieces->byte[i] = -1;
  int64_t count = size > 0 ? count_pieces(model) : 0;
  if (count == 0) return lm_fail(err, "it is no SentencePiece model");
  if (count > MOST_PIECES)
    return lm_fail(err, "it has %lld pieces, more than %d", (long long)count, MOST_PIECES);
  pieces->start = lm_alloc(count + 1, sizeof *pieces->start, err);
  pieces->text = lm_alloc(size + 1, 1, err); /* texts are parts of the file; + the end's zero */
  uint8_t *type = lm_alloc(count, 1, err);
  bool ok = pieces->start && pieces->text && type && fill(pieces, model, type, err);
  free(type);
  return ok;
}

void lm_pieces_free(lm_pieces *pieces) {
  free(pieces->start);
  free(pieces->text);
  *pieces = (lm_pieces){0};
}
