/* Lines and the bar. The bar is redrawn at most ten times a second, so that quick steps do not
 * spend their time on the terminal; "\r\033[K" (to the first column, erase the row) is all it asks
 * of it.
 */
#include "examples/lm/progress.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE = 256, BAR = 24 };

lm_progress lm_progress_new(FILE *out, bool quiet, int64_t every) {
  const char *kind = getenv("TERM");
  bool terminal = isatty(fileno(out)) && kind && strcmp(kind, "dumb") != 0;
  return (lm_progress){
      .out = out, .quiet = quiet, .terminal = terminal, .every = every > 0 ? every : 10};
}

void lm_progress_clear(lm_progress *p) {
  if (p->bar) fputs("\r\033[K", p->out);
  p->bar = false;
  fflush(p->out);
}

void lm_progress_fact(lm_progress *p, const char *name, const char *format, ...) {
  if (p->quiet) return;
  lm_progress_clear(p);
  fprintf(p->out, "%-9s ", name);
  va_list args;
  va_start(args, format);
  vfprintf(p->out, format, args);
  va_end(args);
  fputc('\n', p->out);
  fflush(p->out);
}

static void line(lm_progress *p, const char *format, va_list args) {
  lm_progress_clear(p);
  vfprintf(p->out, format, args);
  fputc('\n', p->out);
  fflush(p->out);
}

void lm_progress_note(lm_progress *p, const char *format, ...) {
  if (p->quiet) return;
  va_list args;
  va_start(args, format);
  line(p, format, args);
  va_end(args);
}

void lm_progress_say(lm_progress *p, const char *format, ...) {
  va_list args;
  va_start(args, format);
  line(p, format, args);
  va_end(args);
}

static int columns(FILE *out) {
  struct winsize w;
  return ioctl(fileno(out), TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* [########----------------] and as much of the line as the row holds. */
static void draw(lm_progress *p, double part, const char *text) {
  double now = lm_now();
  if (now - p->drawn < 0.1 && part < 1) return;
  p->drawn = now;
  int room = columns(p->out) - 1, width = room >= LINE / 2 ? BAR : BAR / 2;
  int done = (int)(part * width);
  char bar[BAR + 4];
  bar[0] = '[';
  for (int i = 0; i < width; i++) bar[1 + i] = i < done ? '#' : '-';
  memcpy(bar + 1 + width, "] ", 3);
  room -= width + 3;
  fprintf(p->out, "\r\033[K%s%.*s", bar, room > 0 ? room : 0, text);
  fflush(p->out);
  p->bar = true;
}

void lm_progress_step(lm_progress *p, const lm_step *s) {
  p->average = p->average > 0 ? 0.9 * p->average + 0.1 * s->seconds : s->seconds;
  if (p->quiet) return;
  lm_step now = *s;
  now.eta = (double)(s->steps - s->step) * p->average;
  char text[LINE];
  lm_step_format(&now, text, sizeof text);
  bool stays = s->step % p->every == 0 || s->step == s->steps || s->step == 1;
  if (stays) lm_progress_note(p, "%s", text);
  if (p->terminal && s->step < s->steps) draw(p, (double)s->step / (double)s->steps, text);
}

void lm_progress_part(lm_progress *p, double part, const char *format, ...) {
  if (p->quiet || !p->terminal) return;
  char text[LINE];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  draw(p, part < 0 ? 0 : part > 1 ? 1 : part, text);
}

/* ---- numbers that people read ---- */

/* Three digits that count and a unit. */
static void scaled(double x, const char *const *unit, int units, char *text, size_t size) {
  int u = 0;
  while (u < units - 1 && x >= 999.5) x /= 1000, u++;
  int digits = u == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
  snprintf(text, size, "%.*f%s", digits, x, unit[u]);
}

void lm_count_format(double count, char *text, size_t size) {
  static const char *const unit[] = {"", "k", "M", "B", "T"};
  scaled(count, unit, 5, text, size);
}

void lm_memory_format(int64_t bytes, char *text, size_t size) {
  static const char *const unit[] = {" B", " kB", " MB", " GB", " TB"};
  scaled((double)bytes, unit, 5, text, size);
}

void lm_time_format(double seconds, char *text, size_t size) {
  long long s = seconds > 0 && seconds < 1e15 ? (long long)(seconds + 0.5) : 0;
  if (s < 60)
    snprintf(text, size, "%llds", s);
  else if (s < 3600)
    snprintf(text, size, "%lldm%02llds", s / 60, s % 60);
  else if (s < 86400)
    snprintf(text, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
  else
    snprintf(text, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

void lm_step_format(const lm_step *s, char *text, size_t size) {
  char took[32], rate[32], left[32], mfu[32] = "", memory[48] = "";
  if (s->seconds < 10)
    snprintf(took, sizeof took, "%.1f ms", 1e3 * s->seconds);
  else
    snprintf(took, sizeof took, "%.1f s", s->seconds);
  lm_count_format(s->seconds > 0 ? (double)s->tokens / s->seconds : 0, rate, sizeof rate);
  lm_time_format(s->eta, left, sizeof left);
  if (s->mfu > 0) snprintf(mfu, sizeof mfu, " | %.1f%% MFU", 100 * s->mfu);
  if (s->memory_bytes > 0) {
    char bytes[32];
    lm_memory_format(s->memory_bytes, bytes, sizeof bytes);
    snprintf(memory, sizeof memory, " | %s", bytes);
  }
  snprintf(text, size,
           "step %lld/%lld | loss %.3f | norm %.2f | lr %.1e | %s%s | %s tok/s%s | eta %s",
           (long long)s->step, (long long)s->steps, s->loss, s->norm, s->lr, took, mfu, rate,
           memory, left);
}
