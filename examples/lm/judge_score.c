/* From likelihoods to scores, as lm-evaluation-harness defines them; acc_norm divides by bytes of
 * the choice, without the spaces before it. */
#include <math.h>

#include "examples/lm/judge.h"

static bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static double text_bytes(lm_text text) {
  int64_t begin = 0;
  while (begin < text.count && is_space(text.bytes[begin])) begin++;
  return text.count > begin ? (double)(text.count - begin) : 1;
}

/* Pieces of text between runs of white space, empty ones at the ends included. */
static int64_t words(lm_text text) {
  int64_t count = 1;
  for (int64_t i = 0; i < text.count; i++)
    count += is_space(text.bytes[i]) && (i == 0 || !is_space(text.bytes[i - 1]));
  return count;
}

int64_t lm_judge_pick(const lm_question *q, const lm_likelihood *likelihood, bool by_byte) {
  int64_t best = 0;
  double most = -INFINITY;
  for (int64_t i = 0; i < q->choices; i++) {
    double value = likelihood[i].nats / (by_byte ? text_bytes(q->choice[i].text) : 1);
    if (value > most) most = value, best = i;
  }
  return best;
}

static double rate(int64_t right, int64_t count) {
  return count > 0 ? (double)right / (double)count : (double)NAN;
}

static double rate_error(double p, int64_t count) {
  return count > 1 ? sqrt(p * (1 - p) / (double)(count - 1)) : (double)NAN;
}

lm_score lm_judge_score(const lm_questions *questions, const lm_likelihood *likelihood) {
  lm_score s = {0};
  int64_t right = 0, right_by_byte = 0, greedy = 0, all_words = 0, all_bytes = 0;
  double continued = 0, read = 0;
  for (int64_t i = 0; i < questions->count; i++) {
    const lm_question *q = &questions->at[i];
    switch (q->kind) {
      case LM_ASKS_CHOICE:
        s.choice++;
        right += lm_judge_pick(q, likelihood, false) == q->answer;
        right_by_byte += lm_judge_pick(q, likelihood, true) == q->answer;
        break;
      case LM_ASKS_TEXT:
        s.continuation++;
        greedy += likelihood->greedy;
        continued += likelihood->nats;
        break;
      default:
        s.whole++;
        all_words += words(q->choice[0].text);
        all_bytes += q->choice[0].text.count;
        read += likelihood->nats;
    }
    likelihood += q->choices;
  }
  s.acc = rate(right, s.choice);
  s.acc_norm = rate(right_by_byte, s.choice);
  s.acc_error = rate_error(s.acc, s.choice);
  s.acc_norm_error = rate_error(s.acc_norm, s.choice);
  s.greedy = rate(greedy, s.continuation);
  s.perplexity = s.continuation ? exp(-continued / (double)s.continuation) : (double)NAN;
  s.bits_per_byte = all_bytes ? -read / (double)all_bytes / log(2) : (double)NAN;
  s.byte_perplexity = all_bytes ? exp(-read / (double)all_bytes) : (double)NAN;
  s.word_perplexity = s.whole ? exp(-read / (double)all_words) : (double)NAN;
  return s;
}
