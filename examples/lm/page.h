/* A page of HTML that needs nothing else: put together in memory, written at once. */
#ifndef RILL_EXAMPLES_LM_PAGE_H_
#define RILL_EXAMPLES_LM_PAGE_H_

#include <stdio.h>

#include "examples/lm/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Classes .c0 to .c9 of lines and dots, .k0 to .k9 of legends; and .dashed of lines. */
enum { LM_PAGE_COLOURS = 10 };

typedef struct {
  FILE *out; /* the page's content goes here */
  char *text;
  size_t size;
} lm_page;

/* Begins a page with its title and a sentence below it (NULL = none). */
bool lm_page_begin(lm_page *page, const char *title, const char *summary, char *err);
/* Ends it and writes the file, atomically. The page is gone afterwards, also after false. */
bool lm_page_write(lm_page *page, const char *path, char *err);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_PAGE_H_ */
