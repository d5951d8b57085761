/* The page. It is put together in memory and written at once, so that a reader never sees half. */
#include "examples/lm/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/lm/html.h"
#include "examples/lm/report_impl.h"

static const char style[] =
    ":root{color-scheme:light dark;--page:#fbfaf8;--card:#fff;--ink:#1d2126;--soft:#646b75;"
    "--line:#e3e1dc;--blue:#1f66c7;--pale:#a9c8f0;--orange:#d1600f;--green:#2c7d4f}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#15181c;--card:#1d2126;--ink:#e9e7e2;"
    "--soft:#9aa1ab;--line:#31363d;--blue:#72a9f5;--pale:#33507a;--orange:#f29a55;"
    "--green:#6cc596}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:940px;margin:0 auto;padding:40px 20px 60px}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:0}\n"
    "h2{font-size:1.05rem;margin:0 0 10px}\n"
    ".summary{color:var(--soft);margin:6px 0 0}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;"
    "margin:24px 0 0}\n"
    ".tile,section{background:var(--card);border:1px solid var(--line);border-radius:10px}\n"
    ".tile{padding:12px 16px}\n"
    ".tile b{display:block;font-size:1.5rem;line-height:1.25;font-weight:600;"
    "font-variant-numeric:tabular-nums}\n"
    ".tile span{display:block;color:var(--soft);font-size:.85rem;line-height:1.3}\n"
    ".tile.main b{color:var(--green)}\n"
    "section{padding:18px 20px;margin:16px 0 0}\n"
    "svg{display:block;width:100%;height:auto}\n"
    "svg .label{fill:var(--soft);font-size:12px}\n"
    "svg line.grid{stroke:var(--line)}\n"
    "svg line.axis{stroke:var(--soft)}\n"
    "svg line.level{stroke:var(--green);stroke-dasharray:5 4}\n"
    "svg polyline{fill:none;stroke-linejoin:round}\n"
    "svg .raw{stroke:var(--pale)}\n"
    "svg .train{stroke:var(--blue);stroke-width:2}\n"
    "svg polyline.validation{stroke:var(--orange);stroke-width:1.5}\n"
    "svg circle.validation{fill:var(--orange)}\n"
    ".legend{margin:0 0 6px;color:var(--soft);font-size:.85rem}\n"
    ".legend span{margin-right:18px}\n"
    ".legend span::before{content:'';display:inline-block;width:18px;height:3px;margin-right:7px;"
    "vertical-align:middle;border-radius:2px;background:var(--pale)}\n"
    ".legend .train::before{background:var(--blue)}\n"
    ".legend .validation::before{background:var(--orange)}\n"
    "pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font:14px/1.55 ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}\n"
    "pre .prompt{color:var(--soft)}\n"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}\n"
    "td{padding:4px 10px 4px 0;border-top:1px solid var(--line);vertical-align:top}\n"
    "tr:first-child td{border-top:0}\n"
    "td:first-child{color:var(--soft);width:14rem}\n"
    "td:last-child{overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\n";

static void tile(FILE *out, const char *kind, const char *value, const char *name) {
  fprintf(out, "<div class=\"tile%s\"><b>", kind);
  lm_html_text(out, value);
  fputs("</b><span>", out);
  lm_html_text(out, name);
  fputs("</span></div>\n", out);
}

static void write_tiles(FILE *out, const lm_report *r) {
  char number[64];
  fputs("<div class=\"tiles\">\n", out);
  if (isfinite(r->bits_per_byte)) {
    snprintf(number, sizeof number, "%.3f", r->bits_per_byte);
    tile(out, " main", number, "bits per byte, held-out text");
  }
  if (isfinite(r->trigram_bits_per_byte)) {
    snprintf(number, sizeof number, "%.3f", r->trigram_bits_per_byte);
    tile(out, "", number, "bits per byte, trigram letters");
  }
  for (int i = 0; i < r->facts; i++) tile(out, "", r->fact[i].value, r->fact[i].name);
  fputs("</div>\n", out);
}

static void write_sample(FILE *out, const lm_report *r) {
  fputs("<section><h2>What the model writes</h2>\n<pre>", out);
  if (r->prompt_bytes > 0) {
    fputs("<span class=\"prompt\">", out);
    lm_html_bytes(out, r->prompt, r->prompt_bytes);
    fputs("</span>", out);
  }
  lm_html_bytes(out, r->sample, r->sample_bytes);
  fputs("</pre></section>\n", out);
}

static void write_settings(FILE *out, const lm_report *r) {
  fputs("<section><h2>Settings</h2>\n<table>\n", out);
  for (int i = 0; i < r->settings; i++) {
    fputs("<tr><td>", out);
    lm_html_text(out, r->setting[i].name);
    fputs("</td><td>", out);
    lm_html_text(out, r->setting[i].value);
    fputs("</td></tr>\n", out);
  }
  fputs("</table></section>\n", out);
}

static bool write_page(FILE *out, const lm_report *r, char *err) {
  fputs(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
      out);
  lm_html_text(out, r->title);
  fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
  lm_html_text(out, r->title);
  fputs("</h1>\n", out);
  if (r->summary) {
    fputs("<p class=\"summary\">", out);
    lm_html_text(out, r->summary);
    fputs("</p>\n", out);
  }
  write_tiles(out, r);
  if (r->records > 0) {
    fputs("<section><h2>Loss</h2>\n", out);
    if (!lm_report_curve(out, r, err)) return false;
    fputs("</section>\n", out);
  }
  if (r->sample_bytes > 0) write_sample(out, r);
  if (r->settings > 0) write_settings(out, r);
  fputs("</main>\n</body>\n</html>\n", out);
  return true;
}

bool lm_report_write(const char *path, const lm_report *report, char *err) {
  char *page = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&page, &size);
  if (!out) return lm_fail(err, "cannot make the report: %s", strerror(errno));
  bool ok = write_page(out, report, err);
  if (fclose(out) != 0) ok = lm_fail(err, "cannot make the report: %s", strerror(errno));
  ok = ok && lm_write_file(path, page, size, err);
  free(page);
  return ok;
}
