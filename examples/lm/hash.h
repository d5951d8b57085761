/* SHA-256, as sha256sum prints it. */
#ifndef RILL_EXAMPLES_LM_HASH_H_
#define RILL_EXAMPLES_LM_HASH_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of bytes, in hexadecimal. */
void lm_sha256(const void *bytes, size_t count, char text[65]);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_HASH_H_ */
