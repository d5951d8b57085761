/* A model of bytes writes whatever bytes it likes: nothing is taken for granted here. */
#include "examples/lm/html.h"

#include <stdint.h>
#include <string.h>

#include "examples/lm/utf8.h"

static void ascii(FILE *out, uint8_t c) {
  if (c == '&')
    fputs("&amp;", out);
  else if (c == '<')
    fputs("&lt;", out);
  else if (c == '>')
    fputs("&gt;", out);
  else if (c == '"')
    fputs("&quot;", out);
  else if (c == 0x7f)
    fputs("&#x2421;", out);
  else if (c < 0x20 && c != '\n' && c != '\t')
    fprintf(out, "&#x%x;", 0x2400u + c);
  else
    putc(c, out);
}

void lm_html_bytes(FILE *out, const void *bytes, size_t count) {
  const uint8_t *b = bytes;
  while (count > 0) {
    size_t n = (size_t)lm_utf8_length(b, (int64_t)count);
    if (n == 0)
      fputs("&#xfffd;", out);
    else if (n == 1)
      ascii(out, b[0]);
    else
      fwrite(b, 1, n, out);
    if (n == 0) n = 1;
    b += n;
    count -= n;
  }
}

void lm_html_text(FILE *out, const char *text) {
  if (text) lm_html_bytes(out, text, strlen(text));
}
