/* Questions to a model: a file of JSON lines, one object a line, in any of these forms.
 *
 *   {"context": "2 + 2 =", "choices": [" 3", " 4"], "answer": 1}      which choice is likeliest?
 *   {"context": "The capital of France is", "choices": [" Paris"]}   how likely is this?
 *   {"text": "..."}                                                  how well is it predicted?
 *
 * and what lm-evaluation-harness writes with --log_samples ("arguments", "target") for tasks of
 * multiple choice, loglikelihood and loglikelihood_rolling. A context and a choice follow each
 * other as they are written: choices bring their own space. */
#ifndef RILL_EXAMPLES_LM_QUESTIONS_H_
#define RILL_EXAMPLES_LM_QUESTIONS_H_

#include "examples/lm/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  LM_ASKS_CHOICE, /* two or more choices, one of which is the answer */
  LM_ASKS_TEXT,   /* one choice */
  LM_ASKS_WHOLE,  /* one choice, and its context is the beginning of a text */
} lm_question_kind;

typedef struct {
  lm_text context, text;
} lm_choice;

typedef struct {
  lm_question_kind kind;
  lm_choice *choice; /* [choices] */
  int64_t choices;
  int64_t answer; /* of LM_ASKS_CHOICE */
  int64_t line;   /* in its file, from 1 */
  void *json;     /* owns the texts */
} lm_question;

typedef struct {
  lm_question *at;
  int64_t count, capacity;
} lm_questions;

/* One question from any bytes. False, and why, when they are none; lm_question_free after either.
 */
bool lm_question_parse(lm_question *q, const void *line, int64_t bytes, char *err);
void lm_question_free(lm_question *q);

/* Those of a file; empty lines are left out. An error names the line. lm_questions_free after
 * either. */
bool lm_questions_read(lm_questions *questions, const char *path, char *err);
void lm_questions_free(lm_questions *questions);

#ifdef __cplusplus
}
#endif

#endif /* RILL_EXAMPLES_LM_QUESTIONS_H_ */
