/* Files mapped into memory, to be read as if they were arrays. */
#ifndef RILL_EXAMPLES_LM_MAP_H_
#define RILL_EXAMPLES_LM_MAP_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Maps a regular file; an empty one is an empty text. lm_unmap after success. A file that another
 * program shortens while it is mapped ends this one. */
bool lm_map(lm_text *text, const char *path, char *err);
void lm_unmap(lm_text *text);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_MAP_H_ */
