/* A model of bytes writes whatever bytes it likes: nothing is taken for granted here. */
#include "examples/lm/html.h"

#include <stdint.h>
#include <string.h>

/* The length of the UTF-8 sequence at the front, or 0 when there is none: cut short, longer than it
 * need be, half of a surrogate pair, or beyond U+10FFFF. */
static size_t sequence(const uint8_t *b, size_t count) {
  if (b[0] < 0x80) return 1;
  size_t n = b[0] >= 0xc2 && b[0] <= 0xdf   ? 2
             : b[0] >= 0xe0 && b[0] <= 0xef ? 3
             : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4
                                            : 0;
  if (n == 0 || n > count) return 0;
  for (size_t i = 1; i < n; i++)
    if ((b[i] & 0xc0) != 0x80) return 0;
  if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f)) return 0;
  if ((b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f)) return 0;
  return n;
}

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
    size_t n = sequence(b, count);
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
