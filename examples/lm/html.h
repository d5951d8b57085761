/* Text inside HTML and SVG. */
#ifndef RILL_EXAMPLES_LM_HTML_H_
#define RILL_EXAMPLES_LM_HTML_H_

#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes any bytes so that they show as text: markup is escaped, what is not UTF-8 becomes U+FFFD,
 * and control characters other than tab and newline become their pictures (U+2400 and on). */
void lm_html_bytes(FILE *out, const void *bytes, size_t count);
/* The same for a string; NULL writes nothing. */
void lm_html_text(FILE *out, const char *text);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_HTML_H_ */
