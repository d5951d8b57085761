/* UTF-8 in bytes that may be anything: a model of bytes writes whatever it likes. */
#ifndef RILL_EXAMPLES_LM_UTF8_H_
#define RILL_EXAMPLES_LM_UTF8_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the UTF-8 sequence at text[0] when it is a valid one that fits, otherwise 0: cut short,
 * longer than it need be, half of a surrogate pair, or beyond U+10FFFF. */
int lm_utf8_length(const uint8_t *text, int64_t left);

/* How many of the last bytes (at most 3) begin a sequence whose end is still missing. */
int lm_utf8_pending(const uint8_t *text, int64_t count);

/* Appends the text, each byte that belongs to no sequence as U+FFFD. */
bool lm_utf8_clean(const uint8_t *text, int64_t count, lm_bytes *out, char *err);

/* Characters of a text as lm_utf8_clean writes it. */
int64_t lm_utf8_count(const uint8_t *text, int64_t count);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_UTF8_H_ */
