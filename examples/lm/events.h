/* Event files: what TensorBoard reads of a run.
 *
 * A file is a row of records in the framing of TFRecord,
 *
 *   | length, 8 bytes | checksum of these 8, 4 bytes | message, `length` bytes | its checksum, 4 |
 *
 * little-endian, where a checksum is CRC-32C, rotated and shifted by a constant, and the message is
 * a protocol buffer of the type Event. Only five of its fields are ever written, so the encoder is
 * a page and no protobuf library is needed.
 *
 * A run that is resumed begins another file in the same folder, whose second record tells
 * TensorBoard to forget what earlier files say of the steps that are to come again. */
#ifndef RILL_EXAMPLES_LM_EVENTS_H_
#define RILL_EXAMPLES_LM_EVENTS_H_

#include <stdio.h>

#include "examples/lm/runlog.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  FILE *file;
  char *path;
} lm_events;

/* Makes FOLDER/events.out.tfevents.SECONDS.HOST.PROCESS of a run that goes on after `step` (0 = it
 * begins). False when it cannot be written. */
bool lm_events_open(lm_events *events, const char *folder, int64_t step, char *err);
/* Adds what is known of a step: loss/train, loss/validation, gradient_norm, learning_rate,
 * tokens_per_second. It has reached the system when this returns; false when the disk is full. */
bool lm_events_write(lm_events *events, const lm_record *record, char *err);
bool lm_events_close(lm_events *events, char *err);

/* The checksum of a record's parts. */
uint32_t lm_events_checksum(const void *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_EVENTS_H_ */
