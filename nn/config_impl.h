/* Configurations for the files that find one inside another object, write one there, or ask whether
 * two are the same. */
#ifndef RILL_NN_CONFIG_IMPL_H_
#define RILL_NN_CONFIG_IMPL_H_

#include <jansson.h>

#include "nn/config.h"
#include "nn/json_impl.h"

/* Leaves why in message, RILL_CONFIG_MESSAGE bytes; always false. */
bool rilli_config_refuse(char *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* rill_lm_config_parse without the parsing; training must be given. */
bool rilli_config_read(json_t *object, rill_lm_config *config, rill_lm_training *training,
                       char *message);

/* Its keys and values, one a line, without braces. */
void rilli_config_write(rilli_writer *w, const rill_lm_config *config, const char *indent);

/* The first key whose values differ (the model's name apart), with both as JSON in left and right
 * (`size` bytes each); NULL when there is none. Both must be of one kind of attention. */
const char *rilli_config_differs(const rill_lm_config *a, const rill_lm_config *b, char *left,
                                 char *right, size_t size);

#endif /* RILL_NN_CONFIG_IMPL_H_ */
