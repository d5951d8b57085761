/* The frame of a page: its head with the styles that charts and heat maps use, and its end. */
#include "examples/lm/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/html.h"

static const char style[] =
    ":root{color-scheme:light dark;--page:#fbfaf8;--card:#fff;--ink:#1d2126;--soft:#646b75;"
    "--line:#e3e1dc;--blue:#1f66c7}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#15181c;--card:#1d2126;--ink:#e9e7e2;"
    "--soft:#9aa1ab;--line:#31363d;--blue:#72a9f5}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:940px;margin:0 auto;padding:40px 20px 60px}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:0}\n"
    "h2{font-size:1.05rem;margin:0 0 10px}\n"
    ".summary{color:var(--soft);margin:6px 0 0}\n"
    "section{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:18px 20px;margin:16px 0 0}\n"
    "svg{display:block;width:100%;height:auto}\n"
    "svg .label{fill:var(--soft);font-size:12px}\n"
    "svg .cell{fill:var(--blue)}\n"
    "svg .value{fill:var(--ink);font-size:13px}\n"
    "svg line.grid{stroke:var(--line)}\n"
    "svg line.axis{stroke:var(--soft)}\n"
    "svg polyline{fill:none;stroke-linejoin:round;stroke-width:2}\n"
    "svg polyline.dashed{stroke-dasharray:6 4;stroke-width:1.5}\n"
    ".legend{margin:0 0 6px;color:var(--soft);font-size:.85rem}\n"
    ".legend span{margin-right:18px;white-space:nowrap}\n"
    ".legend span::before{content:'';display:inline-block;width:18px;height:3px;margin-right:7px;"
    "vertical-align:middle;border-radius:2px;background:currentcolor}\n"
    "table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}\n"
    "td,th{padding:4px 10px 4px 0;border-top:1px solid var(--line);text-align:right;"
    "font-weight:400}\n"
    "th{color:var(--soft);border-top:0}\n"
    "td:first-child,th:first-child{text-align:left}\n";

static const char *const COLOUR[LM_PAGE_COLOURS] = {"#1f66c7", "#d1600f", "#2c7d4f", "#8a4bbf",
                                                    "#b8336a", "#0f8a94", "#8c7a1f", "#5b6470",
                                                    "#c23b22", "#5a9bd8"};

bool lm_page_begin(lm_page *page, const char *title, const char *summary, char *err) {
  *page = (lm_page){0};
  page->out = open_memstream(&page->text, &page->size);
  if (!page->out) return lm_fail(err, "cannot make the page: %s", strerror(errno));
  FILE *out = page->out;
  fputs(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
      out);
  lm_html_text(out, title);
  fprintf(out, "</title>\n<style>\n%s", style);
  for (int i = 0; i < LM_PAGE_COLOURS; i++)
    fprintf(out, "svg polyline.c%d{stroke:%s}svg circle.c%d{fill:%s}.k%d::before{color:%s}\n", i,
            COLOUR[i], i, COLOUR[i], i, COLOUR[i]);
  fputs("</style>\n</head>\n<body>\n<main>\n<h1>", out);
  lm_html_text(out, title);
  fputs("</h1>\n", out);
  if (!summary) return true;
  fputs("<p class=\"summary\">", out);
  lm_html_text(out, summary);
  fputs("</p>\n", out);
  return true;
}

bool lm_page_write(lm_page *page, const char *path, char *err) {
  fputs("</main>\n</body>\n</html>\n", page->out);
  bool done = fclose(page->out) == 0 || lm_fail(err, "cannot make the page: %s", strerror(errno));
  done = done && lm_write_file(path, page->text, page->size, err);
  free(page->text);
  *page = (lm_page){0};
  return done;
}
