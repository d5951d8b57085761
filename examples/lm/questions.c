/* Questions from JSON. In a dump of lm-evaluation-harness a request to the model is an object
 * {"arg_0": context, "arg_1": continuation} of "arguments", by the names gen_args_0, gen_args_1
 * ...; older ones have arrays [context, continuation]. Its target is the number of the right
 * choice, as a number or a string. Where choices are asked once more without their context (for
 * mutual information), those are left out. */
#include "examples/lm/questions.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static lm_text text_of(const json_t *v) {
  return (lm_text){(const uint8_t *)json_string_value(v), (int64_t)json_string_length(v)};
}

static bool make_choices(lm_question *q, int64_t count, char *err) {
  q->choice = lm_alloc(count, sizeof *q->choice, err);
  q->choices = count;
  return q->choice != NULL;
}

static bool check_answer(lm_question *q, json_int_t answer, const char *name, char *err) {
  q->answer = answer;
  return (answer >= 0 && answer < q->choices) ||
         lm_fail(err, "\"%s\" is %lld, and there are %lld choices, numbered from 0", name,
                 (long long)answer, (long long)q->choices);
}

static lm_question_kind kind_of(const lm_question *q) {
  return q->choices > 1 ? LM_ASKS_CHOICE : LM_ASKS_TEXT;
}

/* ---- the plain forms ---- */

static bool take_text(lm_question *q, const json_t *text, char *err) {
  if (!json_is_string(text)) return lm_fail(err, "\"text\" must be a string");
  if (!make_choices(q, 1, err)) return false;
  q->choice[0].text = text_of(text);
  q->kind = LM_ASKS_WHOLE;
  return true;
}

static bool take_plain(lm_question *q, const json_t *root, char *err) {
  const json_t *context = json_object_get(root, "context"),
               *list = json_object_get(root, "choices"), *answer = json_object_get(root, "answer");
  int64_t count = (int64_t)json_array_size(list);
  if (!json_is_string(context) || !json_is_array(list) || count == 0)
    return lm_fail(err,
                   "expected {\"context\": string, \"choices\": [strings], \"answer\": number}, "
                   "{\"text\": string}, or a sample of lm-evaluation-harness");
  if (!make_choices(q, count, err)) return false;
  for (int64_t i = 0; i < count; i++) {
    const json_t *choice = json_array_get(list, (size_t)i);
    if (!json_is_string(choice)) return lm_fail(err, "choice %lld is not a string", (long long)i);
    q->choice[i] = (lm_choice){text_of(context), text_of(choice)};
  }
  q->kind = kind_of(q);
  if (q->kind == LM_ASKS_TEXT) return true;
  if (!json_is_integer(answer)) return lm_fail(err, "\"answer\" must be the number of a choice");
  return check_answer(q, json_integer_value(answer), "answer", err);
}

/* ---- samples of lm-evaluation-harness ---- */

/* Its two parts, "" and the text for one that has only the text. */
static bool take_argument(lm_choice *c, const json_t *request, char *err) {
  bool list = json_is_array(request);
  const json_t *first = list ? json_array_get(request, 0) : json_object_get(request, "arg_0"),
               *second = list ? json_array_get(request, 1) : json_object_get(request, "arg_1");
  if (!json_is_string(first) || (second && !json_is_string(second)))
    return lm_fail(err,
                   "its arguments are not texts: only multiple_choice, loglikelihood and "
                   "loglikelihood_rolling can be asked");
  c->context = second ? text_of(first) : (lm_text){0};
  c->text = text_of(second ? second : first);
  return true;
}

static bool has_context(const json_t *request) {
  return json_is_array(request) ? json_array_size(request) > 1
                                : json_object_get(request, "arg_1") != NULL;
}

/* Choices that were asked again without context. */
static void leave_out_unconditional(lm_question *q) {
  int64_t half = q->choices / 2;
  if (q->choices % 2 != 0 || half < 2) return;
  for (int64_t i = 0; i < half; i++) {
    lm_choice a = q->choice[i], b = q->choice[half + i];
    bool again = b.context.count == 0 && a.context.count > 0 && a.text.count == b.text.count &&
                 memcmp(a.text.bytes, b.text.bytes, (size_t)a.text.count) == 0;
    if (!again) return;
  }
  q->choices = half;
}

static bool take_target(lm_question *q, const json_t *target, char *err) {
  if (json_is_integer(target)) return check_answer(q, json_integer_value(target), "target", err);
  const char *text = json_string_value(target);
  char *end = NULL;
  long long number = text ? strtoll(text, &end, 10) : 0;
  if (!text || end == text || *end != '\0')
    return lm_fail(err,
                   "\"target\" must be the number of a choice; several right ones are not "
                   "supported");
  return check_answer(q, number, "target", err);
}

static bool take_sample(lm_question *q, const json_t *root, const json_t *arguments, char *err) {
  bool list = json_is_array(arguments);
  int64_t count = (int64_t)(list ? json_array_size(arguments) : json_object_size(arguments));
  if (count == 0) return lm_fail(err, "\"arguments\" is empty");
  if (!make_choices(q, count, err)) return false;
  bool context = false;
  for (int64_t i = 0; i < count; i++) {
    char name[40];
    snprintf(name, sizeof name, "gen_args_%lld", (long long)i);
    const json_t *request =
        list ? json_array_get(arguments, (size_t)i) : json_object_get(arguments, name);
    if (!request) return lm_fail(err, "\"arguments\" has no %s", name);
    if (!take_argument(&q->choice[i], request, err)) return false;
    context = has_context(request);
  }
  leave_out_unconditional(q);
  q->kind = kind_of(q);
  if (q->kind == LM_ASKS_TEXT && !context) q->kind = LM_ASKS_WHOLE;
  return q->kind != LM_ASKS_CHOICE || take_target(q, json_object_get(root, "target"), err);
}

/* ---- lines ---- */

bool lm_question_parse(lm_question *q, const void *line, int64_t bytes, char *err) {
  json_error_t wrong;
  *q = (lm_question){0};
  json_t *root = json_loadb(line, (size_t)bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
  q->json = root;
  if (!root) return lm_fail(err, "not JSON: column %d: %s", wrong.column, wrong.text);
  const json_t *arguments = json_object_get(root, "arguments"),
               *text = json_object_get(root, "text");
  bool sample = json_is_array(arguments) || json_is_object(arguments);
  return sample ? take_sample(q, root, arguments, err)
         : text ? take_text(q, text, err)
                : take_plain(q, root, err);
}

void lm_question_free(lm_question *q) {
  free(q->choice);
  json_decref(q->json);
  *q = (lm_question){0};
}

static bool is_empty(const uint8_t *line, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
  return true;
}

static bool add_line(lm_questions *list, const uint8_t *line, int64_t bytes, int64_t number,
                     char *err) {
  if (list->count == list->capacity) {
    int64_t larger = list->capacity * 2 + 64;
    lm_question *grown = lm_resize(list->at, larger, sizeof *grown, err);
    if (!grown) return false;
    list->at = grown;
    list->capacity = larger;
  }
  lm_question *q = &list->at[list->count++];
  bool ok = lm_question_parse(q, line, bytes, err);
  q->line = number;
  return ok;
}

bool lm_questions_read(lm_questions *list, const char *path, char *err) {
  lm_bytes file = {0};
  *list = (lm_questions){0};
  bool ok = lm_read_append(NULL, path, INT64_MAX / 2, &file, err);
  int64_t number = 0;
  for (int64_t begin = 0, end; ok && begin < file.count; begin = end + 1) {
    const uint8_t *line = file.data + begin;
    const uint8_t *newline = memchr(line, '\n', (size_t)(file.count - begin));
    end = newline ? newline - file.data : file.count;
    number++;
    if (is_empty(line, end - begin)) continue;
    ok = add_line(list, line, end - begin, number, err) ||
         lm_fail(err, "%.200s:%lld: %.250s", path, (long long)number, err);
  }
  free(file.data);
  if (ok && list->count == 0) return lm_fail(err, "'%s' holds no questions", path);
  return ok;
}

void lm_questions_free(lm_questions *list) {
  for (int64_t i = 0; i < list->count; i++) lm_question_free(&list->at[i]);
  free(list->at);
  *list = (lm_questions){0};
}
