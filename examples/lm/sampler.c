/* All candidates are sorted once: a vocabulary of some thousands takes microseconds, little beside
 * the model. Probabilities are relative to the first, exp((l - l0) / temperature), in double. */
#include "examples/lm/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "examples/lm/random.h"

enum { WINDOW = 64 };

typedef struct {
  double logit, weight;
  int32_t token;
} candidate;

struct lm_sampler {
  lm_sampler_opts opts;
  int64_t vocabulary;
  uint64_t draws;
  candidate *candidate; /* [vocabulary] */
  int32_t *times;       /* [vocabulary]: how often each is in `recent` */
  int32_t *recent;      /* [penalty_window], a ring */
  int64_t seen;
};

static bool check(const lm_sampler_opts *o, int64_t vocabulary, char *err) {
  if (vocabulary < 1 || vocabulary > INT32_MAX)
    return lm_fail(err, "vocabulary: expected 1 or more tokens, got %lld", (long long)vocabulary);
  if (!(o->temperature >= 0) || isinf(o->temperature))
    return lm_fail(err, "temperature: expected 0 or more, got %g", o->temperature);
  if (o->top_k < 0) return lm_fail(err, "top-k: expected 0 or more, got %lld", (long long)o->top_k);
  if (!(o->top_p >= 0 && o->top_p <= 1))
    return lm_fail(err, "top-p: expected a number from 0 to 1, got %g", o->top_p);
  if (!(o->min_p >= 0 && o->min_p <= 1))
    return lm_fail(err, "min-p: expected a number from 0 to 1, got %g", o->min_p);
  if (!(o->repetition_penalty >= 0) || isinf(o->repetition_penalty))
    return lm_fail(err, "repetition-penalty: expected 0 or more, got %g", o->repetition_penalty);
  if (o->penalty_window < 0)
    return lm_fail(err, "penalty-window: expected 0 or more, got %lld",
                   (long long)o->penalty_window);
  return true;
}

lm_sampler *lm_sampler_new(lm_sampler_opts opts, int64_t vocabulary, char *err) {
  if (!check(&opts, vocabulary, err)) return NULL;
  if (opts.penalty_window == 0) opts.penalty_window = WINDOW;
  if (opts.repetition_penalty == 0) opts.repetition_penalty = 1;
  lm_sampler *s = lm_alloc(1, sizeof *s, err);
  if (!s) return NULL;
  s->opts = opts;
  s->vocabulary = vocabulary;
  s->candidate = lm_alloc(vocabulary, sizeof *s->candidate, err);
  s->times = s->candidate ? lm_alloc(vocabulary, sizeof *s->times, err) : NULL;
  s->recent = s->times ? lm_alloc(opts.penalty_window, sizeof *s->recent, err) : NULL;
  if (s->recent) return s;
  lm_sampler_free(s);
  return NULL;
}

void lm_sampler_see(lm_sampler *s, int32_t token) {
  if (token < 0 || token >= s->vocabulary) return;
  int32_t *slot = &s->recent[s->seen % s->opts.penalty_window];
  if (s->seen >= s->opts.penalty_window) s->times[*slot]--;
  *slot = token;
  s->times[token]++;
  s->seen++;
}

static int likelier(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
  return x->token < y->token ? -1 : x->token > y->token;
}

/* Collects the tokens that are not excluded; 0 after an error. */
static int64_t collect(lm_sampler *s, const float *logits, char *err) {
  const double penalty = s->opts.repetition_penalty;
  int64_t n = 0;
  for (int64_t i = 0; i < s->vocabulary; i++) {
    double logit = (double)logits[i];
    if (isnan(logit) || logit == (double)INFINITY) {
      lm_fail(err, "the logit of token %lld is %g: the model's numbers have broken down",
              (long long)i, logit);
      return 0;
    }
    if (isinf(logit)) continue;
    if (s->times[i] > 0) logit = logit > 0 ? logit / penalty : logit * penalty;
    s->candidate[n++] = (candidate){.logit = logit, .token = (int32_t)i};
  }
  if (n == 0) lm_fail(err, "every token is excluded: all logits are -inf");
  return n;
}

/* How many of the n sorted candidates stay; sets their weights. */
static int64_t filter(const lm_sampler *s, int64_t n, double *total) {
  candidate *c = s->candidate;
  if (s->opts.top_k > 0 && n > s->opts.top_k) n = s->opts.top_k;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    c[i].weight = exp((c[i].logit - c[0].logit) / s->opts.temperature);
    sum += c[i].weight;
  }
  int64_t keep = 0;
  double reached = 0;
  const double enough = s->opts.top_p > 0 && s->opts.top_p < 1 ? s->opts.top_p * sum : INFINITY;
  while (keep < n && reached < enough && c[keep].weight >= s->opts.min_p)
    reached += c[keep++].weight;
  *total = reached;
  return keep;
}

static int32_t draw(lm_sampler *s, int64_t n) {
  double total;
  n = filter(s, n, &total);
  double left = lm_random_unit(s->opts.seed, s->draws) * total;
  int64_t i = 0;
  while (i < n - 1 && left >= s->candidate[i].weight) left -= s->candidate[i++].weight;
  return s->candidate[i].token;
}

bool lm_sampler_next(lm_sampler *s, const float *logits, int32_t *token, char *err) {
  int64_t n = collect(s, logits, err);
  if (n == 0) return false;
  qsort(s->candidate, (size_t)n, sizeof *s->candidate, likelier);
  *token = s->opts.temperature > 0 ? draw(s, n) : s->candidate[0].token;
  s->draws++;
  lm_sampler_see(s, *token);
  return true;
}

uint64_t lm_sampler_draws(const lm_sampler *s) { return s->draws; }
void lm_sampler_set_draws(lm_sampler *s, uint64_t draws) { s->draws = draws; }

void lm_sampler_free(lm_sampler *s) {
  if (!s) return;
  free(s->candidate);
  free(s->times);
  free(s->recent);
  free(s);
}
