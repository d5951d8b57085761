/* The encoder. Fields of a protocol buffer are a key (number and kind of the field) and a value;
 * messages inside messages are written to a buffer of their own first, because their length stands
 * before them. The fields are those of TensorFlow's event.proto and summary.proto:
 *
 *   Event    1 wall_time (double)  2 step (int64)  3 file_version (string)  5 summary (Summary)
 *            7 session_log (SessionLog)
 *   Summary  1 value (Value, repeated)      Value  1 tag (string)  2 simple_value (float)
 *   SessionLog  1 status (1 = the run starts here: forget later steps of earlier files) */
#include "examples/lm/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_SIZE = 512, VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* A message being written. All that is ever put into one fits. */
typedef struct {
  uint8_t bytes[MESSAGE_SIZE];
  size_t count;
} message;

static void put_varint(message *m, uint64_t value) {
  for (; value > 0x7f; value >>= 7) m->bytes[m->count++] = (uint8_t)(value | 0x80);
  m->bytes[m->count++] = (uint8_t)value;
}

static void put_little_endian(message *m, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) m->bytes[m->count++] = (uint8_t)(value >> (8 * i));
}

static void put_key(message *m, unsigned field, unsigned kind) { put_varint(m, field << 3 | kind); }

static void put_number(message *m, unsigned field, int64_t value) {
  put_key(m, field, VARINT);
  put_varint(m, (uint64_t)value);
}

static void put_double(message *m, unsigned field, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_key(m, field, FIXED64);
  put_little_endian(m, bits, 8);
}

static void put_float(message *m, unsigned field, double value) {
  float narrow = (float)value;
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  put_key(m, field, FIXED32);
  put_little_endian(m, bits, 4);
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t count) {
  put_key(m, field, BYTES);
  put_varint(m, count);
  memcpy(m->bytes + m->count, bytes, count);
  m->count += count;
}

static void put_scalar(message *summary, const char *tag, double value) {
  if (!isfinite(value)) return;
  message inner = {.count = 0};
  put_bytes(&inner, 1, tag, strlen(tag));
  put_float(&inner, 2, value);
  put_bytes(summary, 1, inner.bytes, inner.count);
}

/* ---- records ---- */

uint32_t lm_events_checksum(const void *bytes, size_t count) {
  const uint8_t *b = bytes;
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < count; i++) {
    crc ^= b[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static bool write_record(lm_events *e, const message *m, char *err) {
  message head = {.count = 0}, tail = {.count = 0};
  put_little_endian(&head, m->count, 8);
  put_little_endian(&head, lm_events_checksum(head.bytes, 8), 4);
  put_little_endian(&tail, lm_events_checksum(m->bytes, m->count), 4);
  const message *const part[3] = {&head, m, &tail};
  bool ok = true;
  for (int i = 0; i < 3; i++)
    ok = fwrite(part[i]->bytes, 1, part[i]->count, e->file) == part[i]->count && ok;
  if (ok && fflush(e->file) == 0) return true;
  return lm_fail(err, "cannot write '%s': %s", e->path, strerror(errno));
}

static message new_event(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  message m = {.count = 0};
  put_double(&m, 1, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
  return m;
}

static bool write_beginning(lm_events *e, int64_t step, char *err) {
  static const char version[] = "brain.Event:2";
  message m = new_event();
  put_bytes(&m, 3, version, sizeof version - 1);
  if (!write_record(e, &m, err)) return false;
  if (step == 0) return true;
  message start = {.count = 0};
  put_number(&start, 1, 1);
  m = new_event();
  put_number(&m, 2, step + 1);
  put_bytes(&m, 7, start.bytes, start.count);
  return write_record(e, &m, err);
}

bool lm_events_open(lm_events *e, const char *folder, int64_t step, char *err) {
  char host[256] = "localhost", ignored[LM_ERROR_SIZE];
  gethostname(host, sizeof host - 1);
  for (char *c = host; *c; c++)
    if (*c == '/') *c = '-';
  *e = (lm_events){0};
  e->path = lm_format(err, "%s/events.out.tfevents.%010lld.%s.%ld", folder, (long long)time(NULL),
                      host, (long)getpid());
  if (!e->path) return false;
  e->file = fopen(e->path, "w");
  if (!e->file)
    lm_fail(err, "cannot write '%s': %s", e->path, strerror(errno));
  else if (write_beginning(e, step, err))
    return true;
  lm_events_close(e, ignored);
  return false;
}

bool lm_events_write(lm_events *e, const lm_record *r, char *err) {
  message summary = {.count = 0}, m = new_event();
  put_scalar(&summary, "loss/train", r->loss);
  put_scalar(&summary, "loss/validation", r->validation);
  put_scalar(&summary, "gradient_norm", r->norm);
  put_scalar(&summary, "learning_rate", r->lr);
  put_scalar(&summary, "tokens_per_second", (double)r->tokens / r->seconds);
  put_number(&m, 2, r->step);
  put_bytes(&m, 5, summary.bytes, summary.count);
  return write_record(e, &m, err);
}

bool lm_events_close(lm_events *e, char *err) {
  bool ok = true;
  if (e->file && fclose(e->file) != 0)
    ok = lm_fail(err, "cannot write '%s': %s", e->path, strerror(errno));
  free(e->path);
  *e = (lm_events){0};
  return ok;
}
