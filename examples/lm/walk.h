/* The files below a path, always in the same order. */
#ifndef RILL_EXAMPLES_LM_WALK_H_
#define RILL_EXAMPLES_LM_WALK_H_

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  char **path; /* [count], sorted byte by byte, so the order is the same on every machine */
  int64_t count, capacity;
  bool folder; /* the path named a folder */
} lm_paths;

/* All regular files below the folder, at any depth, or the one file itself. Names that begin with a
 * dot are left out, as are links to folders; a link to a file counts as the file. False when the
 * path or something below it cannot be read. lm_paths_free after either. */
bool lm_walk(const char *path, lm_paths *found, char *err);
void lm_paths_free(lm_paths *paths);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_WALK_H_ */
